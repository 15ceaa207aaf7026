//! Metrics of a subscription: its lag, the events it processed, and its lease.
use std::convert::Infallible;

use prometheus::{IntCounter, Opts, Registry};

use super::{Backlog, LeaseMetrics};
use crate::Checkpoints;
use deed_claims::Clock;

/// Metrics of one subscription.
#[derive(Debug, Clone)]
pub struct SubscriptionMetrics {
    /// Events after its checkpoint.
    pub lag: Backlog,
    /// Events that it processed in this process.
    pub events: IntCounter,
    /// Its lease.
    pub lease: LeaseMetrics,
}

impl SubscriptionMetrics {
    /// Registers the metrics with the label `subscription`, which is also the label of its lease.
    ///
    /// # Errors
    /// When the registry has those of this subscription already.
    pub fn register(registry: &Registry, subscription: &'static str) -> prometheus::Result<Self> {
        let opts = |name, help| Opts::new(name, help).const_label("subscription", subscription);
        let lag = Backlog::register(
            registry,
            opts(
                "deed_subscription_lag_events",
                "Events of the log that the subscription has not passed, asked every 5 s by leader and standby alike. \
                 NaN while the store does not answer.",
            ),
            opts(
                "deed_subscription_lag_seconds",
                "Age of the oldest event that the subscription has not passed; 0 when there is none. While the store \
                 does not answer it grows, at least from the last answer on.",
            ),
        )?;
        let events = IntCounter::with_opts(opts(
            "deed_subscription_events_total",
            "Events that the subscription passed in this process; repeated ones count again.",
        ))?;
        registry.register(Box::new(events.clone()))?;
        Ok(Self { lag, events, lease: LeaseMetrics::register(registry, subscription)? })
    }

    /// Updates the lag of the subscription with this name until it is dropped.
    pub async fn watch(&self, checkpoints: &dyn Checkpoints, clock: &dyn Clock, name: &str) -> Infallible {
        self.lag.watch(clock, |_| checkpoints.lag(name)).await
    }
}
