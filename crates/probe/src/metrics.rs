//! Metrics of the prober: results and durations of queries, and how close it is to its limits.
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::transport::error::TransportError;
use crate::transport::route::TransportKind;

/// The registered metrics of queries.
#[derive(Debug)]
struct QueryCounters {
    queries: IntCounterVec,
    seconds: HistogramVec,
    refused: IntCounter,
}

impl QueryCounters {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let queries = Opts::new(
            "deed_dns_queries_total",
            "Queries to DNS servers, by result. Timeout: no response in time. Unreachable: refused, reset, or no \
             route. Garbled: only malformed responses. Case differs: a response whose question has another letter \
             case than the query. Internal: a local error. Crowded: no free socket or slot of the rate limit in time.",
        );
        let seconds = HistogramOpts::new(
            "deed_dns_query_duration_seconds",
            "Time from a query to its response or failure, including the wait for a socket.",
        );
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let counters = Self {
            queries: IntCounterVec::new(queries, &["transport", "result"])?,
            seconds: HistogramVec::new(seconds.buckets(buckets), &["transport"])?,
            refused: IntCounter::new(
                "deed_dns_addresses_refused_total",
                "Addresses of name servers that the egress filter refused.",
            )?,
        };
        // Every series exists from the start.
        for transport in [TransportKind::Udp, TransportKind::Tcp].map(TransportKind::label) {
            for result in RESULTS {
                counters.queries.with_label_values(&[transport, result_label(result)]);
            }
            counters.seconds.with_label_values(&[transport]);
        }
        registry.register(Box::new(counters.queries.clone()))?;
        registry.register(Box::new(counters.seconds.clone()))?;
        registry.register(Box::new(counters.refused.clone()))?;
        Ok(counters)
    }

    fn count(&self, kind: TransportKind, result: Result<(), TransportError>) {
        self.queries.with_label_values(&[kind.label(), result_label(result)]).inc();
    }
}

/// The results of queries.
const RESULTS: [Result<(), TransportError>; 7] = [
    Ok(()),
    Err(TransportError::Timeout),
    Err(TransportError::Unreachable),
    Err(TransportError::Malformed),
    Err(TransportError::CaseDiffers),
    Err(TransportError::Internal),
    Err(TransportError::AtCapacity),
];

fn result_label(result: Result<(), TransportError>) -> &'static str {
    match result {
        Ok(()) => "answered",
        Err(TransportError::Timeout) => "timeout",
        Err(TransportError::Unreachable) => "unreachable",
        Err(TransportError::Malformed) => "garbled",
        Err(TransportError::CaseDiffers) => "case_differs",
        Err(TransportError::Internal) => "internal",
        Err(TransportError::AtCapacity) => "crowded",
    }
}

/// The metrics, once they are registered; before that nothing is recorded.
#[derive(Debug, Default)]
pub(crate) struct QueryMetrics(OnceLock<QueryCounters>);

impl QueryMetrics {
    /// Records the result and duration of a query.
    pub(crate) fn record(&self, kind: TransportKind, took: Duration, result: Result<(), TransportError>) {
        if let Some(counters) = self.0.get() {
            counters.count(kind, result);
            counters.seconds.with_label_values(&[kind.label()]).observe(took.as_secs_f64());
        }
    }

    /// Records that a query is sent a second time after this error: the first attempt is counted, and its time is
    /// part of the second one's.
    pub(crate) fn record_retry(&self, kind: TransportKind, error: TransportError) {
        if let Some(counters) = self.0.get() {
            counters.count(kind, Err(error));
        }
    }

    /// Records that the egress filter refused an address.
    pub(crate) fn record_refused(&self) {
        if let Some(counters) = self.0.get() {
            counters.refused.inc();
        }
    }

    pub(crate) fn register(
        &self,
        registry: &Registry,
        capacity: impl Fn() -> Capacity + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        let counters = QueryCounters::register(registry)?;
        let gauges = CapacityGauges {
            capacity: Box::new(capacity),
            sockets: IntGauge::new("deed_dns_sockets", "Open sockets to DNS servers.")?,
            max_sockets: IntGauge::new(
                "deed_dns_sockets_max",
                "Limit of open sockets to DNS servers; at the limit queries wait.",
            )?,
            open_breakers: IntGauge::new(
                "deed_dns_servers_spared",
                "Addresses with an open circuit breaker, which opens after repeated time-outs.",
            )?,
        };
        registry.register(Box::new(gauges))?;
        let _ = self.0.set(counters);
        Ok(())
    }
}

/// How much of the prober's capacity is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    pub(crate) sockets: usize,
    pub(crate) max_sockets: usize,
    /// Addresses with an open circuit breaker.
    pub(crate) open_breakers: usize,
}

/// Gauges of used capacity, read when the registry is scraped.
struct CapacityGauges {
    capacity: Box<dyn Fn() -> Capacity + Send + Sync>,
    sockets: IntGauge,
    max_sockets: IntGauge,
    open_breakers: IntGauge,
}

impl Collector for CapacityGauges {
    fn desc(&self) -> Vec<&Desc> {
        [self.sockets.desc(), self.max_sockets.desc(), self.open_breakers.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Capacity { sockets, max_sockets, open_breakers } = (self.capacity)();
        let set = |gauge: &IntGauge, number: usize| {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
            gauge.collect()
        };
        [
            set(&self.sockets, sockets),
            set(&self.max_sockets, max_sockets),
            set(&self.open_breakers, open_breakers),
        ]
        .concat()
    }
}
