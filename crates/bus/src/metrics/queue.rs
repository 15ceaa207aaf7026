//! What waits in a queue, asked now and then.
use std::{convert::Infallible, time::Duration};

use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::time::{sleep, timeout};

use crate::{Bus, Topology};

/// How often the bus is asked.
const EVERY: Duration = Duration::from_secs(15);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

const READY: &str = "verification";
const DEAD: &str = "dead";

/// How much waits in the queue of verification work and among its dead letters.
#[derive(Clone, Debug)]
pub struct QueueMetrics(IntGaugeVec);

impl QueueMetrics {
    /// Registers the metric.
    ///
    /// # Errors
    /// When the registry has it already.
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

    /// Keeps the gauges true.
    pub async fn watch(&self, bus: &dyn Bus) -> Infallible {
        loop {
            match timeout(PATIENCE, bus.depth(Topology::VERIFICATION)).await {
                Ok(Ok(depth)) => {
                    self.set(READY, depth.ready);
                    self.set(DEAD, depth.dead);
                }
                // Those who publish and consume say what is wrong. Old figures must not pass for new ones.
                Ok(Err(_)) | Err(_) => self.0.reset(),
            }
            sleep(EVERY).await;
        }
    }

    fn set(&self, queue: &str, messages: usize) {
        self.0.with_label_values(&[queue]).set(i64::try_from(messages).unwrap_or(i64::MAX));
    }
}
