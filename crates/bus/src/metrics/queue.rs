//! Queue depths, polled at intervals.
use std::{convert::Infallible, time::Duration};

use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::time::{sleep, timeout};

use crate::{Bus, Topology};

/// How often the depth is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// How long the bus may take to answer.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

const READY: &str = "verification";
const DEAD: &str = "dead";

/// How many messages wait in the verification queue and among its dead letters.
#[derive(Clone, Debug)]
pub struct QueueMetrics(IntGaugeVec);

impl QueueMetrics {
    /// Registers the metric.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new(
            "deed_queue_messages",
            "Messages that wait for a verifier, and dead letters, asked every 15 s. Absent while the broker does not \
             answer.",
        );
        let messages = IntGaugeVec::new(opts, &["queue"])?;
        registry.register(Box::new(messages.clone()))?;
        Ok(Self(messages))
    }

    /// Updates the gauges for ever.
    pub async fn watch(&self, bus: &dyn Bus) -> Infallible {
        loop {
            match timeout(POLL_TIMEOUT, bus.depth(Topology::VERIFICATION)).await {
                Ok(Ok(depth)) => {
                    self.set(READY, depth.ready);
                    self.set(DEAD, depth.dead);
                }
                // Old values must not pass for current ones. Publisher and consumers log the cause.
                Ok(Err(_)) | Err(_) => self.0.reset(),
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn set(&self, queue: &str, messages: usize) {
        self.0.with_label_values(&[queue]).set(i64::try_from(messages).unwrap_or(i64::MAX));
    }
}
