//! Gauges of the connections that calls to a store share, read at each scrape.
use std::fmt;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Opts, Registry};

/// The connections of a store that its calls share; connections with a fixed purpose do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// In use by a call, or being opened for one.
    pub used: usize,
    /// Open and not in use.
    pub idle: usize,
    /// The maximum.
    pub max: usize,
}

struct ConnectionsCollector {
    ask: Box<dyn Fn() -> Connections + Send + Sync>,
    used: IntGauge,
    idle: IntGauge,
    max: IntGauge,
}

impl fmt::Debug for ConnectionsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionsCollector").finish_non_exhaustive()
    }
}

impl Connections {
    /// Registers gauges for what `ask` returns.
    ///
    /// # Errors
    /// When the registry has these gauges already.
    pub fn register(
        registry: &Registry,
        ask: impl Fn() -> Self + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        let state = |state| {
            let opts = Opts::new("deed_store_connections", "Connections to the store that calls share.");
            IntGauge::with_opts(opts.const_label("state", state))
        };
        let collector = ConnectionsCollector {
            ask: Box::new(ask),
            used: state("used")?,
            idle: state("idle")?,
            max: IntGauge::new(
                "deed_store_connections_max",
                "Connections to the store that there may be for calls to share; when all are used, calls wait.",
            )?,
        };
        registry.register(Box::new(collector))
    }
}

impl Collector for ConnectionsCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.used.desc(), self.idle.desc(), self.max.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let connections = (self.ask)();
        let set = |gauge: &IntGauge, number: usize| {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
            gauge.collect()
        };
        [
            set(&self.used, connections.used),
            set(&self.idle, connections.idle),
            set(&self.max, connections.max),
        ]
        .concat()
    }
}
