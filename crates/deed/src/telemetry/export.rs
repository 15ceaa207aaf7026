//! Sends finished spans to a receiver, and never has anybody wait for it: what does not fit into the queue is dropped and
//! counted, and so is what the receiver does not take.
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

use super::TelemetryError;
use crate::config::Traces;

/// Spans in one request.
const BATCH: usize = 512;
/// How long a span waits for others to be sent with.
const GATHER: Duration = Duration::from_secs(1);
/// How often a batch is tried before it is dropped.
const TRIES: u32 = 4;
/// The first pause after a failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a receiver that takes nothing is worth a log line.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// What becomes of spans.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    exported: IntCounter,
    dropped: IntCounter,
}

impl Counts {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            exported: IntCounter::new("deed_trace_spans_exported_total", "Spans that the receiver took.")?,
            dropped: IntCounter::new(
                "deed_trace_spans_dropped_total",
                "Spans that found the queue full, or that the receiver did not take.",
            )?,
        })
    }

    /// Shows them among the metrics.
    ///
    /// # Errors
    /// When there are metrics of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.exported.clone()))?;
        registry.register(Box::new(self.dropped.clone()))
    }
}

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    counts: Counts,
}

impl SpanProcessor for Queue {
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

/// The sending of spans, under way.
pub(crate) struct Exporting {
    counts: Counts,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Exporting {
    /// What becomes of the spans.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sends what is left, once, until the deadline at the latest.
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

/// Starts to send the spans of a process.
pub(super) fn start(traces: &Traces, resource: &Resource) -> Result<(Queue, Exporting), TelemetryError> {
    let client = reqwest::Client::builder()
        .timeout(traces.timeout)
        // The headers are for this receiver alone, and so are the spans.
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
    let (counts, stop) = (Counts::new()?, CancellationToken::new());
    let export = Export {
        exporter,
        spans,
        counts: counts.clone(),
        stop: stop.clone(),
        limit: traces.timeout,
        pause: FIRST_PAUSE,
        trouble: None,
    };
    let task = tokio::spawn(export.run());
    Ok((Queue { spans: sender, counts: counts.clone() }, Exporting { counts, stop, task }))
}

/// A time in which the receiver takes nothing.
struct Trouble {
    told: Instant,
    dropped: u64,
}

struct Export {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    counts: Counts,
    stop: CancellationToken,
    limit: Duration,
    pause: Duration,
    trouble: Option<Trouble>,
}

impl Export {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while !self.stop.is_cancelled() {
            self.gather(&mut batch).await;
            self.deliver(&mut batch).await;
        }
        // What ends from here on is the end of the process itself, and nobody's story.
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

    /// Waits for spans, and a moment longer for more of them.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) {
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
        // A batch that is not full when the time is over is sent as it is.
        let _ = stop.run_until_cancelled(timeout(GATHER, more)).await;
    }

    /// Sends a batch, several times if need be; a batch that is not taken is dropped. On the way out once.
    async fn deliver(&mut self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let stop = self.stop.clone();
        for _ in 0..TRIES {
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

    /// Sends a batch once; whether it was taken.
    async fn send(&mut self, batch: &[SpanData]) -> bool {
        let sent = timeout(self.limit, self.exporter.export(batch.to_vec())).await;
        let why = match sent {
            Ok(Ok(())) => {
                self.counts.exported.inc_by(batch.len() as u64);
                self.pause = FIRST_PAUSE;
                if let Some(trouble) = self.trouble.take() {
                    let dropped = self.counts.dropped.get() - trouble.dropped;
                    tracing::info!(dropped, "the receiver takes spans again");
                }
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.tell(&why);
        false
    }

    /// Says that the receiver takes nothing, but not each time.
    fn tell(&mut self, why: &str) {
        let now = Instant::now();
        let dropped = self.counts.dropped.get();
        let trouble = self.trouble.get_or_insert(Trouble { told: now, dropped });
        if trouble.told == now || now - trouble.told >= SAY_AGAIN {
            trouble.told = now;
            let dropped = dropped - trouble.dropped;
            tracing::warn!(why, dropped, "the receiver takes no spans; nothing else is touched by it");
        }
    }

    fn drop_all(&self, batch: &mut Vec<SpanData>) {
        self.counts.dropped.inc_by(batch.len() as u64);
        batch.clear();
    }
}
