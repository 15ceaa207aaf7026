//! The conformance suite on SQLite.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]
use std::sync::Arc;

use deed_store::conformance::StoreUnderTest;
use deed_store::{
    AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Keys, ReadModels,
};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

/// A store in its own file; replicas open the same file.
struct Sqlite {
    folder: Arc<TempDir>,
    store: Arc<SqliteStore>,
}

impl Sqlite {
    async fn open(folder: Arc<TempDir>) -> Self {
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        Self { folder, store: Arc::new(store) }
    }
}

impl StoreUnderTest for Sqlite {
    async fn start() -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap())).await
    }

    async fn replica(&self) -> Option<Self> {
        Some(Self::open(self.folder.clone()).await)
    }

    fn events(&self) -> Arc<dyn EventStore> {
        Arc::new(self.store.instrumented())
    }

    fn measure(&self, metrics: AppendMetrics) {
        self.store.measure(metrics);
    }

    fn connections(&self) -> Connections {
        (self.store.connections())()
    }

    fn checkpoints(&self) -> Arc<dyn Checkpoints> {
        self.store.clone()
    }

    fn read_models(&self) -> Arc<dyn ReadModels> {
        Arc::new(self.store.instrumented())
    }

    fn due_work(&self) -> Arc<dyn DueWork> {
        self.store.clone()
    }

    fn keys(&self) -> Arc<dyn Keys> {
        self.store.clone()
    }

    fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store.clone()
    }
}

deed_store::conformance_suite!(Sqlite);
