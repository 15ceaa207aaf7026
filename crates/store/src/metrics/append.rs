//! What is appended, how long that takes, and how much of it at a time.
use std::{collections::BTreeMap, sync::OnceLock};

use deed_claims::Event;
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};
use tokio::time::Instant;

use crate::{Append, AppendError, Appended};

/// What is told of appends.
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

/// Whoever is told of appends; nobody until a store is measured. For backends.
#[derive(Debug, Default)]
pub struct Appends(OnceLock<AppendMetrics>);

impl Appends {
    /// Has appends counted from now on; who was told first stays the one who is told.
    pub fn measure(&self, metrics: AppendMetrics) {
        let _ = self.0.set(metrics);
    }

    /// An append that is asked for now.
    pub fn begin(&self, append: &Append) -> Appending<'_> {
        let told = self.0.get().map(|metrics| {
            let events = append.writes.iter().flat_map(|write| &write.events);
            (metrics, events.filter_map(|event| metrics.events.get(event.kind())).collect())
        });
        Appending { told, since: Instant::now() }
    }

    /// So many appends are handed to the store as one transaction.
    pub fn batch(&self, appends: usize) {
        if let Some(metrics) = self.0.get() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a histogram's values are floating-point numbers"
            )]
            metrics.batch.observe(appends as f64);
        }
    }
}

/// An append that has no answer yet; dropped without one, it is not counted.
#[derive(Debug)]
pub struct Appending<'m> {
    told: Option<(&'m AppendMetrics, Vec<&'m IntCounter>)>,
    since: Instant,
}

impl Appending<'_> {
    /// Counts what became of it, and passes that on.
    ///
    /// # Errors
    /// The one that it was given.
    pub fn end(self, answer: Result<Appended, AppendError>) -> Result<Appended, AppendError> {
        let Some((metrics, events)) = self.told else { return answer };
        metrics.seconds.observe(self.since.elapsed().as_secs_f64());
        match &answer {
            Ok(_) => {
                metrics.appended.inc();
                events.into_iter().for_each(IntCounter::inc);
            }
            Err(AppendError::Conflict { .. }) => metrics.conflict.inc(),
            Err(AppendError::Unavailable(_)) => metrics.unavailable.inc(),
        }
        answer
    }
}
