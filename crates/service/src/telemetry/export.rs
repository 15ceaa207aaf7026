//! Exports finished spans by the batch processor of the OpenTelemetry SDK, and counts what becomes of them. The queue is
//! bounded: spans that do not fit, and batches that the receiver refuses, are dropped.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter as _,
    SpanProcessor,
};
use prometheus::{IntCounter, Registry};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::error::TelemetryError;
use crate::config::Traces;

/// Spans per request.
const BATCH: usize = 512;
/// How long a batch is filled before it is sent.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// The first backoff before a batch is sent again; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest backoff.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Attempts to send a batch.
const ATTEMPTS: u32 = 4;
/// The interval of log lines during an outage of the receiver.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Counters of exported and dropped spans.
#[derive(Debug, Clone)]
pub(crate) struct SpanCounts {
    exported: IntCounter,
    dropped: IntCounter,
}

impl SpanCounts {
    /// Counters at 0.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            exported: IntCounter::new("deed_trace_spans_exported_total", "Spans that the receiver took.")?,
            dropped: IntCounter::new(
                "deed_trace_spans_dropped_total",
                "Spans that found the queue full, or that the receiver did not take.",
            )?,
        })
    }

    /// Registers the counters.
    ///
    /// # Errors
    /// When metrics of these names are already registered.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.exported.clone()))?;
        registry.register(Box::new(self.dropped.clone()))
    }
}

/// The batch processor of the SDK. The SDK does not tell what it drops, so the bound of the queue is here.
#[derive(Debug)]
struct CountingProcessor {
    inner: BatchSpanProcessor,
    counts: SpanCounts,
    queued: Arc<AtomicUsize>,
    capacity: usize,
}

impl SpanProcessor for CountingProcessor {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        let room = |queued: usize| (queued < self.capacity).then_some(queued + 1);
        if self.queued.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok() {
            self.inner.on_end(span);
        } else {
            self.counts.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(limit)
    }
}

/// A handle of the export.
pub(crate) struct ExportHandle {
    pub(super) provider: SdkTracerProvider,
    pub(super) counts: SpanCounts,
    pub(super) outage: SharedOutage,
    /// How long the last spans may take.
    pub(super) limit: Duration,
}

impl ExportHandle {
    /// The counters.
    pub(crate) fn counts(&self) -> &SpanCounts {
        &self.counts
    }

    /// Sends the remaining spans, for at most the timeout of a request and until the deadline.
    pub(crate) async fn finish(self, deadline: Instant) {
        let limit = self.limit.min(deadline.saturating_duration_since(Instant::now()));
        let Self { provider, outage, .. } = self;
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit)).await;
        if let Err(error) =
            flushed.unwrap_or_else(|died| Err(OTelSdkError::InternalFailure(died.to_string())))
        {
            log_outage(&outage, 0, &error);
        }
    }
}

/// The processor that sends spans to the receiver. Needs a Tokio runtime.
pub(super) fn processor(
    traces: &Traces,
    resource: &Resource,
    counts: SpanCounts,
    outage: SharedOutage,
) -> Result<impl SpanProcessor + use<>, TelemetryError> {
    let client = reqwest::Client::builder()
        .timeout(traces.timeout)
        // Spans and headers are meant for this receiver only, so redirects are not followed.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("deed/", env!("CARGO_PKG_VERSION")))
        .build()?;
    let mut inner = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(traces.endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_headers(traces.headers().into_iter().collect())
        // The client limits each attempt; this limits all of them with their pauses.
        .with_timeout((traces.timeout + LONGEST_PAUSE) * ATTEMPTS)
        .with_retry_policy(
            RetryPolicy::recommended()
                .with_max_retries(ATTEMPTS as usize - 1)
                .with_initial_delay(FIRST_PAUSE)
                .with_max_delay(LONGEST_PAUSE),
        )
        .build()?;
    inner.set_resource(resource);
    let queued = Arc::new(AtomicUsize::new(0));
    let exporter = CountingExporter {
        inner: Arc::new(inner),
        counts: counts.clone(),
        queued: queued.clone(),
        runtime: Handle::current(),
        outage,
    };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(traces.queue)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let inner = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Ok(CountingProcessor { inner, counts, queued, capacity: traces.queue })
}

/// The present outage of the receiver; none while it accepts spans.
pub(super) type SharedOutage = Arc<Mutex<Option<Outage>>>;

/// A period in which the receiver accepts no spans.
#[derive(Debug)]
pub(super) struct Outage {
    logged_at: Instant,
    dropped: u64,
}

/// An exporter that counts spans and logs outages of the receiver.
#[derive(Debug)]
struct CountingExporter {
    inner: Arc<SpanExporter>,
    counts: SpanCounts,
    queued: Arc<AtomicUsize>,
    /// The SDK exports on a thread of its own, outside the runtime that the HTTP client needs.
    runtime: Handle,
    outage: SharedOutage,
}

impl opentelemetry_sdk::trace::SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (inner, spans) = (self.inner.clone(), batch.len());
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        let sent = self.runtime.spawn(async move { inner.export(batch).await }).await;
        let sent = sent.unwrap_or_else(|died| Err(OTelSdkError::InternalFailure(died.to_string())));
        match &sent {
            Ok(()) => {
                self.counts.exported.inc_by(spans as u64);
                let outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(Outage { dropped, .. }) = outage {
                    tracing::info!(dropped, "the receiver takes spans again");
                }
            }
            Err(error) => {
                self.counts.dropped.inc_by(spans as u64);
                log_outage(&self.outage, spans as u64, error);
            }
        }
        sent
    }
}

/// Logs that the receiver accepts no spans, at most once per interval.
fn log_outage(outage: &SharedOutage, spans: u64, why: &OTelSdkError) {
    let mut outage = outage.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let dropped = spans + outage.as_ref().map_or(0, |outage| outage.dropped);
    let last = outage.as_ref().map(|outage| outage.logged_at).filter(|at| now - *at < LOG_INTERVAL);
    if last.is_none() {
        tracing::warn!(%why, dropped, "the receiver takes no spans; nothing else is touched by it");
    }
    *outage = Some(Outage { logged_at: last.unwrap_or(now), dropped });
}
