//! Whether this process holds a lease, and how often that has changed.
use prometheus::{IntCounter, IntGauge, Opts, Registry};

/// What is told of one lease.
#[derive(Debug, Clone)]
pub struct LeaseMetrics {
    held: IntGauge,
    gained: IntCounter,
    lost: IntCounter,
}

impl LeaseMetrics {
    /// Registers the metrics of a lease; `lease` is its label.
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

    /// The lease is held for as long as this lives.
    pub fn gain(&self) -> HeldLease {
        self.gained.inc();
        self.held.set(1);
        HeldLease(self.clone())
    }
}

/// A lease that is held.
#[derive(Debug)]
pub struct HeldLease(LeaseMetrics);

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.0.lost.inc();
        self.0.held.set(0);
    }
}
