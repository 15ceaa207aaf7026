//! Health of the broker connection, read at each scrape.
use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Registry};

use crate::Bus;

/// The health of a bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Every connection in use is established. Always true in process.
    pub connected: bool,
    /// The broker takes no messages, because it is short of memory or disk.
    pub blocked: bool,
    /// Connections established so far.
    pub connections: u64,
    /// Consumers of this process with an active subscription.
    pub consumers: usize,
}

struct HealthCollector {
    bus: Weak<dyn Bus>,
    connected: IntGauge,
    blocked: IntGauge,
    connections: IntCounter,
    consumers: IntGauge,
}

pub(super) fn register(registry: &Registry, bus: &Arc<dyn Bus>) -> prometheus::Result<()> {
    let collector = HealthCollector {
        // The registry must not keep a bus alive.
        bus: Arc::downgrade(bus),
        connected: IntGauge::new(
            "deed_bus_connected",
            "1 while the broker is connected, in process always; 0 while it is being tried.",
        )?,
        blocked: IntGauge::new(
            "deed_bus_blocked",
            "1 while the broker takes no messages because of an alarm of its own, such as for memory or disk.",
        )?,
        connections: IntCounter::new("deed_bus_connections_total", "Connections made to the broker.")?,
        consumers: IntGauge::new(
            "deed_bus_consumers",
            "Consumers that messages can reach: a verifier has one, and 0 while its subscription is being made anew.",
        )?,
    };
    registry.register(Box::new(collector))
}

impl Collector for HealthCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.connected.desc(), self.blocked.desc(), self.connections.desc(), self.consumers.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let health = self.bus.upgrade().map(|bus| bus.health()).unwrap_or_default();
        self.connected.set(health.connected.into());
        self.blocked.set(health.blocked.into());
        self.connections.inc_by(health.connections.saturating_sub(self.connections.get()));
        self.consumers.set(i64::try_from(health.consumers).unwrap_or(i64::MAX));
        let gauges = [self.connected.collect(), self.blocked.collect(), self.consumers.collect()];
        [gauges.concat(), self.connections.collect()].concat()
    }
}
