//! What the projector and the dispatcher tell about themselves.
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What the projector tells about itself.
#[derive(Debug, Clone)]
pub struct ProjectorMetrics {
    pub(crate) events: IntCounter,
    pub(crate) lag: IntGauge,
    pub(crate) rebuilds: IntCounter,
}

impl ProjectorMetrics {
    /// Registers the projector's metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            events: IntCounter::new("deed_projected_events_total", "Events folded into the read models.")?,
            lag: IntGauge::new(
                "deed_projection_lag_events",
                "Events of the log that are not in the read models.",
            )?,
            rebuilds: IntCounter::new(
                "deed_projection_rebuilds_total",
                "Rebuilds of the read models begun here.",
            )?,
        };
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.rebuilds.clone()))?;
        Ok(metrics)
    }
}

/// What the dispatcher tells about itself.
#[derive(Debug, Clone)]
pub struct DispatcherMetrics {
    pub(crate) dispatched: IntCounterVec,
    pub(crate) given_back: IntCounter,
    pub(crate) overdue: IntGauge,
    pub(crate) lateness: Histogram,
}

impl DispatcherMetrics {
    /// Registers the dispatcher's metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let lateness = HistogramOpts::new(
            "deed_dispatch_lateness_seconds",
            "How long after it fell due work was on the bus.",
        )
        .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0]);
        let metrics = Self {
            dispatched: IntCounterVec::new(
                Opts::new("deed_dispatched_total", "Due work put on the bus and confirmed."),
                &["kind"],
            )?,
            given_back: IntCounter::new(
                "deed_dispatch_given_back_total",
                "Due work that the bus did not take and that will be tried again.",
            )?,
            overdue: IntGauge::new("deed_due_work_overdue", "Due work that nobody has been asked to do.")?,
            lateness: Histogram::with_opts(lateness)?,
        };
        registry.register(Box::new(metrics.dispatched.clone()))?;
        registry.register(Box::new(metrics.given_back.clone()))?;
        registry.register(Box::new(metrics.overdue.clone()))?;
        registry.register(Box::new(metrics.lateness.clone()))?;
        Ok(metrics)
    }
}
