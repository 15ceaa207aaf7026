//! What became of published messages, by where they were to go.
use std::{sync::OnceLock, time::Duration};

use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};
use tokio::time::Instant;

use crate::{BusError, PublishOutcome, RoutingKey, Topology};

/// Where messages are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To whoever listens at the exchange.
    News,
    /// To a queue of work.
    Work,
    /// To a queue of dead letters.
    Dead,
}

impl Destination {
    const ALL: [Self; 3] = [Self::News, Self::Work, Self::Dead];

    /// Where a message of this key goes.
    pub(crate) fn of(topology: &Topology, key: &RoutingKey) -> Self {
        if topology.route(key).next().is_some() { Self::Work } else { Self::News }
    }

    /// What a queue is for that is published to directly.
    pub(crate) fn of_queue(topology: &Topology, queue: &str) -> Self {
        let is_dead = topology.queues.values().any(|spec| spec.dead_letter_queue == queue);
        if is_dead { Self::Dead } else { Self::Work }
    }

    /// The label: the names of Deed's own exchange and queues, without what they have in common.
    fn as_str(self) -> &'static str {
        match self {
            Self::News => "events",
            Self::Work => "verification",
            Self::Dead => "dead",
        }
    }
}

/// What is told of publishing.
#[derive(Clone, Debug)]
pub struct PublishMetrics {
    to: [ToDestination; Destination::ALL.len()],
}

#[derive(Clone, Debug)]
struct ToDestination {
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
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let [news, work, dead] = Destination::ALL.map(|to| ToDestination::register(registry, to.as_str()));
        Ok(Self { to: [news?, work?, dead?] })
    }

    fn to(&self, destination: Destination) -> &ToDestination {
        let [news, work, dead] = &self.to;
        match destination {
            Destination::News => news,
            Destination::Work => work,
            Destination::Dead => dead,
        }
    }
}

impl ToDestination {
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

    fn of(&self, outcome: PublishOutcome) -> &IntCounter {
        match outcome {
            PublishOutcome::Confirmed => &self.confirmed,
            PublishOutcome::Unroutable => &self.returned,
            PublishOutcome::Full | PublishOutcome::Rejected => &self.refused,
        }
    }
}

/// Whoever is told of publishing; nobody until the bus is measured.
pub(crate) type Told = OnceLock<PublishMetrics>;

/// Messages that are being published together.
pub(crate) struct Publishing<'m> {
    metrics: Option<&'m PublishMetrics>,
    destinations: Vec<Destination>,
    since: Instant,
}

impl<'m> Publishing<'m> {
    pub(crate) fn begin(told: &'m Told, destinations: impl Iterator<Item = Destination>) -> Self {
        let metrics = told.get();
        let destinations = if metrics.is_some() { destinations.collect() } else { vec![] };
        Self { metrics, destinations, since: Instant::now() }
    }

    /// Counts what became of each, and passes it on.
    pub(crate) fn end(
        self,
        answer: Result<Vec<PublishOutcome>, BusError>,
    ) -> Result<Vec<PublishOutcome>, BusError> {
        let Some(metrics) = self.metrics else { return answer };
        let outcomes = answer.as_deref().unwrap_or_default();
        for (index, destination) in self.destinations.iter().enumerate() {
            let to = metrics.to(*destination);
            outcomes.get(index).map_or(&to.failed, |outcome| to.of(*outcome)).inc();
        }
        let took: Duration = self.since.elapsed();
        for destination in Destination::ALL.into_iter().filter(|one| self.destinations.contains(one)) {
            metrics.to(destination).seconds.observe(took.as_secs_f64());
        }
        answer
    }
}
