//! The conformance suite on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]
use std::sync::Arc;

use deed_store::conformance::StoreUnderTest;
use deed_store::{
    AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Keys, ReadModels,
};
use deed_store_postgres::{PostgresConfig, PostgresStore, migrate};
use deed_testkit::{Database, Postgres};

/// A store in its own database; replicas have their own connections, as another process has.
struct UnderTest {
    server: Arc<Postgres>,
    database: Database,
    store: Arc<PostgresStore>,
}

impl UnderTest {
    async fn open(server: Arc<Postgres>, database: Database) -> Self {
        let store = PostgresStore::connect(PostgresConfig::new(database.url())).await.unwrap();
        Self { server, database, store: Arc::new(store) }
    }
}

impl StoreUnderTest for UnderTest {
    async fn start() -> Self {
        let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap();
        let database = server.database().await;
        migrate(&PostgresConfig::new(database.url())).await.unwrap();
        Self::open(server, database).await
    }

    async fn replica(&self) -> Option<Self> {
        Some(Self::open(self.server.clone(), self.database.clone()).await)
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

deed_store::conformance_suite!(UnderTest);
