//! Metrics of the bus: publish results, health of the broker, and queue depths.
mod health;
mod publishing;
mod queue;

use std::sync::Arc;

use prometheus::Registry;

pub use self::health::Health;
pub use self::publishing::PublishMetrics;
pub(crate) use self::publishing::{PublishMetricsSlot, PublishRecorder, destination};
pub use self::queue::QueueMetrics;
use crate::Bus;

/// The label of an exchange or a queue: its name without the prefix that all names share.
fn label(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Registers the metrics of a bus, which records them from now on.
///
/// # Errors
/// When the metrics of a bus are registered already.
pub fn register(registry: &Registry, bus: &Arc<dyn Bus>) -> prometheus::Result<()> {
    health::register(registry, bus)?;
    bus.measure(PublishMetrics::register(registry, bus.topology())?);
    Ok(())
}
