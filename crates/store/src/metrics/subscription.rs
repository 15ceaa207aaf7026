//! How far one subscription is behind the log, how much it passes, and whether it is active here.
use std::convert::Infallible;

use prometheus::{IntCounter, Opts, Registry};

use super::{Backlog, LeaseMetrics};
use crate::{Checkpoints, Clock};

/// What is told of one subscription.
#[derive(Debug, Clone)]
pub struct SubscriptionMetrics {
    /// What it has not passed.
    pub lag: Backlog,
    /// Events that it has passed here.
    pub events: IntCounter,
    /// Its lease.
    pub lease: LeaseMetrics,
}

impl SubscriptionMetrics {
    /// Registers the metrics of a subscription; `subscription` is its label, and that of its lease.
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

    /// Keeps the lag of the subscription of this name true, also while nothing moves.
    pub async fn watch(&self, checkpoints: &dyn Checkpoints, clock: &dyn Clock, name: &str) -> Infallible {
        self.lag.watch(clock, |_| checkpoints.behind(name)).await
    }
}
