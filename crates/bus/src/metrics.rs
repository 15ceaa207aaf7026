//! What the bus tells about itself: what became of messages, whether there is a broker, and what waits in queues.
mod health;
mod publishing;
mod queue;

use std::sync::Arc;

use prometheus::Registry;

pub use self::health::Health;
pub use self::publishing::PublishMetrics;
pub(crate) use self::publishing::{Destination, Publishing, Told};
pub use self::queue::QueueMetrics;
use crate::Bus;

/// Registers what a bus tells about itself, and has it tell that from now on.
///
/// # Errors
/// When the registry has a bus already.
pub fn register(registry: &Registry, bus: &Arc<dyn Bus>) -> prometheus::Result<()> {
    health::register(registry, bus)?;
    bus.measure(PublishMetrics::register(registry)?);
    Ok(())
}
