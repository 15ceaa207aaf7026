//! Command execution: load streams, decide, append; repeated when another append was faster.
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use deed_claims::{Clock, Event, StreamId};
use futures::{future::try_join_all, try_join};

use crate::{
    Aggregate, Append, AppendError, EventStore, Loaded, Metadata, Position, Receipt, StreamWrite,
    Unavailable, Version, load,
};

/// The pauses between attempts. They grow and differ between requests, so that rivals do not collide again; after the last
/// one, the streams count as contended.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_jitter()
    .with_min_delay(Duration::from_millis(1))
    .with_max_delay(Duration::from_millis(10))
    .with_max_times(7);

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

impl Plan<()> {
    /// Writes events to one stream.
    pub fn write<T: Into<Event>>(stream: &StreamId, events: impl IntoIterator<Item = T>) -> Self {
        let events = events.into_iter().map(Into::into).collect();
        Self { writes: vec![(stream.clone(), events)], receipt: None, result: () }
    }
}

/// A command that was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed<L, R> {
    /// What was decided on, before the events of the plan.
    pub loaded: L,
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

/// What a command decides on: one stream, a pair, a list, or a combination of these.
pub trait Load: Sized + Send + Sync {
    /// The names of the streams.
    type Streams: Send;

    /// Loads the streams.
    ///
    /// # Errors
    /// When the store does not answer.
    fn load(
        store: &dyn EventStore,
        streams: Self::Streams,
    ) -> impl Future<Output = Result<Self, Unavailable>> + Send;

    /// Reads the events that were appended since.
    ///
    /// # Errors
    /// When the store does not answer.
    fn catch_up(&mut self, store: &dyn EventStore) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The version of a stream; none when the stream was not loaded.
    fn version_of(&self, stream: &StreamId) -> Option<Version>;
}

impl<A: Aggregate> Load for Loaded<A> {
    type Streams = StreamId;

    async fn load(store: &dyn EventStore, stream: StreamId) -> Result<Self, Unavailable> {
        load(store, &stream).await
    }

    async fn catch_up(&mut self, store: &dyn EventStore) -> Result<(), Unavailable> {
        self.catch_up(store).await
    }

    fn version_of(&self, stream: &StreamId) -> Option<Version> {
        (self.stream == *stream).then_some(self.version)
    }
}

impl<A: Load, B: Load> Load for (A, B) {
    type Streams = (A::Streams, B::Streams);

    async fn load(store: &dyn EventStore, (a, b): Self::Streams) -> Result<Self, Unavailable> {
        try_join!(A::load(store, a), B::load(store, b))
    }

    async fn catch_up(&mut self, store: &dyn EventStore) -> Result<(), Unavailable> {
        try_join!(self.0.catch_up(store), self.1.catch_up(store)).map(drop)
    }

    fn version_of(&self, stream: &StreamId) -> Option<Version> {
        self.0.version_of(stream).or_else(|| self.1.version_of(stream))
    }
}

impl<L: Load> Load for Vec<L> {
    type Streams = Vec<L::Streams>;

    async fn load(store: &dyn EventStore, streams: Self::Streams) -> Result<Self, Unavailable> {
        try_join_all(streams.into_iter().map(|stream| L::load(store, stream))).await
    }

    async fn catch_up(&mut self, store: &dyn EventStore) -> Result<(), Unavailable> {
        try_join_all(self.iter_mut().map(|loaded| loaded.catch_up(store))).await.map(drop)
    }

    fn version_of(&self, stream: &StreamId) -> Option<Version> {
        self.iter().find_map(|loaded| loaded.version_of(stream))
    }
}

/// Loads `streams`, calls `decide` with them, and appends what it returns, guarded by the loaded versions. When a stream
/// has moved on, reads the new events and decides again, 8 times at most.
///
/// # Errors
/// When the command is rejected, the streams stay contended, or the store does not answer.
pub async fn execute<L: Load, R, E>(
    store: &dyn EventStore,
    clock: &dyn Clock,
    streams: L::Streams,
    metadata: &Metadata,
    mut decide: impl FnMut(&L, DateTime<Utc>) -> Result<Plan<R>, E> + Send,
) -> Result<Executed<L, R>, ExecuteError<E>> {
    let mut loaded = L::load(store, streams).await?;
    let mut pauses = PAUSES.build();
    loop {
        let at = clock.now();
        let Plan { writes, receipt, result } = decide(&loaded, at).map_err(ExecuteError::Rejected)?;
        let writes = with_expected_versions(writes, &loaded);
        if writes.is_empty() {
            return Ok(Executed { loaded, result, position: None });
        }
        let append = Append { writes, receipt, metadata: metadata.clone(), at };
        match store.append(append).await {
            Ok(appended) => return Ok(Executed { loaded, result, position: Some(appended.position) }),
            Err(AppendError::Conflict { .. }) => {}
            Err(AppendError::Unavailable(error)) => return Err(error.into()),
        }
        tokio::time::sleep(pauses.next().ok_or(ExecuteError::Contended)?).await;
        loaded.catch_up(store).await?;
    }
}

/// Each stream once, with the version at which it was loaded.
fn with_expected_versions(writes: Vec<(StreamId, Vec<Event>)>, loaded: &impl Load) -> Vec<StreamWrite> {
    let mut merged: Vec<StreamWrite> = Vec::with_capacity(writes.len());
    for (stream, events) in writes {
        if events.is_empty() {
            continue;
        }
        if let Some(write) = merged.iter_mut().find(|write| write.stream == stream) {
            write.events.extend(events);
            continue;
        }
        let expected = loaded.version_of(&stream).unwrap_or_default();
        merged.push(StreamWrite { stream, expected, events });
    }
    merged
}
