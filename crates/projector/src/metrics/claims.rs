//! The metrics of the claims' lifecycles, counted when events are folded for the first time.
use deed_claims::{ContestResolution, Ended, Scope};
use deed_diagnosis::Code;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use crate::lifecycle_counter::{LifecycleCounter, LifecycleEvent};

/// Buckets from seconds to a month: a record may be published at once or after the holidays.
const TIME_TO_VERIFY: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 259_200.0, 604_800.0, 2_592_000.0];

const ENDS: [Ended; 7] = [
    Ended::Expired,
    Ended::Cancelled,
    Ended::Refused,
    Ended::Transferred,
    Ended::Released,
    Ended::Lapsed,
    Ended::Revoked,
];

/// The metrics of the claims' lifecycles.
#[derive(Debug, Clone)]
pub(crate) struct ClaimMetrics {
    initiated: ByScope<IntCounter>,
    verified: ByScope<IntCounter>,
    time_to_verify: ByScope<Histogram>,
    ended: IntCounterVec,
    opened: IntCounter,
    granted: IntCounter,
    refused: IntCounter,
}

/// One series for each scope.
#[derive(Debug, Clone)]
struct ByScope<M> {
    apex: M,
    host: M,
}

impl<M: Clone + prometheus::core::Collector + 'static> ByScope<M> {
    fn register(
        registry: &Registry,
        make: impl Fn(&'static str) -> prometheus::Result<M>,
    ) -> prometheus::Result<Self> {
        let both = Self { apex: make("apex")?, host: make("host")? };
        registry.register(Box::new(both.apex.clone()))?;
        registry.register(Box::new(both.host.clone()))?;
        Ok(both)
    }

    fn of(&self, scope: Scope) -> &M {
        match scope {
            Scope::Apex => &self.apex,
            Scope::Host => &self.host,
        }
    }
}

impl ClaimMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter =
            |name, help, label, value| IntCounter::with_opts(Opts::new(name, help).const_label(label, value));
        let scoped = |name, help| ByScope::register(registry, |scope| counter(name, help, "scope", scope));
        let resolved = |resolution| {
            let counter = counter(
                "deed_contests_resolved_total",
                "Contests that are over, by what became of the challenger.",
                "resolution",
                resolution,
            )?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let metrics = Self {
            initiated: scoped("deed_claims_initiated_total", "Claims made.")?,
            verified: scoped("deed_claims_verified_total", "Claims proven for the first time.")?,
            time_to_verify: ByScope::register(registry, |scope| {
                let help = "From the first request to verify a claim to its first proof.";
                let opts =
                    HistogramOpts::new("deed_time_to_verify_seconds", help).const_label("scope", scope);
                Histogram::with_opts(opts.buckets(TIME_TO_VERIFY.to_vec()))
            })?,
            ended: IntCounterVec::new(
                Opts::new(
                    "deed_claims_ended_total",
                    "Claims that are over, by how they ended and the code of their last check; none where the last \
                     check was proven or there was none.",
                ),
                &["end", "code"],
            )?,
            opened: IntCounter::new(
                "deed_contests_opened_total",
                "Contests begun: a claim was proven while another holder had the name.",
            )?,
            granted: resolved("granted")?,
            refused: resolved("refused")?,
        };
        registry.register(Box::new(metrics.ended.clone()))?;
        registry.register(Box::new(metrics.opened.clone()))?;
        for end in ENDS {
            for code in std::iter::once(None).chain(Code::ALL.iter().copied().map(Some)) {
                let _ = metrics.ended(end, code);
            }
        }
        Ok(metrics)
    }

    /// Looks the series up each time, which is fast enough: a claim ends once.
    fn ended(&self, end: Ended, code: Option<Code>) -> IntCounter {
        self.ended.with_label_values(&[label(end), code.map_or("none", Code::as_str)])
    }

    /// Counts the lifecycle events of a batch; called after the batch is written.
    pub(crate) fn count(&self, counter: &LifecycleCounter) {
        for event in counter.events() {
            match *event {
                LifecycleEvent::Initiated(scope) => self.initiated.of(scope).inc(),
                LifecycleEvent::Verified { scope, after } => {
                    self.verified.of(scope).inc();
                    if let Some(after) = after {
                        self.time_to_verify.of(scope).observe(after.as_seconds_f64().max(0.0));
                    }
                }
                LifecycleEvent::Ended(end, code) => self.ended(end, code).inc(),
                LifecycleEvent::ContestOpened => self.opened.inc(),
                LifecycleEvent::ContestResolved(ContestResolution::Granted) => self.granted.inc(),
                LifecycleEvent::ContestResolved(ContestResolution::Refused) => self.refused.inc(),
            }
        }
    }
}

fn label(end: Ended) -> &'static str {
    match end {
        Ended::Expired => "expired",
        Ended::Cancelled => "cancelled",
        Ended::Refused => "refused",
        Ended::Transferred => "transferred",
        Ended::Released => "released",
        Ended::Lapsed => "lapsed",
        Ended::Revoked => "revoked",
    }
}
