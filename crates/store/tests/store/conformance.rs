//! The conformance suite against the store in memory.
use std::sync::Arc;

use deed_store::memory::MemoryStore;
use deed_store::{
    AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Keys, ReadModels,
    conformance::StoreUnderTest,
};

struct UnderTest(MemoryStore);

impl UnderTest {
    fn store(&self) -> Arc<MemoryStore> {
        Arc::new(self.0.clone())
    }
}

impl StoreUnderTest for UnderTest {
    async fn start() -> Self {
        Self(MemoryStore::new())
    }

    async fn replica(&self) -> Option<Self> {
        Some(Self(self.0.replica()))
    }

    fn events(&self) -> Arc<dyn EventStore> {
        Arc::new(self.0.instrumented())
    }

    fn measure(&self, metrics: AppendMetrics) {
        self.0.measure(metrics);
    }

    /// A store in memory has no connections.
    fn connections(&self) -> Connections {
        Connections { used: 0, idle: 1, max: 1 }
    }

    fn checkpoints(&self) -> Arc<dyn Checkpoints> {
        self.store()
    }

    fn read_models(&self) -> Arc<dyn ReadModels> {
        Arc::new(self.0.instrumented())
    }

    fn due_work(&self) -> Arc<dyn DueWork> {
        self.store()
    }

    fn keys(&self) -> Arc<dyn Keys> {
        self.store()
    }

    fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store()
    }
}

deed_store::conformance_suite!(UnderTest);
