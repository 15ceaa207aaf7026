//! What the verifier tells about itself.
use deed_claims::Outcome;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

/// What the verifier tells about itself.
#[derive(Debug, Clone)]
pub struct VerifierMetrics {
    pub(crate) checks: IntCounterVec,
    pub(crate) messages: IntCounterVec,
    pub(crate) duration: Histogram,
    pub(crate) in_flight: IntGauge,
    pub(crate) paused: IntGauge,
}

impl VerifierMetrics {
    /// Registers the verifier's metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let duration = HistogramOpts::new("deed_check_duration_seconds", "How long looks at the DNS took.")
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0]);
        let metrics = Self {
            checks: IntCounterVec::new(
                Opts::new("deed_checks_total", "Checks made, by what they found."),
                &["outcome", "class", "code"],
            )?,
            messages: IntCounterVec::new(
                Opts::new(
                    "deed_verification_messages_total",
                    "Messages of verification work, by what became of them.",
                ),
                &["result"],
            )?,
            duration: Histogram::with_opts(duration)?,
            in_flight: IntGauge::new("deed_checks_in_flight", "Pieces of verification work in hand.")?,
            paused: IntGauge::new(
                "deed_verifier_paused",
                "1 while checks pause because not even names that have to exist can be asked for.",
            )?,
        };
        registry.register(Box::new(metrics.checks.clone()))?;
        registry.register(Box::new(metrics.messages.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.paused.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn judged(&self, outcome: &Outcome) {
        let (outcome, class, code) = words(outcome);
        self.checks.with_label_values(&[outcome, class, code]).inc();
    }
}

/// A verdict in the words of labels and log lines.
pub(crate) fn words(outcome: &Outcome) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Outcome::Proven => ("proven", "none", "none"),
        Outcome::NotProven(diagnosis) => ("not_proven", diagnosis.class.as_str(), diagnosis.code.as_str()),
    }
}
