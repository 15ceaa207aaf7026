//! The metrics of the verifier.
use std::collections::BTreeMap;

use deed_diagnosis::{Code, Outcome};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::outcome::WorkOutcome;

/// Results of messages besides the outcomes of work: dead-lettered, left to due work, requeued.
pub(crate) const DEAD: &str = "dead";
pub(crate) const LEFT: &str = "left";
pub(crate) const REQUEUED: &str = "requeued";

/// The metrics of the verifier.
#[derive(Debug, Clone)]
pub struct VerifierMetrics {
    pub(crate) proven: IntCounter,
    /// One series for each code, in the order of the codes.
    pub(crate) not_proven: Vec<IntCounter>,
    pub(crate) messages: BTreeMap<&'static str, IntCounter>,
    pub(crate) message_duration: Histogram,
    pub(crate) duration: Histogram,
    pub(crate) concurrency: IntGauge,
    pub(crate) in_flight: IntGauge,
    pub(crate) paused: IntGauge,
}

fn seconds(name: &str, help: &str) -> prometheus::Result<Histogram> {
    let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}

impl VerifierMetrics {
    /// Registers the verifier's metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let checks = IntCounterVec::new(
            Opts::new("deed_checks_total", "Checks, by outcome, class and code."),
            &["outcome", "class", "code"],
        )?;
        let messages = IntCounterVec::new(
            Opts::new("deed_verification_messages_total", "Messages of verification work, by result."),
            &["result"],
        )?;
        let not_proven =
            |code: &Code| checks.with_label_values(&["not_proven", code.class().as_str(), code.as_str()]);
        let results = WorkOutcome::ALL.iter().map(|outcome| outcome.as_str()).chain([DEAD, LEFT, REQUEUED]);
        let metrics = Self {
            proven: checks.with_label_values(&["proven", "none", "none"]),
            not_proven: Code::ALL.iter().map(not_proven).collect(),
            messages: results.map(|result| (result, messages.with_label_values(&[result]))).collect(),
            message_duration: seconds(
                "deed_verification_message_duration_seconds",
                "Time from receiving a message of verification work to settling it.",
            )?,
            duration: seconds("deed_check_duration_seconds", "Time that the probes of one check took.")?,
            concurrency: IntGauge::new(
                "deed_verification_hands",
                "Limit of messages of verification work in flight; deed_checks_in_flight counts them.",
            )?,
            in_flight: IntGauge::new("deed_checks_in_flight", "Messages of verification work in flight.")?,
            paused: IntGauge::new(
                "deed_verifier_paused",
                "1 while checks pause because the canary cannot be looked up.",
            )?,
        };
        registry.register(Box::new(checks))?;
        registry.register(Box::new(messages))?;
        for histogram in [&metrics.message_duration, &metrics.duration] {
            registry.register(Box::new(histogram.clone()))?;
        }
        for gauge in [&metrics.concurrency, &metrics.in_flight, &metrics.paused] {
            registry.register(Box::new(gauge.clone()))?;
        }
        Ok(metrics)
    }

    pub(crate) fn count_check(&self, outcome: &Outcome) {
        let series = match outcome {
            Outcome::Proven => Some(&self.proven),
            Outcome::NotProven(diagnosis) => self.not_proven.get(diagnosis.code as usize),
        };
        if let Some(series) = series {
            series.inc();
        }
    }

    /// Counts a message by its result: an outcome of work, or one of the constants above.
    pub(crate) fn count_message(&self, result: &'static str) {
        if let Some(series) = self.messages.get(result) {
            series.inc();
        }
    }
}

/// The outcome, class and code of a check, as the values of labels and log fields.
pub(crate) fn outcome_labels(outcome: &Outcome) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Outcome::Proven => ("proven", "none", "none"),
        Outcome::NotProven(diagnosis) => ("not_proven", diagnosis.class.as_str(), diagnosis.code.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::Diagnosis;
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn registers_a_series_for_each_outcome_and_result() {
        let registry = Registry::new();
        let metrics = VerifierMetrics::register(&registry).unwrap();
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let not_zero = || {
            let text = text();
            let lines = text.lines().filter(|line| line.contains("_total{") && !line.ends_with(" 0"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(not_zero(), Vec::<String>::new());
        assert_eq!(text().matches("deed_checks_total{").count(), Code::ALL.len() + 1);
        for code in Code::ALL {
            metrics.count_check(&Outcome::NotProven(Diagnosis::from_text(*code, "seen", "mend")));
            let series = format!(
                "class=\"{}\",code=\"{}\",outcome=\"not_proven\"",
                code.class().as_str(),
                code.as_str()
            );
            assert!(not_zero().contains(&format!("deed_checks_total{{{series}}} 1")), "{series}");
        }
        assert_eq!(not_zero().len(), Code::ALL.len());
        for outcome in WorkOutcome::ALL {
            metrics.count_message(outcome.as_str());
        }
        assert_eq!(not_zero().len(), Code::ALL.len() + WorkOutcome::ALL.len());
    }
}
