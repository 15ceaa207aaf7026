//! Metrics of appends: results, duration, batch sizes, events.
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use deed_claims::Event;
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};
use tokio::time::Instant;

use crate::{Append, AppendError, Appended};

/// Metrics of appends.
#[derive(Debug, Clone)]
pub struct AppendMetrics {
    appended: IntCounter,
    conflict: IntCounter,
    unavailable: IntCounter,
    seconds: Histogram,
    batch: Histogram,
    events: BTreeMap<&'static str, IntCounter>,
}

impl AppendMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |opts: Opts| {
            let counter = IntCounter::with_opts(opts)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let result = |result| {
            let help = "Appends asked for. After a conflict the decision is made anew; where the store was unavailable, \
                        nobody knows whether it wrote.";
            counter(Opts::new("deed_appends_total", help).const_label("result", result))
        };
        let events = Event::KINDS.iter().map(|(kind, _)| {
            let opts = Opts::new("deed_appended_events_total", "Events written to the log.");
            Ok((*kind, counter(opts.const_label("event", *kind))?))
        });
        let seconds = HistogramOpts::new(
            "deed_append_duration_seconds",
            "From asking for an append to its answer, waiting for others' included.",
        );
        let buckets =
            vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let batch =
            HistogramOpts::new("deed_append_batch_size", "Appends handed to the store as one transaction.");
        let metrics = Self {
            appended: result("appended")?,
            conflict: result("conflict")?,
            unavailable: result("unavailable")?,
            seconds: Histogram::with_opts(seconds.buckets(buckets))?,
            batch: Histogram::with_opts(batch.buckets((0..10).map(|n| f64::from(1 << n)).collect()))?,
            events: events.collect::<prometheus::Result<_>>()?,
        };
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.batch.clone()))?;
        Ok(metrics)
    }
}

/// Holds the append metrics of a store; empty until the store is measured. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MetricsSlot(Arc<OnceLock<AppendMetrics>>);

impl MetricsSlot {
    /// Counts appends from now on. The first metrics stay when it is called again.
    pub fn set(&self, metrics: AppendMetrics) {
        let _ = self.0.set(metrics);
    }

    /// Starts the timer of an append.
    pub(crate) fn start_append(&self, append: &Append) -> AppendTimer<'_> {
        let metrics = self.0.get().map(|metrics| {
            let events = append.writes.iter().flat_map(|write| &write.events);
            (metrics, events.filter_map(|event| metrics.events.get(event.kind())).collect())
        });
        AppendTimer { metrics, started: Instant::now() }
    }

    /// Records how many appends are written as one transaction.
    pub fn record_batch(&self, appends: usize) {
        if let Some(metrics) = self.0.get() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "the values of a histogram are floating-point numbers"
            )]
            metrics.batch.observe(appends as f64);
        }
    }
}

/// The timer of an append in flight; the append is not counted when it is dropped.
#[derive(Debug)]
pub(crate) struct AppendTimer<'m> {
    metrics: Option<(&'m AppendMetrics, Vec<&'m IntCounter>)>,
    started: Instant,
}

impl AppendTimer<'_> {
    /// Counts the result of the append, and returns it.
    pub(crate) fn finish(self, result: Result<Appended, AppendError>) -> Result<Appended, AppendError> {
        let Some((metrics, events)) = self.metrics else { return result };
        metrics.seconds.observe(self.started.elapsed().as_secs_f64());
        match &result {
            Ok(_) => {
                metrics.appended.inc();
                events.into_iter().for_each(IntCounter::inc);
            }
            Err(AppendError::Conflict { .. }) => metrics.conflict.inc(),
            Err(AppendError::Unavailable(_)) => metrics.unavailable.inc(),
        }
        result
    }
}
