//! Command execution: load streams, decide, append; repeated when another append was faster.
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use chrono::{DateTime, Utc};
use deed_claims::{Clock, Event, StreamId};

use crate::{
    Append, AppendError, EventStore, Loaded, Metadata, Position, Receipt, StreamWrite, Unavailable, Version,
    load,
};

/// How often a decision is made before the streams count as contended.
const ATTEMPTS: u32 = 8;
/// The longest pause between two attempts.
const LONGEST_PAUSE_MICROS: u64 = 20_000;

/// What a decision writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<R> {
    /// Events for each stream; a stream without events is not written to. A stream that was not loaded is expected
    /// to be new.
    pub writes: Vec<(StreamId, Vec<Event>)>,
    /// The response to an idempotent request, written together with the events. Without events nothing is appended, and
    /// the caller has to store the response.
    pub receipt: Option<Receipt>,
    /// The result for the caller.
    pub result: R,
}

/// A command that was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed<R> {
    /// The result of the plan.
    pub result: R,
    /// The position of the last event; none when nothing was appended.
    pub position: Option<Position>,
}

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<E> {
    /// The decision rejected it.
    #[error("the command was rejected")]
    Rejected(E),
    /// Other commands appended to the same streams at each attempt.
    #[error("the streams kept moving on")]
    Contended,
    /// The store did not answer; whether it wrote is unknown.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Loads `streams`, calls `decide` with them (in their order), and appends what it returns, guarded by the loaded
/// versions. When a stream has moved on, reads the new events and decides again, 8 times at most.
///
/// # Errors
/// When the command is rejected, the streams stay contended, or the store does not answer.
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
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(pause(metadata, attempt)).await;
            for stream in &mut loaded {
                stream.catch_up(store).await?;
            }
        }
        let at = clock.now();
        let plan = decide(&loaded, at).map_err(ExecuteError::Rejected)?;
        let writes = with_expected_versions(plan.writes, &loaded);
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

/// Each stream once, with the version at which it was loaded.
fn with_expected_versions(writes: Vec<(StreamId, Vec<Event>)>, loaded: &[Loaded]) -> Vec<StreamWrite> {
    let mut merged: Vec<StreamWrite> = Vec::with_capacity(writes.len());
    for (stream, events) in writes {
        if events.is_empty() {
            continue;
        }
        if let Some(write) = merged.iter_mut().find(|write| write.stream == stream) {
            write.events.extend(events);
            continue;
        }
        let source = loaded.iter().find(|loaded| loaded.stream == stream);
        let expected = source.map_or(Version(0), |loaded| loaded.version);
        merged.push(StreamWrite { stream, expected, events });
    }
    merged
}

/// A pause that grows with each attempt and differs between requests, so that rivals do not collide again.
fn pause(metadata: &Metadata, attempt: u32) -> Duration {
    let longest = (1_000_u64 << attempt.min(10)).min(LONGEST_PAUSE_MICROS);
    let mut hasher = DefaultHasher::new();
    (metadata.request_id.as_deref(), metadata.traceparent.as_deref(), attempt).hash(&mut hasher);
    Duration::from_micros(longest / 2 + hasher.finish() % (longest / 2))
}
