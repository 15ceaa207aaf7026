//! Queue depths, polled at intervals.
use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::time::{sleep, timeout};

use super::label;
use crate::{Bus, BusError};

/// How often the depths are polled.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// How long the bus may take to answer.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// How many messages wait in each queue and among the dead letters.
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
            match timeout(POLL_TIMEOUT, messages(bus)).await {
                Ok(Ok(messages)) => {
                    for (queue, count) in messages {
                        let gauge = self.0.with_label_values(&[queue]);
                        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
                    }
                }
                // Old values must not pass for current ones. Publisher and consumers log the cause.
                Ok(Err(_)) | Err(_) => self.0.reset(),
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// How many messages wait, by the label of their queue.
async fn messages(bus: &dyn Bus) -> Result<BTreeMap<&str, usize>, BusError> {
    let mut messages = BTreeMap::new();
    for (name, spec) in &bus.topology().queues {
        let depth = bus.depth(name).await?;
        *messages.entry(label(name)).or_default() += depth.ready;
        *messages.entry(label(&spec.dead_letter_queue)).or_default() += depth.dead;
    }
    Ok(messages)
}
