//! Executing a command: load, decide, append, and again when somebody else was faster.
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use chrono::{DateTime, Utc};
use deed_claims::app::{App, SlugOwner};
use deed_claims::{Event, Ownership, StreamId};

use crate::{
    Append, AppendError, Clock, EventStore, Metadata, Position, Receipt, RecordedEvent, StreamWrite,
    Unavailable, Version,
};

/// How often a decision is made anew before its caller is told that the streams are contended.
const TRIES: u32 = 8;
/// The longest pause between two tries.
const LONGEST_PAUSE_MICROS: u64 = 20_000;

/// A stream as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The stream.
    pub stream: StreamId,
    /// Where it stands.
    pub version: Version,
    /// Every event, in order.
    pub events: Vec<RecordedEvent>,
}

impl Loaded {
    /// The stream folded as that of a contested name.
    pub fn ownership(&self) -> Ownership {
        self.events.iter().fold(Ownership::default(), |state, recorded| match &recorded.event {
            Event::Ownership(event) => state.evolve(event),
            Event::App(_) => state,
        })
    }

    /// The stream folded as that of an app; none before it was made.
    pub fn app(&self) -> Option<App> {
        self.events.iter().fold(None, |state, recorded| match &recorded.event {
            Event::App(event) => App::evolve(state, event),
            Event::Ownership(_) => state,
        })
    }

    /// The stream folded as that of a slug.
    pub fn slug_owner(&self) -> SlugOwner {
        self.events.iter().fold(SlugOwner::default(), |state, recorded| match &recorded.event {
            Event::App(event) => state.evolve(event),
            Event::Ownership(_) => state,
        })
    }

    /// Reads what was written since.
    async fn catch_up(&mut self, store: &dyn EventStore) -> Result<(), Unavailable> {
        let newer = store.read_stream(&self.stream, self.version).await?;
        if let Some(last) = newer.last() {
            self.version = last.version;
        }
        self.events.extend(newer);
        Ok(())
    }
}

/// Reads a whole stream; one that was never written is empty, at version 0.
///
/// # Errors
/// When the store does not answer.
pub async fn load(store: &dyn EventStore, stream: &StreamId) -> Result<Loaded, Unavailable> {
    let mut loaded = Loaded { stream: stream.clone(), version: Version(0), events: vec![] };
    loaded.catch_up(store).await?;
    Ok(loaded)
}

/// What a decision wants to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<R> {
    /// Events for each stream; a stream without events is not written to. A stream that was not loaded is taken to
    /// be new.
    pub writes: Vec<(StreamId, Vec<Event>)>,
    /// The answer to an idempotent request, written together with the events. When there are none, nothing is
    /// appended, and keeping the answer is the caller's business.
    pub receipt: Option<Receipt>,
    /// What the caller is told.
    pub result: R,
}

/// A decision that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed<R> {
    /// What the plan said.
    pub result: R,
    /// Of the last event written; none when nothing was.
    pub position: Option<Position>,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<E> {
    /// The decision was no.
    #[error("the command was rejected")]
    Rejected(E),
    /// Others wrote to the same streams each time.
    #[error("the streams kept moving on")]
    Contended,
    /// The store did not answer; whether it wrote is unknown.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Loads `streams`, lets `decide` decide on them (in their order), and appends what it wants, guarded by the versions it
/// saw. When a stream has moved on, reads the news and decides again, 8 times at most.
///
/// # Errors
/// When the decision is no, the streams stay contended, or the store does not answer.
pub async fn execute<R, E>(
    store: &dyn EventStore,
    clock: &dyn Clock,
    streams: &[StreamId],
    metadata: &Metadata,
    mut decide: impl FnMut(&[Loaded], DateTime<Utc>) -> Result<Plan<R>, E> + Send,
) -> Result<Executed<R>, ExecuteError<E>> {
    let mut loaded = Vec::with_capacity(streams.len());
    for stream in streams {
        loaded.push(load(store, stream).await?);
    }
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(pause(metadata, attempt)).await;
            for stream in &mut loaded {
                stream.catch_up(store).await?;
            }
        }
        let at = clock.now();
        let plan = decide(&loaded, at).map_err(ExecuteError::Rejected)?;
        let writes = guarded(plan.writes, &loaded);
        if writes.is_empty() {
            return Ok(Executed { result: plan.result, position: None });
        }
        let append = Append { writes, receipt: plan.receipt, metadata: metadata.clone(), at };
        match store.append(append).await {
            Ok(appended) => return Ok(Executed { result: plan.result, position: Some(appended.position) }),
            Err(AppendError::Conflict { .. }) => {}
            Err(AppendError::Unavailable(error)) => return Err(error.into()),
        }
    }
    Err(ExecuteError::Contended)
}

/// Each stream once, with the version it was seen at.
fn guarded(writes: Vec<(StreamId, Vec<Event>)>, loaded: &[Loaded]) -> Vec<StreamWrite> {
    let mut guarded: Vec<StreamWrite> = Vec::with_capacity(writes.len());
    for (stream, events) in writes {
        if events.is_empty() {
            continue;
        }
        if let Some(write) = guarded.iter_mut().find(|write| write.stream == stream) {
            write.events.extend(events);
            continue;
        }
        let seen = loaded.iter().find(|loaded| loaded.stream == stream);
        let expected = seen.map_or(Version(0), |loaded| loaded.version);
        guarded.push(StreamWrite { stream, expected, events });
    }
    guarded
}

/// Grows with each try, and differs from request to request, so that rivals do not meet again.
fn pause(metadata: &Metadata, attempt: u32) -> Duration {
    let longest = (1_000_u64 << attempt.min(10)).min(LONGEST_PAUSE_MICROS);
    let mut hasher = DefaultHasher::new();
    (metadata.request_id.as_deref(), metadata.traceparent.as_deref(), attempt).hash(&mut hasher);
    Duration::from_micros(longest / 2 + hasher.finish() % (longest / 2))
}
