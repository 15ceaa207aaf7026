//! Counts and times publishes, by destination and result.
use std::{collections::BTreeMap, iter::once, ptr, sync::OnceLock};

use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};
use tokio::time::Instant;

use super::label;
use crate::{BusError, PublishOutcome, RoutingKey, Topology};

/// The destination of a message: the first queue that its key reaches, or the exchange if it reaches none.
pub(crate) fn destination<'a>(topology: &'a Topology, key: &'a RoutingKey) -> &'a str {
    topology.route(key).next().unwrap_or(&topology.exchange)
}

/// The metrics of publishing, by the label of the destination.
#[derive(Clone, Debug)]
pub struct PublishMetrics {
    by_destination: BTreeMap<String, DestinationMetrics>,
}

#[derive(Clone, Debug)]
struct DestinationMetrics {
    confirmed: IntCounter,
    returned: IntCounter,
    refused: IntCounter,
    failed: IntCounter,
    seconds: Histogram,
}

impl PublishMetrics {
    /// Registers the metrics, one series for each destination of this topology.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(registry: &Registry, topology: &Topology) -> prometheus::Result<Self> {
        let queues = topology.queues.iter().flat_map(|(name, spec)| [name, &spec.dead_letter_queue]);
        let mut by_destination = BTreeMap::new();
        for label in once(&topology.exchange).chain(queues).map(|name| label(name)) {
            if !by_destination.contains_key(label) {
                by_destination.insert(label.to_owned(), DestinationMetrics::register(registry, label)?);
            }
        }
        Ok(Self { by_destination })
    }
}

impl DestinationMetrics {
    fn register(registry: &Registry, destination: &str) -> prometheus::Result<Self> {
        let counter = |result| {
            let opts = Opts::new(
                "deed_publishes_total",
                "Messages published. Returned: work that no queue took. Refused: a queue was full, or the broker would \
                 not have it. Failed: nobody knows what became of it.",
            );
            let opts = opts.const_label("destination", destination).const_label("result", result);
            let counter = IntCounter::with_opts(opts)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let seconds = HistogramOpts::new(
            "deed_publish_duration_seconds",
            "From handing messages to the bus together, one or a window of them, to knowing what became of them all.",
        );
        let buckets =
            vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let seconds = seconds.const_label("destination", destination).buckets(buckets);
        let metrics = Self {
            confirmed: counter("confirmed")?,
            returned: counter("returned")?,
            refused: counter("refused")?,
            failed: counter("failed")?,
            seconds: Histogram::with_opts(seconds)?,
        };
        registry.register(Box::new(metrics.seconds.clone()))?;
        Ok(metrics)
    }

    fn counter(&self, outcome: PublishOutcome) -> &IntCounter {
        match outcome {
            PublishOutcome::Confirmed => &self.confirmed,
            PublishOutcome::Unroutable => &self.returned,
            PublishOutcome::Full | PublishOutcome::Rejected => &self.refused,
        }
    }
}

/// The metrics that publishes are recorded in; empty until they are registered.
pub(crate) type PublishMetricsSlot = OnceLock<PublishMetrics>;

/// Records the results and the duration of one publish call.
pub(crate) struct PublishRecorder<'m> {
    /// The metrics of each message's destination; empty until metrics are registered.
    destinations: Vec<Option<&'m DestinationMetrics>>,
    started: Instant,
}

impl<'m> PublishRecorder<'m> {
    pub(crate) fn start<'d>(
        slot: &'m PublishMetricsSlot,
        destinations: impl Iterator<Item = &'d str>,
    ) -> Self {
        let metrics = |metrics: &'m PublishMetrics| {
            destinations.map(|name| metrics.by_destination.get(label(name))).collect()
        };
        Self { destinations: slot.get().map(metrics).unwrap_or_default(), started: Instant::now() }
    }

    /// Records the outcome of each message, and returns the result unchanged.
    pub(crate) fn record(
        self,
        result: Result<Vec<PublishOutcome>, BusError>,
    ) -> Result<Vec<PublishOutcome>, BusError> {
        let took = self.started.elapsed().as_secs_f64();
        let outcomes = result.as_deref().unwrap_or_default();
        let mut timed: Vec<&DestinationMetrics> = vec![];
        for (index, to) in self.destinations.into_iter().enumerate() {
            let Some(to) = to else { continue };
            outcomes.get(index).map_or(&to.failed, |outcome| to.counter(*outcome)).inc();
            if !timed.iter().any(|one| ptr::eq(*one, to)) {
                timed.push(to);
                to.seconds.observe(took);
            }
        }
        result
    }
}
