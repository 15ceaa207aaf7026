//! Exemplars: traces of recent measurements, kept beside the histograms, which do not support them.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use deed_messages::TraceContext;
use tracing::Span;

use crate::context_of;

/// Grid steps for each doubling of the value; one exemplar is kept for each step.
const STEPS_PER_DOUBLING: f64 = 4.0;
/// The last step of the grid on both sides: about a microsecond, and about twelve days.
const LAST_STEP: f64 = 80.0;

/// One measurement, and the trace in which it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// The measured value.
    pub value: f64,
    /// The time of the measurement, in milliseconds since 1970.
    pub at: i64,
}

type Series = (&'static str, String);

/// The latest exemplars of some histograms, a bounded number for each. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Exemplars(Arc<Mutex<BTreeMap<Series, BTreeMap<i16, Exemplar>>>>);

impl Exemplars {
    /// Records a trace exemplar for a histogram, if the trace of the span is sampled. `label` is the value of the
    /// histogram's only label, or empty; it is one of few values. `at` is in milliseconds since 1970.
    pub fn record(&self, histogram: &'static str, label: &str, value: f64, at: i64, span: &Span) {
        let Some(trace) = context_of(span).filter(TraceContext::is_sampled) else { return };
        let exemplar = Exemplar { trace_id: trace.trace_id().to_owned(), value, at };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((histogram, label.to_owned())).or_default().insert(step(value), exemplar);
    }

    /// The latest exemplar of a bucket: above one bound, and up to and including another.
    pub fn latest_in_bucket(&self, histogram: &str, label: &str, above: f64, upto: f64) -> Option<Exemplar> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, exemplars) = all.iter().find(|((name, of), _)| *name == histogram && of == label)?;
        let in_bucket =
            exemplars.values().filter(|exemplar| exemplar.value > above && exemplar.value <= upto);
        in_bucket.max_by_key(|exemplar| exemplar.at).cloned()
    }
}

/// The grid step of a value.
fn step(value: f64) -> i16 {
    let step =
        (value.max(f64::MIN_POSITIVE).log2() * STEPS_PER_DOUBLING).floor().clamp(-LAST_STEP, LAST_STEP);
    #[expect(clippy::cast_possible_truncation, reason = "it is clamped to the grid")]
    let step = step as i16;
    step
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn with(sampler: Sampler, work: impl FnOnce(&Span)) {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            work(&tracing::debug_span!("work.measured"));
        });
    }

    #[test]
    fn returns_the_latest_exemplar_of_a_bucket() {
        let all = Exemplars::default();
        with(Sampler::AlwaysOn, |span| {
            all.record("seconds", "a", 0.004, 1, span);
            all.record("seconds", "a", 0.009, 2, span);
            all.record("seconds", "a", 0.008, 3, span);
            all.record("seconds", "a", 700_000.0, 4, span);
        });
        let at = |above, upto| all.latest_in_bucket("seconds", "a", above, upto).map(|exemplar| exemplar.at);
        assert_eq!(at(0.0, 0.005), Some(1));
        assert_eq!(at(0.005, 0.01), Some(3));
        assert_eq!(at(0.01, 10.0), None);
        assert_eq!(at(10.0, f64::INFINITY), Some(4));
        assert_eq!(all.latest_in_bucket("seconds", "b", 0.0, 1.0), None);
        assert_eq!(all.latest_in_bucket("metres", "a", 0.0, 1.0), None);
    }

    #[test]
    fn number_of_exemplars_is_bounded() {
        let all = Exemplars::default();
        with(Sampler::AlwaysOn, |span| {
            for number in 0..10_000_u32 {
                all.record("seconds", "a", f64::from(number), i64::from(number), span);
            }
        });
        let kept: usize = all.0.lock().unwrap().values().map(BTreeMap::len).sum();
        assert!(kept <= 162, "{kept}");
    }

    #[test]
    fn ignores_unsampled_and_missing_spans() {
        let all = Exemplars::default();
        with(Sampler::AlwaysOff, |span| all.record("seconds", "a", 1.0, 1, span));
        all.record("seconds", "a", 1.0, 1, &Span::none());
        assert!(all.0.lock().unwrap().is_empty());
    }
}
