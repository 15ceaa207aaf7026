//! A store in memory that fails on demand, and a clock that follows the runtime's.
mod clock;
mod faults;
mod leases;
mod log;
mod read_models;
mod requests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, DueKind, StreamId};
use deed_store::{
    ApiKey, AppRow, Append, AppendError, Appended, BatchLimits, Batcher, ClaimRow, KeyHash, MetricsSlot,
    OwnershipRow, Position, RecordedEvent, RequestKey, StoredResponse,
};
use tokio::sync::watch;

pub use self::clock::RuntimeClock;
use self::faults::Faults;
pub use self::faults::{Call, Fault};

/// The handle of one process on a store.
#[derive(Clone)]
pub struct Memory {
    tables: Arc<Tables>,
    appends: Batcher<Append, AppendResult>,
}

pub type AppendResult = Result<Appended, AppendError>;

/// The data that all handles share.
pub struct Tables {
    rows: Mutex<Rows>,
    faults: Mutex<Faults>,
    head: watch::Sender<Position>,
    pub metrics: MetricsSlot,
}

#[derive(Default)]
struct Rows {
    log: Vec<RecordedEvent>,
    requests: HashMap<RequestKey, Request>,
    keys: Vec<(KeyHash, ApiKey)>,
    leases: HashMap<String, LeaseState>,
    read_models: ReadModelRows,
}

struct Request {
    fingerprint: [u8; 32],
    begun_at: DateTime<Utc>,
    locked_until: DateTime<Utc>,
    answer: Option<StoredResponse>,
}

#[derive(Default)]
struct LeaseState {
    holder: Option<(String, DateTime<Utc>)>,
    epoch: u64,
    checkpoint: Position,
}

#[derive(Default)]
struct ReadModelRows {
    ownerships: BTreeMap<StreamId, OwnershipRow>,
    claims: BTreeMap<ClaimId, ClaimRow>,
    apps: BTreeMap<StreamId, AppRow>,
    due: BTreeMap<(ClaimId, DueKind, u32), DueState>,
}

#[derive(Clone)]
struct DueState {
    stream: StreamId,
    due_at: DateTime<Utc>,
    visible_at: DateTime<Utc>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        let tables = Tables {
            rows: Mutex::default(),
            faults: Mutex::default(),
            head: watch::Sender::new(Position(0)),
            metrics: MetricsSlot::default(),
        };
        Self::on(Arc::new(tables))
    }

    /// With its own batcher.
    pub fn another_process(&self) -> Self {
        Self::on(self.tables())
    }

    fn on(tables: Arc<Tables>) -> Self {
        let appends = Batcher::start("append", tables.clone(), BatchLimits::default());
        Self { tables, appends }
    }

    pub fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    /// Makes the next calls of a kind fail, one fault per call.
    pub fn inject(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.tables.faults.lock().unwrap().inject(call, faults);
    }
}

impl Tables {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }
}
