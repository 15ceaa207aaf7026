//! Counts and times publishes, by destination and result.
use std::{sync::OnceLock, time::Duration};

use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};
use tokio::time::Instant;

use crate::{BusError, PublishOutcome, RoutingKey, Topology};

/// Where a message is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The exchange, with a routing key that no queue of the topology is bound to.
    Events,
    /// A work queue.
    Work,
    /// A dead-letter queue.
    DeadLetters,
}

impl Destination {
    const ALL: [Self; 3] = [Self::Events, Self::Work, Self::DeadLetters];

    /// The destination of a message with this routing key.
    pub(crate) fn of(topology: &Topology, key: &RoutingKey) -> Self {
        if topology.route(key).next().is_some() { Self::Work } else { Self::Events }
    }

    /// The destination of a message that is published to a queue by name.
    pub(crate) fn of_queue(topology: &Topology, queue: &str) -> Self {
        let is_dead = topology.queues.values().any(|spec| spec.dead_letter_queue == queue);
        if is_dead { Self::DeadLetters } else { Self::Work }
    }

    /// The label value: the name of Deed's exchange or queue without the common prefix.
    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Work => "verification",
            Self::DeadLetters => "dead",
        }
    }
}

/// The metrics of publishing.
#[derive(Clone, Debug)]
pub struct PublishMetrics {
    by_destination: [DestinationMetrics; Destination::ALL.len()],
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
    /// Registers the metrics.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let [events, work, dead_letters] =
            Destination::ALL.map(|to| DestinationMetrics::register(registry, to.as_str()));
        Ok(Self { by_destination: [events?, work?, dead_letters?] })
    }

    fn of(&self, destination: Destination) -> &DestinationMetrics {
        let [events, work, dead_letters] = &self.by_destination;
        match destination {
            Destination::Events => events,
            Destination::Work => work,
            Destination::DeadLetters => dead_letters,
        }
    }
}

impl DestinationMetrics {
    fn register(registry: &Registry, destination: &'static str) -> prometheus::Result<Self> {
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
    metrics: Option<&'m PublishMetrics>,
    destinations: Vec<Destination>,
    started: Instant,
}

impl<'m> PublishRecorder<'m> {
    pub(crate) fn start(
        slot: &'m PublishMetricsSlot,
        destinations: impl Iterator<Item = Destination>,
    ) -> Self {
        let metrics = slot.get();
        let destinations = if metrics.is_some() { destinations.collect() } else { vec![] };
        Self { metrics, destinations, started: Instant::now() }
    }

    /// Records the outcome of each message, and returns the result unchanged.
    pub(crate) fn record(
        self,
        result: Result<Vec<PublishOutcome>, BusError>,
    ) -> Result<Vec<PublishOutcome>, BusError> {
        let Some(metrics) = self.metrics else { return result };
        let outcomes = result.as_deref().unwrap_or_default();
        for (index, destination) in self.destinations.iter().enumerate() {
            let to = metrics.of(*destination);
            outcomes.get(index).map_or(&to.failed, |outcome| to.counter(*outcome)).inc();
        }
        let took: Duration = self.started.elapsed();
        for destination in Destination::ALL.into_iter().filter(|one| self.destinations.contains(one)) {
            metrics.of(destination).seconds.observe(took.as_secs_f64());
        }
        result
    }
}
