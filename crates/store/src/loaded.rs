//! A stream as commands and reads need it: its state, its version and its newest events. What loading costs does not depend
//! on how long the stream is: beyond its first page it goes on from the state that the read models keep.
use deed_claims::app::App;
use deed_claims::{ClaimId, FOLD_VERSION, Ownership, StreamId, StreamKind};

use crate::{
    Aggregate, Checkpoints, ClaimHistory, EventStore, Position, READ_MODELS_FOLD, ReadModels, RecordedEvent,
    Unavailable, Version,
};

/// A stream of fewer events is read whole, which is quicker than to look for its state.
const FIRST_PAGE: usize = 16;
/// Events read at a time.
const PAGE: usize = 1_000;

/// A stream that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<A: Aggregate> {
    /// The stream.
    pub stream: StreamId,
    /// Its version.
    pub version: Version,
    /// The fold of its events.
    pub state: A::State,
    /// Its newest events, in order: all of a short stream.
    pub events: Vec<RecordedEvent>,
}

/// The state of a stream at a version, as the read models keep it.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// How many events are folded.
    pub version: Version,
    /// The state.
    pub state: SnapshotState,
}

/// The state of a stream that the read models keep.
#[derive(Debug, Clone, PartialEq)]
pub enum SnapshotState {
    /// Of a name.
    Ownership(Box<Ownership>),
    /// Of an app.
    App(Box<App>),
}

impl Snapshot {
    /// The state that the read models keep, folded as this version folds; that of a slug is kept nowhere.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(
        store: &(impl ReadModels + Checkpoints),
        stream: &StreamId,
    ) -> Result<Option<Self>, Unavailable> {
        if store.checkpoint(READ_MODELS_FOLD).await? != Position(FOLD_VERSION) {
            return Ok(None);
        }
        let streams = std::slice::from_ref(stream);
        Ok(match stream.kind() {
            StreamKind::Apex | StreamKind::Host => store.ownerships(streams).await?.pop().map(Self::from),
            StreamKind::App => store.apps(streams).await?.pop().map(Self::from),
            StreamKind::Slug => None,
        })
    }
}

impl<A: Aggregate> Loaded<A> {
    /// A stream without events.
    pub fn empty(stream: StreamId) -> Self {
        Self { stream, version: Version(0), state: A::State::default(), events: vec![] }
    }

    /// Adds the next events of the stream.
    pub fn extend(&mut self, events: impl IntoIterator<Item = RecordedEvent>) {
        for recorded in events {
            self.state = A::evolve(std::mem::take(&mut self.state), &recorded.event);
            self.version = recorded.version;
            self.events.push(recorded);
        }
    }

    /// Reads the events that were appended since.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn catch_up(&mut self, store: &dyn EventStore) -> Result<(), Unavailable> {
        loop {
            let page = store.read_stream(&self.stream, self.version, PAGE).await?;
            let more = page.len() == PAGE;
            if more {
                // Older events are in the state already.
                self.events.clear();
            }
            self.extend(page);
            if !more {
                return Ok(());
            }
        }
    }

    /// Goes on from a snapshot, unless its last event is not in the log: then it belongs to another log.
    async fn resume(&mut self, store: &dyn EventStore, snapshot: Snapshot) -> Result<(), Unavailable> {
        let Snapshot { version, state } = snapshot;
        let Some(state) = A::restore(state) else { return Ok(()) };
        let page = store.read_stream(&self.stream, Version(version.0 - 1), PAGE).await?;
        let mut page = page.into_iter();
        if page.next().is_none() {
            return Ok(());
        }
        *self = Self { stream: self.stream.clone(), version, state, events: vec![] };
        self.extend(page);
        Ok(())
    }
}

impl Loaded<Ownership> {
    /// The position of the newest event of the history of a claim.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn claim_position(
        &self,
        store: &dyn EventStore,
        claim_id: ClaimId,
    ) -> Result<Option<Position>, Unavailable> {
        let is_whole = self.version.0 == self.events.len() as u64;
        if is_whole {
            let history = ClaimHistory::of(claim_id).filter(&self.events);
            return Ok(history.last().map(|recorded| recorded.position));
        }
        store.claim_position(&self.stream, claim_id).await
    }
}

/// Loads a stream; an unwritten one is empty, at version 0.
///
/// # Errors
/// When the store does not answer.
pub async fn load<A: Aggregate>(store: &dyn EventStore, stream: &StreamId) -> Result<Loaded<A>, Unavailable> {
    let mut loaded = Loaded::empty(stream.clone());
    let page = store.read_stream(stream, Version(0), FIRST_PAGE).await?;
    let more = page.len() == FIRST_PAGE;
    loaded.extend(page);
    if more {
        let snapshot = store.snapshot(stream).await?.filter(|snapshot| snapshot.version > loaded.version);
        if let Some(snapshot) = snapshot {
            loaded.resume(store, snapshot).await?;
        }
        loaded.catch_up(store).await?;
    }
    Ok(loaded)
}
