//! Exports finished spans in the background. The queue is bounded: spans that do not fit, and batches that
//! the receiver refuses, are dropped and counted.
use std::time::Duration;

use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use prometheus::{IntCounter, Registry};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::TelemetryError;
use crate::config::Traces;

/// Spans per request.
const BATCH: usize = 512;
/// How long a batch is filled before it is sent.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Attempts to send a batch.
const MAX_ATTEMPTS: u32 = 4;
/// The first backoff; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest backoff.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
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

/// The span processor that puts finished spans into the queue.
#[derive(Debug)]
pub(super) struct SpanQueue {
    spans: mpsc::Sender<SpanData>,
    counts: SpanCounts,
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.counts.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A handle of the export task.
pub(crate) struct ExportHandle {
    counts: SpanCounts,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ExportHandle {
    /// The counters.
    pub(crate) fn counts(&self) -> &SpanCounts {
        &self.counts
    }

    /// Sends the remaining spans once, until the deadline.
    pub(crate) async fn finish(mut self, deadline: Instant) {
        self.stop.cancel();
        match timeout_at(deadline, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the sending of spans died"),
            Err(_) => {
                self.task.abort();
                tracing::warn!("the last spans were not sent in time");
            }
        }
    }
}

/// Starts the export task of this process.
pub(super) fn start(
    traces: &Traces,
    resource: &Resource,
) -> Result<(SpanQueue, ExportHandle), TelemetryError> {
    let client = reqwest::Client::builder()
        .timeout(traces.timeout)
        // Spans and headers are meant for this receiver only, so redirects are not followed.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("deed/", env!("CARGO_PKG_VERSION")))
        .build()?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(traces.endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_headers(traces.headers().into_iter().collect())
        .with_timeout(traces.timeout)
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    exporter.set_resource(resource);
    let (sender, spans) = mpsc::channel(traces.queue);
    let (counts, stop) = (SpanCounts::new()?, CancellationToken::new());
    let export = ExportTask {
        exporter,
        spans,
        counts: counts.clone(),
        stop: stop.clone(),
        limit: traces.timeout,
        pause: FIRST_PAUSE,
        outage: None,
    };
    let task = tokio::spawn(export.run());
    Ok((SpanQueue { spans: sender, counts: counts.clone() }, ExportHandle { counts, stop, task }))
}

/// A period in which the receiver accepts no spans.
struct Outage {
    logged_at: Instant,
    dropped: u64,
}

struct ExportTask {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    counts: SpanCounts,
    stop: CancellationToken,
    limit: Duration,
    pause: Duration,
    outage: Option<Outage>,
}

impl ExportTask {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while !self.stop.is_cancelled() {
            self.collect_batch(&mut batch).await;
            self.deliver(&mut batch).await;
        }
        // Spans that end from here on belong to the shutdown and are dropped.
        self.spans.close();
        let mut takes = true;
        while self.spans.recv_many(&mut batch, BATCH).await > 0 {
            takes = takes && self.send(&batch).await;
            if !takes {
                self.drop_all(&mut batch);
            }
            batch.clear();
        }
    }

    /// Waits for spans and fills the batch for a moment.
    async fn collect_batch(&mut self, batch: &mut Vec<SpanData>) {
        let stop = self.stop.clone();
        let Some(Some(first)) = stop.run_until_cancelled(self.spans.recv()).await else { return };
        batch.push(first);
        let more = async {
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                if self.spans.recv_many(batch, room).await == 0 {
                    return;
                }
            }
        };
        // A partial batch is sent as it is.
        let _ = stop.run_until_cancelled(timeout(BATCH_DELAY, more)).await;
    }

    /// Sends a batch with retries and drops it when all fail. During shutdown there is one attempt.
    async fn deliver(&mut self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let stop = self.stop.clone();
        for _ in 0..MAX_ATTEMPTS {
            if self.send(batch).await {
                batch.clear();
                return;
            }
            let pause = self.pause;
            self.pause = (pause * 2).min(LONGEST_PAUSE);
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
        self.drop_all(batch);
    }

    /// Sends a batch once; returns whether it was accepted.
    async fn send(&mut self, batch: &[SpanData]) -> bool {
        let sent = timeout(self.limit, self.exporter.export(batch.to_vec())).await;
        let why = match sent {
            Ok(Ok(())) => {
                self.counts.exported.inc_by(batch.len() as u64);
                self.pause = FIRST_PAUSE;
                if let Some(outage) = self.outage.take() {
                    let dropped = self.counts.dropped.get() - outage.dropped;
                    tracing::info!(dropped, "the receiver takes spans again");
                }
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.log_outage(&why);
        false
    }

    /// Logs that the receiver accepts no spans, at most once per interval.
    fn log_outage(&mut self, why: &str) {
        let now = Instant::now();
        let dropped = self.counts.dropped.get();
        let outage = self.outage.get_or_insert(Outage { logged_at: now, dropped });
        if outage.logged_at == now || now - outage.logged_at >= LOG_INTERVAL {
            outage.logged_at = now;
            let dropped = dropped - outage.dropped;
            tracing::warn!(why, dropped, "the receiver takes no spans; nothing else is touched by it");
        }
    }

    fn drop_all(&self, batch: &mut Vec<SpanData>) {
        self.counts.dropped.inc_by(batch.len() as u64);
        batch.clear();
    }
}
