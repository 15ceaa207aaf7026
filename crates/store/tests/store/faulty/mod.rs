//! The store in memory, failing on demand, and a clock that follows the runtime's.
mod clock;
mod faults;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::StreamId;
use deed_store::memory::MemoryStore;
use deed_store::{
    Append, AppendError, Appended, Checkpoints, EventStore, Lag, Lease, LeaseError, Position, RecordedEvent,
    Unavailable, Version,
};
use futures::FutureExt;
use tokio::sync::watch;

pub use self::clock::RuntimeClock;
pub use self::faults::{Call, Fault};
use self::faults::{Faults, answer};

/// A store in memory whose calls fail on demand.
#[derive(Clone)]
pub struct FaultyStore {
    pub memory: MemoryStore,
    faults: Arc<Mutex<Faults>>,
}

impl FaultyStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { memory: MemoryStore::new(), faults: Arc::default() }
    }

    pub fn checkpoints(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    /// Makes the next calls of a kind fail, one fault per call.
    pub fn inject(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().inject(call, faults);
    }

    async fn fault(&self, call: Call) -> Result<Option<Fault>, Unavailable> {
        let fault = self.faults.lock().unwrap().take(call);
        faults::fail(fault).await
    }

    /// Appends without the batcher and without faults.
    pub fn append_now(&self, append: Append) {
        self.append_silently(append);
        self.memory.announce();
    }

    /// Like `append_now`, without a hint to readers.
    pub fn append_silently(&self, append: Append) {
        self.memory.append_unannounced(append).unwrap();
    }

    /// Another owner takes a lease over.
    pub fn take_over(&self, name: &str, until: DateTime<Utc>) {
        let now = DateTime::<Utc>::MAX_UTC;
        let taken = self.memory.acquire(name, "rival", now, Duration::ZERO).now_or_never().unwrap();
        let lease = taken.unwrap().unwrap();
        self.memory.renew(&lease, until, Duration::ZERO).now_or_never().unwrap().unwrap();
    }

    pub fn set_checkpoint(&self, name: &str, at: u64) {
        self.memory.restore_checkpoint(name, Position(at));
    }
}

#[async_trait]
impl EventStore for FaultyStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let fault = self.fault(Call::Append).await?;
        Ok(answer(fault, self.memory.append(append).await?)?)
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        self.memory.read_stream(stream, after, limit).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        let gap = self.fault(Call::ReadLog).await? == Some(Fault::Gap);
        self.memory.read_log(Position(after.0 + u64::from(gap)), limit).await
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        self.memory.last_position().await
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.memory.head()
    }
}

#[async_trait]
impl Checkpoints for FaultyStore {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<Lease>, Unavailable> {
        self.fault(Call::Acquire).await?;
        self.memory.acquire(name, owner, now, ttl).await
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError> {
        self.fault(Call::Renew).await?;
        self.memory.renew(lease, now, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Unavailable> {
        self.memory.release(lease).await
    }

    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable> {
        self.memory.checkpoint(name).await
    }

    async fn lag(&self, name: &str) -> Result<Lag, Unavailable> {
        let fault = self.fault(Call::Lag).await?;
        answer(fault, self.memory.lag(name).await?)
    }

    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        let fault = self.fault(Call::Advance).await?;
        self.memory.advance(lease, from, to).await?;
        Ok(answer(fault, ())?)
    }
}
