//! The metrics of the projector and the dispatcher.
mod claims;

use deed_claims::DueKind;
use deed_store::{Backlog, LeaseMetrics, SubscriptionMetrics};
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};

use self::claims::ClaimMetrics;

/// The name of the dispatcher's lease.
pub const DISPATCHER: &str = "dispatcher";

/// The metrics of the projector, with those of the claims' lifecycles.
#[derive(Debug, Clone)]
pub struct ProjectorMetrics {
    pub(crate) subscription: SubscriptionMetrics,
    pub(crate) rebuilds: IntCounter,
    pub(crate) claims: ClaimMetrics,
}

impl ProjectorMetrics {
    /// Registers the projector's metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            subscription: SubscriptionMetrics::register(registry, "projector")?,
            rebuilds: IntCounter::new(
                "deed_projection_rebuilds_total",
                "Rebuilds of the read models begun here.",
            )?,
            claims: ClaimMetrics::register(registry)?,
        };
        registry.register(Box::new(metrics.rebuilds.clone()))?;
        Ok(metrics)
    }
}

/// The metrics of the dispatcher.
#[derive(Debug, Clone)]
pub struct DispatcherMetrics {
    checks: IntCounter,
    expiries: IntCounter,
    pub(crate) given_back: IntCounter,
    pub(crate) overdue: Backlog,
    pub(crate) lateness: Histogram,
    pub(crate) lease: LeaseMetrics,
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
        let dispatched = |kind: DueKind| {
            let opts = Opts::new("deed_dispatched_total", "Due work put on the bus and confirmed.");
            let counter = IntCounter::with_opts(opts.const_label("kind", kind.as_str()))?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let overdue = Backlog::register(
            registry,
            Opts::new(
                "deed_due_work_overdue",
                "Due work that nobody has been asked to do, asked every 5 s by leader and standby alike. NaN while the \
                 store does not answer.",
            ),
            Opts::new(
                "deed_due_work_overdue_seconds",
                "Age of the oldest due work that nobody has been asked to do; 0 when there is none. While the store \
                 does not answer it grows, at least from the last answer on.",
            ),
        )?;
        let metrics = Self {
            checks: dispatched(DueKind::Check)?,
            expiries: dispatched(DueKind::Expire)?,
            given_back: IntCounter::new(
                "deed_dispatch_given_back_total",
                "Due work that the bus did not take and that will be tried again.",
            )?,
            overdue,
            lateness: Histogram::with_opts(lateness)?,
            lease: LeaseMetrics::register(registry, DISPATCHER)?,
        };
        registry.register(Box::new(metrics.given_back.clone()))?;
        registry.register(Box::new(metrics.lateness.clone()))?;
        Ok(metrics)
    }

    /// The counter of published work of this kind.
    pub(crate) fn dispatched(&self, kind: DueKind) -> &IntCounter {
        match kind {
            DueKind::Check => &self.checks,
            DueKind::Expire => &self.expiries,
        }
    }
}
