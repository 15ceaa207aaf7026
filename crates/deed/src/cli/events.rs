//! `deed events`: prints events of the log.
use std::time::Duration;

use clap::{Args, Subcommand};
use deed_claims::StreamId;
use deed_service::{Store, stop_signal};
use deed_store::{Position, RecordedEvent, Version};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Events per read; large enough for the bulk path of the store.
const BATCH: usize = 1_000;
/// The interval between two polls of a log that another process writes.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// Print the latest events of the log, one per line
    Tail(Tail),
    /// Print all events of one stream, such as apex:acme.com or host:search.acme.com
    Show {
        /// The stream
        stream: StreamId,
    },
}

#[derive(Debug, Args)]
pub(super) struct Tail {
    /// Follow the log until interrupted
    #[arg(long, short)]
    follow: bool,
    /// How many of the latest events to print
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    lines: u64,
    /// Start after this position instead
    #[arg(long, value_name = "POSITION", conflicts_with = "lines")]
    after: Option<u64>,
}

impl Events {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings()?;
        let store = Store::open_existing(&settings).await?;
        let done = match self {
            Self::Tail(tail) => tail.run(context, &store).await,
            Self::Show { stream } => show(context, &store, &stream).await,
        };
        store.close().await?;
        done
    }
}

async fn show(context: &Context, store: &Store, stream: &StreamId) -> Result<Exit, Failure> {
    let events = store.log.read_stream(stream, Version(0), usize::MAX).await?;
    if events.is_empty() {
        return Err(Failure::NotFound(format!("there is no stream `{stream}`")));
    }
    for event in &events {
        context.output.print(&view(event)?, line)?;
    }
    Ok(Exit::Success)
}

impl Tail {
    async fn run(self, context: &Context, store: &Store) -> Result<Exit, Failure> {
        let last = store.log.last_position().await?.0;
        let mut at = Position(self.after.unwrap_or_else(|| last.saturating_sub(self.lines)));
        let stop = stop_signal()?;
        loop {
            let events = store.log.read_log(at, BATCH).await?;
            for event in &events {
                context.output.print(&view(event)?, line)?;
                at = event.position;
            }
            if events.is_empty() {
                if !self.follow {
                    return Ok(Exit::Success);
                }
                // The writer is another process, so there is no notification.
                tokio::select! {
                    () = stop.cancelled() => return Ok(Exit::Success),
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }
}

fn view(event: &RecordedEvent) -> Result<Value, Failure> {
    let unreadable = |error| Failure::with_source(format!("event {} cannot be shown", event.position), error);
    let payload: Value =
        event.event.payload().and_then(|text| serde_json::from_str(&text)).map_err(unreadable)?;
    Ok(json!({
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "recordedAt": event.recorded_at,
        "kind": event.event.kind(),
        "schema": event.schema,
        "metadata": event.metadata,
        "data": payload,
    }))
}

/// Position, time, stream and version, kind, and the payload without the fields already shown.
fn line(event: &Value) -> String {
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let mut data = event["data"].clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("at");
    }
    format!(
        "{:>6}  {}  {}@{}  {}  {data}",
        event["position"],
        text("recordedAt"),
        text("stream"),
        event["version"],
        text("kind")
    )
}
