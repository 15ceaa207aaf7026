//! The projector: the subscriber that folds batches of the log into the read models.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_store::{
    Batch, Changes, Checkpoints, Lease, LeaseError, Position, Progress, READ_MODELS, ReadModels,
    RecordedEvent, Subscriber, SubscriberError,
};
use tracing::Instrument;

use crate::fold::EventsByStream;
use crate::lifecycle_counter::{CountFrom, LifecycleCounter};
use crate::metrics::ProjectorMetrics;
use crate::row_cache::RowCache;
use crate::spans;

/// Folds batches of the log into the read models.
pub struct Projector {
    models: Arc<dyn ReadModels>,
    visibility: chrono::Duration,
    pub(crate) metrics: ProjectorMetrics,
    count_from: Option<CountFrom>,
}

impl Projector {
    /// A projector. Work whose event is published as a message falls due `visibility` later, when the message counts
    /// as lost.
    pub fn new(models: Arc<dyn ReadModels>, visibility: Duration, metrics: ProjectorMetrics) -> Self {
        let visibility = chrono::Duration::from_std(visibility).unwrap_or(chrono::Duration::days(1));
        Self { models, visibility, metrics, count_from: None }
    }

    /// Counts lifecycle events of claims from now on.
    pub(crate) fn count_claims(&mut self, checkpoints: Arc<dyn Checkpoints>) {
        self.count_from = Some(CountFrom::new(checkpoints));
    }

    pub(crate) fn models(&self) -> &dyn ReadModels {
        &*self.models
    }

    /// The changes that the events after a position make. Rows are looked up in `cache` before the store, and new rows
    /// are put into it. Lifecycle events are put into `counter`.
    pub(crate) async fn fold(
        &self,
        from: Position,
        events: &[RecordedEvent],
        mut cache: Option<&mut RowCache>,
        counter: Option<&mut LifecycleCounter>,
    ) -> Result<Changes, SubscriberError> {
        let events = EventsByStream::group(from, events);
        let (mut streams, mut apps) = (events.existing_ownerships(), events.existing_apps());
        let (mut ownership_rows, mut app_rows) = (vec![], vec![]);
        if let Some(cache) = &cache {
            ownership_rows = cache.ownerships.take_hits(&mut streams);
            app_rows = cache.apps.take_hits(&mut apps);
        }
        if !streams.is_empty() {
            ownership_rows.extend(self.models.ownerships(&streams).await.map_err(retry)?);
        }
        if !apps.is_empty() {
            app_rows.extend(self.models.apps(&apps).await.map_err(retry)?);
        }
        let changes = events.fold(ownership_rows, app_rows, self.visibility, counter).map_err(|gap| {
            tracing::error!(stream = %gap.stream, folded = %gap.folded, found = %gap.found,
                "the log does not go on where the read models end; rebuild them");
            retry(gap)
        })?;
        if let Some(cache) = &mut cache {
            cache.insert(&changes);
        }
        Ok(changes)
    }

    /// Writes the changes of a batch.
    pub(crate) async fn write(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        changes: Changes,
    ) -> Result<(), SubscriberError> {
        match self.models.apply(lease, from, to, changes).await {
            Ok(()) => {
                self.metrics.subscription.events.inc_by(to.0.saturating_sub(from.0));
                Ok(())
            }
            Err(LeaseError::Lost) => Err(SubscriberError::Lost),
            Err(LeaseError::Unavailable(error)) => Err(retry(error)),
        }
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
        let mut counter = match &mut self.count_from {
            Some(count_from) => Some(count_from.counter(batch.lease).await.map_err(retry)?),
            None => None,
        };
        let span = spans::batch(batch.events);
        let written = async {
            let changes = self.fold(batch.from, batch.events, None, counter.as_mut()).await?;
            self.write(batch.lease, batch.from, batch.to, changes).await
        };
        let written = written.instrument(span.clone()).await;
        spans::end(&span, &written);
        written?;
        if let Some(counter) = &counter {
            self.metrics.claims.count(counter);
        }
        Ok(Progress::Advanced)
    }
}

#[cfg(test)]
mod tests;
