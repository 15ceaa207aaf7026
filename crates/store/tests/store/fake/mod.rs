//! A store in memory that breaks on demand, and a clock that follows the runtime's.
mod clock;
mod faults;
mod log;
mod requests;
mod singletons;
mod views;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, DueKind, StreamId};
use deed_store::{
    ApiKey, AppRow, Appends, ClaimRow, GroupCommit, GroupCommitLimits, KeyHash, OwnershipRow, Position,
    RecordedEvent, RequestKey, StoredResponse,
};
use tokio::sync::watch;

pub use self::clock::RuntimeClock;
use self::faults::Faults;
pub use self::faults::{Call, Fault};

/// One process's handle on a store.
#[derive(Clone)]
pub struct Memory {
    tables: Arc<Tables>,
    commit: GroupCommit,
}

/// What all handles share.
pub struct Tables {
    rows: Mutex<Rows>,
    faults: Mutex<Faults>,
    head: watch::Sender<Position>,
    pub told: Appends,
}

#[derive(Default)]
struct Rows {
    log: Vec<RecordedEvent>,
    requests: HashMap<RequestKey, Request>,
    keys: Vec<(KeyHash, ApiKey)>,
    leases: HashMap<String, LeaseState>,
    views: Views,
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
struct Views {
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
            told: Appends::default(),
        };
        Self::on(Arc::new(tables))
    }

    /// With a gatherer of its own.
    pub fn another_process(&self) -> Self {
        Self::on(self.tables())
    }

    fn on(tables: Arc<Tables>) -> Self {
        let commit = GroupCommit::start(tables.clone(), GroupCommitLimits::default());
        Self { tables, commit }
    }

    pub fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    /// The next calls of a kind break, each in its turn.
    pub fn breaks(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.tables.faults.lock().unwrap().plan(call, faults);
    }
}

impl Tables {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }
}
