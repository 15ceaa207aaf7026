//! The subscriber that keeps the read models.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_store::{
    Batch, Changes, Checkpoints, Lease, LeaseError, Position, Progress, ReadModels, RecordedEvent,
    Subscriber, SubscriberError,
};
use tracing::Instrument;

use crate::fold::Touched;
use crate::metrics::ProjectorMetrics;
use crate::recent::Recent;
use crate::spans;
use crate::tally::{Counting, Tally};

/// The name of the projector's lease and checkpoint.
pub const READ_MODELS: &str = "read-models";

/// Folds batches of the log into the read models.
pub struct Projector {
    models: Arc<dyn ReadModels>,
    visibility: chrono::Duration,
    pub(crate) metrics: ProjectorMetrics,
    counting: Option<Counting>,
}

impl Projector {
    /// A projector. Work that an event asks for by itself falls due `visibility` later: the time after which its
    /// message is taken for lost.
    pub fn new(models: Arc<dyn ReadModels>, visibility: Duration, metrics: ProjectorMetrics) -> Self {
        let visibility = chrono::Duration::from_std(visibility).unwrap_or(chrono::Duration::days(1));
        Self { models, visibility, metrics, counting: None }
    }

    /// From now on, what is consumed is counted as what happens to claims.
    pub(crate) fn count_claims(&mut self, checkpoints: Arc<dyn Checkpoints>) {
        self.counting = Some(Counting::new(checkpoints));
    }

    pub(crate) fn models(&self) -> &dyn ReadModels {
        &*self.models
    }

    /// What events change that come after a position. Rows are taken from `recent` before they are read, and new ones
    /// are put there. What happens to claims is put into `tally`.
    pub(crate) async fn fold(
        &self,
        from: Position,
        events: &[RecordedEvent],
        mut recent: Option<&mut Recent>,
        tally: Option<&mut Tally>,
    ) -> Result<Changes, SubscriberError> {
        let touched = Touched::of(from, events);
        let (mut streams, mut apps) = (touched.known_ownerships(), touched.known_apps());
        let (mut ownership_rows, mut app_rows) = (vec![], vec![]);
        if let Some(recent) = &recent {
            ownership_rows = recent.ownerships.find(&mut streams);
            app_rows = recent.apps.find(&mut apps);
        }
        if !streams.is_empty() {
            ownership_rows.extend(self.models.ownerships(&streams).await.map_err(retry)?);
        }
        if !apps.is_empty() {
            app_rows.extend(self.models.apps(&apps).await.map_err(retry)?);
        }
        let changes = touched.fold(ownership_rows, app_rows, self.visibility, tally).map_err(|gap| {
            tracing::error!(stream = %gap.stream, folded = %gap.folded, found = %gap.found,
                "the log does not go on where the read models end; rebuild them");
            retry(gap)
        })?;
        if let Some(recent) = &mut recent {
            recent.keep(&changes);
        }
        Ok(changes)
    }

    /// Writes what the events of a batch change.
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
        let mut tally = match &mut self.counting {
            Some(counting) => Some(counting.tally(batch.lease).await.map_err(retry)?),
            None => None,
        };
        let span = spans::batch(batch.events);
        let done = async {
            let changes = self.fold(batch.from, batch.events, None, tally.as_mut()).await?;
            self.write(batch.lease, batch.from, batch.to, changes).await
        };
        let done = done.instrument(span.clone()).await;
        spans::end(&span, &done);
        done?;
        if let Some(tally) = &tally {
            self.metrics.claims.count(tally);
        }
        Ok(Progress::Advanced)
    }
}

#[cfg(test)]
mod tests;
