//! Metrics of the HTTP interface; labels are operation ids and status classes, never client input.
use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// Labels for requests to an unknown path or with an unknown method.
pub(crate) const NO_ROUTE: &str = "unknown_route";
pub(crate) const NO_METHOD: &str = "method_not_allowed";

/// The status classes that are exported from the start; others appear when they are first used.
const CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

/// Request counts and durations.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    known: HashMap<String, OperationSeries>,
}

/// The series of one operation.
#[derive(Debug, Clone)]
struct OperationSeries {
    by_class: [IntCounter; CLASSES.len()],
    seconds: Histogram,
}

impl HttpMetrics {
    /// Registers the metrics, with series for the operations of these ids.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(
        registry: &Registry,
        operations: impl IntoIterator<Item = String>,
    ) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "deed_http_requests_total",
                "HTTP requests answered, by operation; what fits none, by its error code.",
            ),
            &["operation", "status_class"],
        )?;
        let buckets =
            vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "deed_http_request_duration_seconds",
                "From having read the head of a request to its answer, waits that it asked for included.",
            )
            .buckets(buckets),
            &["operation"],
        )?;
        let in_flight =
            IntGauge::new("deed_http_requests_in_flight", "HTTP requests that have no answer yet.")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        let by_class = |operation: &str| CLASSES.map(|class| requests.with_label_values(&[operation, class]));
        let known = operations.into_iter().map(|id| {
            let series = OperationSeries {
                by_class: by_class(&id),
                seconds: seconds.with_label_values(&[id.as_str()]),
            };
            (id, series)
        });
        let known = known.collect();
        for error in [NO_ROUTE, NO_METHOD] {
            let _ = requests.with_label_values(&[error, "4xx"]);
        }
        Ok(Self { requests, seconds, in_flight, known })
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn record(&self, operation: &str, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        let known = self.known.get(operation);
        let series = CLASSES.iter().position(|known| *known == class).zip(known);
        match series.and_then(|(at, series)| series.by_class.get(at)) {
            Some(by_class) => by_class.inc(),
            None => self.requests.with_label_values(&[operation, class]).inc(),
        }
        let seconds = took.as_secs_f64();
        match known {
            Some(series) => series.seconds.observe(seconds),
            None => self.seconds.with_label_values(&[operation]).observe(seconds),
        }
    }
}

/// Guard of a request in flight.
#[derive(Debug)]
pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Whether the process is ready.
#[derive(Debug, Clone)]
pub struct ReadyMetric(IntGauge);

impl ReadyMetric {
    /// Registers the metric.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "1 while the process is ready, as /readyz tells it, with a store that answers within half a second; \
                    looked at whenever metrics are asked for.";
        let ready = IntGauge::new("deed_ready", help)?;
        registry.register(Box::new(ready.clone()))?;
        Ok(Self(ready))
    }

    pub(crate) fn set(&self, ready: bool) {
        self.0.set(ready.into());
    }
}
