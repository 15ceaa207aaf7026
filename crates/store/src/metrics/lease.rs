//! Metrics of a lease: whether this process has it, and how often that changed.
use prometheus::{IntCounter, IntGauge, Opts, Registry};

/// Metrics of one lease.
#[derive(Debug, Clone)]
pub struct LeaseMetrics {
    held: IntGauge,
    gained: IntCounter,
    lost: IntCounter,
}

impl LeaseMetrics {
    /// Registers the metrics with the label `lease`.
    ///
    /// # Errors
    /// When the registry has those of this lease already.
    pub fn register(registry: &Registry, lease: &'static str) -> prometheus::Result<Self> {
        let held = Opts::new("deed_lease_held", "1 while this process holds the lease; a standby tells 0.");
        let changes = |change| {
            let opts = Opts::new(
                "deed_lease_changes_total",
                "Leases taken, and leases given back, run out or taken over by another process.",
            );
            IntCounter::with_opts(opts.const_label("lease", lease).const_label("change", change))
        };
        let metrics = Self {
            held: IntGauge::with_opts(held.const_label("lease", lease))?,
            gained: changes("gained")?,
            lost: changes("lost")?,
        };
        registry.register(Box::new(metrics.held.clone()))?;
        registry.register(Box::new(metrics.gained.clone()))?;
        registry.register(Box::new(metrics.lost.clone()))?;
        Ok(metrics)
    }

    /// Counts the lease as gained, and as lost when the guard is dropped.
    pub fn gain(&self) -> HeldLeaseGuard {
        self.gained.inc();
        self.held.set(1);
        HeldLeaseGuard(self.clone())
    }
}

/// Marks the lease as held until it is dropped.
#[derive(Debug)]
pub struct HeldLeaseGuard(LeaseMetrics);

impl Drop for HeldLeaseGuard {
    fn drop(&mut self) {
        self.0.lost.inc();
        self.0.held.set(0);
    }
}
