//! Which trace is an example of what was measured: kept beside the histograms, which know of no traces.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Span;

use crate::TraceContext;

/// Steps of the grid within which one example is kept, for each doubling of the value.
const FINENESS: f64 = 4.0;
/// Where the grid ends on both sides: microseconds and hours.
const END: f64 = 80.0;

/// One measurement and the trace that it was made in.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// What was measured.
    pub value: f64,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

type Series = (&'static str, String);

/// The latest examples of some histograms, few for each; cheap to clone, and the same in all clones.
#[derive(Debug, Clone, Default)]
pub struct Exemplars(Arc<Mutex<BTreeMap<Series, BTreeMap<i16, Exemplar>>>>);

impl Exemplars {
    /// Keeps a measurement as an example where its span is in a trace that is kept. `label` is the value of the
    /// histogram's only label, empty where it has none: one of few. `at` is in milliseconds since 1970.
    pub fn seen(&self, histogram: &'static str, label: &str, value: f64, at: i64, span: &Span) {
        let Some(trace) = TraceContext::of(span).filter(TraceContext::is_sampled) else { return };
        let exemplar = Exemplar { trace_id: trace.trace_id().to_owned(), value, at };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((histogram, label.to_owned())).or_default().insert(step(value), exemplar);
    }

    /// The latest example in a bucket: above one bound, and up to another.
    pub fn within(&self, histogram: &str, label: &str, above: f64, upto: f64) -> Option<Exemplar> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, found) = all.iter().find(|((name, of), _)| *name == histogram && of == label)?;
        let fitting = found.values().filter(|exemplar| exemplar.value > above && exemplar.value <= upto);
        fitting.max_by_key(|exemplar| exemplar.at).cloned()
    }
}

/// The step of the grid that a value lies on.
fn step(value: f64) -> i16 {
    let step = (value.max(f64::MIN_POSITIVE).log2() * FINENESS).floor().clamp(-END, END);
    #[expect(clippy::cast_possible_truncation, reason = "it is between the ends of the grid")]
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
    fn the_latest_of_a_bucket_is_its_example() {
        let all = Exemplars::default();
        with(Sampler::AlwaysOn, |span| {
            all.seen("seconds", "a", 0.004, 1, span);
            all.seen("seconds", "a", 0.009, 2, span);
            all.seen("seconds", "a", 0.008, 3, span);
            all.seen("seconds", "a", 700_000.0, 4, span);
        });
        let at = |above, upto| all.within("seconds", "a", above, upto).map(|exemplar| exemplar.at);
        assert_eq!(at(0.0, 0.005), Some(1));
        assert_eq!(at(0.005, 0.01), Some(3));
        assert_eq!(at(0.01, 10.0), None);
        assert_eq!(at(10.0, f64::INFINITY), Some(4));
        assert_eq!(all.within("seconds", "b", 0.0, 1.0), None);
        assert_eq!(all.within("metres", "a", 0.0, 1.0), None);
    }

    #[test]
    fn however_much_is_measured_little_is_kept() {
        let all = Exemplars::default();
        with(Sampler::AlwaysOn, |span| {
            for number in 0..10_000_u32 {
                all.seen("seconds", "a", f64::from(number), i64::from(number), span);
            }
        });
        let kept: usize = all.0.lock().unwrap().values().map(BTreeMap::len).sum();
        assert!(kept <= 162, "{kept}");
    }

    #[test]
    fn what_nobody_keeps_is_no_example() {
        let all = Exemplars::default();
        with(Sampler::AlwaysOff, |span| all.seen("seconds", "a", 1.0, 1, span));
        all.seen("seconds", "a", 1.0, 1, &Span::none());
        assert!(all.0.lock().unwrap().is_empty());
    }
}
