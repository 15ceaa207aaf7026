//! The handle on the data.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::tables::Tables;
use crate::{
    Append, AppendError, AppendMetrics, Appended, BatchLimits, Batcher, EncodedAppend, Instrumented,
    MetricsSlot, Position,
};

pub(super) type AppendResult = Result<Appended, AppendError>;

/// A store in memory that implements every port. **It is not durable.** Clones share their data.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    pub(super) shared: Arc<Shared>,
    pub(super) append_batcher: Batcher<EncodedAppend, AppendResult>,
}

#[derive(Debug)]
pub(super) struct Shared {
    tables: Mutex<Tables>,
    pub(super) head: watch::Sender<Position>,
    pub(super) metrics: MetricsSlot,
}

impl Shared {
    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    /// An empty store. Needs a Tokio runtime.
    pub fn new() -> Self {
        Self::on(Arc::new(Shared {
            tables: Mutex::default(),
            head: watch::Sender::new(Position(0)),
            metrics: MetricsSlot::default(),
        }))
    }

    /// Another handle on the same data with a batcher of its own, as another process has.
    #[must_use]
    pub fn replica(&self) -> Self {
        Self::on(self.shared.clone())
    }

    fn on(shared: Arc<Shared>) -> Self {
        let append_batcher = Batcher::start("append", shared.clone(), BatchLimits::default());
        Self { shared, append_batcher }
    }

    /// The store with metrics and spans.
    pub fn instrumented(&self) -> Instrumented<Self> {
        Instrumented::new(self.clone(), "memory", self.shared.metrics.clone())
    }

    /// Counts the appends to instrumented handles from now on.
    pub fn measure(&self, metrics: AppendMetrics) {
        self.shared.metrics.set(metrics);
    }

    /// Appends at once, as another process does whose hint to readers is still under way.
    ///
    /// # Errors
    /// As [`EventStore::append`](crate::EventStore::append).
    pub fn append_unannounced(&self, append: Append) -> Result<Appended, AppendError> {
        let batch = [EncodedAppend::new("append", append)?];
        self.shared.append(&batch)?.remove(0)
    }

    /// Tells readers how far the log has grown.
    pub fn announce(&self) {
        let last = self.shared.tables().log.last_position();
        self.shared.head.send_replace(last);
    }

    /// Sets a checkpoint, as the restore of a backup does.
    pub fn restore_checkpoint(&self, name: &str, position: Position) {
        self.shared.tables().leases.set_checkpoint(name, position);
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}
