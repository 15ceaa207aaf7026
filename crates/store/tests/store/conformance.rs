//! The conformance suite against the store in memory.
use std::sync::Arc;

use deed_store::{
    AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Keys, ReadModels,
    conformance::StoreUnderTest,
};

use crate::fake::Memory;

impl StoreUnderTest for Memory {
    async fn start() -> Self {
        Self::new()
    }

    async fn replica(&self) -> Option<Self> {
        Some(self.another_process())
    }

    fn events(&self) -> Arc<dyn EventStore> {
        Arc::new(self.clone())
    }

    fn measure(&self, metrics: AppendMetrics) {
        self.tables().metrics.set(metrics);
    }

    /// A store in memory has no connections.
    fn connections(&self) -> Connections {
        Connections { used: 0, idle: 1, max: 1 }
    }

    fn checkpoints(&self) -> Arc<dyn Checkpoints> {
        self.tables()
    }

    fn read_models(&self) -> Arc<dyn ReadModels> {
        self.tables()
    }

    fn due_work(&self) -> Arc<dyn DueWork> {
        self.tables()
    }

    fn keys(&self) -> Arc<dyn Keys> {
        self.tables()
    }

    fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.tables()
    }
}

deed_store::conformance_suite!(Memory);
