//! The subscriber that keeps the read models.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_store::{Batch, LeaseError, Progress, ReadModels, Subscriber, SubscriberError};

use crate::fold::Touched;
use crate::metrics::ProjectorMetrics;

/// The name of the projector's lease and checkpoint.
pub const READ_MODELS: &str = "read-models";

/// Folds batches of the log into the read models.
pub struct Projector {
    models: Arc<dyn ReadModels>,
    visibility: chrono::Duration,
    pub(crate) metrics: ProjectorMetrics,
}

impl Projector {
    /// A projector. Work that an event asks for by itself falls due `visibility` later: the time after which its
    /// message is taken for lost.
    pub fn new(models: Arc<dyn ReadModels>, visibility: Duration, metrics: ProjectorMetrics) -> Self {
        let visibility = chrono::Duration::from_std(visibility).unwrap_or(chrono::Duration::days(1));
        Self { models, visibility, metrics }
    }

    pub(crate) fn models(&self) -> &dyn ReadModels {
        &*self.models
    }
}

fn retry(error: impl std::error::Error + Send + Sync + 'static) -> SubscriberError {
    SubscriberError::Retry(Box::new(error))
}

#[async_trait]
impl Subscriber for Projector {
    fn name(&self) -> &'static str {
        READ_MODELS
    }

    async fn consume(&mut self, batch: Batch<'_>) -> Result<Progress, SubscriberError> {
        let touched = Touched::of(batch.events);
        let (streams, apps) = (touched.ownership_streams(), touched.app_streams());
        let ownerships = if streams.is_empty() {
            vec![]
        } else {
            self.models.ownerships(&streams).await.map_err(retry)?
        };
        let apps = if apps.is_empty() { vec![] } else { self.models.apps(&apps).await.map_err(retry)? };
        let changes = touched.fold(ownerships, apps, self.visibility).map_err(|gap| {
            tracing::error!(stream = %gap.stream, folded = %gap.folded, found = %gap.found,
                "the log does not go on where the read models end; rebuild them");
            retry(gap)
        })?;
        match self.models.apply(batch.lease, batch.from, batch.to, changes).await {
            Ok(()) => {
                self.metrics.events.inc_by(batch.events.len() as u64);
                Ok(Progress::Advanced)
            }
            Err(LeaseError::Lost) => Err(SubscriberError::Lost),
            Err(LeaseError::Unavailable(error)) => Err(retry(error)),
        }
    }
}

#[cfg(test)]
mod tests;
