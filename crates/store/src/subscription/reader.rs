//! The active reader of a subscription: reads the log, delivers batches and moves the checkpoint while it has the lease.
use std::{error::Error, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::wait::{Backoff, HeadHints, Wakeup};
use super::{
    Batch, Checkpoints, EventStore, Lease, Position, Progress, RecordedEvent, Subscriber, SubscriberError,
    SubscriptionConfig, SubscriptionError, Unavailable,
};
use crate::LeaseError;
use crate::log_pages::check_contiguous;

/// The pause after a batch that was not full. Events that are appended meanwhile form one batch: under constant load,
/// each read, write and checkpoint would otherwise be for a few events only. A first event does not wait.
const COALESCE: Duration = Duration::from_millis(5);

/// Why a reader ended.
pub(super) enum ReaderExit {
    Stopped,
    LeaseLost,
    /// The next event was written by a newer version.
    UnreadableEvent,
    Failed(SubscriptionError),
}

/// Reads for a subscriber under one lease.
pub(super) struct LeasedReader<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) checkpoints: &'a dyn Checkpoints,
    pub(super) lease: &'a Lease,
    pub(super) config: &'a SubscriptionConfig,
    pub(super) stop: &'a CancellationToken,
    pub(super) head: HeadHints,
    pub(super) backoff: &'a mut Backoff,
}

impl LeasedReader<'_> {
    pub(super) async fn follow(&mut self, subscriber: &mut dyn Subscriber) -> ReaderExit {
        let mut at = match self.start_position(subscriber.name()).await {
            Ok(checkpoint) => checkpoint,
            Err(exit) => return exit,
        };
        while !self.stop.is_cancelled() {
            match self.step(subscriber, at).await {
                Ok(reached) => at = reached,
                Err(exit) => return exit,
            }
        }
        ReaderExit::Stopped
    }

    /// The checkpoint, which must not lie beyond the log.
    async fn start_position(&mut self, name: &'static str) -> Result<Position, ReaderExit> {
        loop {
            let (checkpoints, store) = (self.checkpoints, self.store);
            let positions = async { Ok((checkpoints.checkpoint(name).await?, store.last_position().await?)) };
            match self.with_timeout(positions).await {
                Ok((checkpoint, last)) if checkpoint > last => {
                    return Err(ReaderExit::Failed(SubscriptionError::AheadOfLog { name, checkpoint, last }));
                }
                Ok((checkpoint, _)) => return Ok(checkpoint),
                Err(error) => self.back_off(&error, "the checkpoint could not be read").await?,
            }
        }
    }

    /// Reads and delivers one batch; returns the checkpoint after it.
    async fn step(
        &mut self,
        subscriber: &mut dyn Subscriber,
        from: Position,
    ) -> Result<Position, ReaderExit> {
        let Some(events) = self.read(from).await? else { return Ok(from) };
        let Some(to) = events.last().map(|event| event.position) else { return self.wait(from).await };
        if let Err(gap) = check_contiguous(from, &events) {
            tracing::error!(subscription = %self.lease.name, cause = %gap, "the log was not read whole");
            self.pause().await?;
            return Ok(from);
        }
        let batch = Batch { lease: self.lease, from, to, events: &events };
        let is_full = events.len() >= self.config.batch;
        match self.deliver(subscriber, batch).await? {
            Ok(progress) => self.record(progress, from, to, is_full).await,
            Err(cause) => {
                self.back_off(&*cause, "a batch has to be tried again").await?;
                // The cause may be that the store has gone back.
                self.recheck_checkpoint(from).await
            }
        }
    }

    /// The events after a position; none when the read has to be tried again.
    async fn read(&mut self, from: Position) -> Result<Option<Vec<RecordedEvent>>, ReaderExit> {
        self.head.mark_seen();
        let error = match self.with_timeout(self.store.read_log(from, self.config.batch.max(1))).await {
            Ok(events) => return Ok(Some(events)),
            Err(error) => error,
        };
        if let Some(event) = error.unreadable_event() {
            let (subscription, cause) = (&self.lease.name, event.source().map(ToString::to_string));
            tracing::error!(
                %subscription, after = %from, error = %event, cause,
                "the log goes on with what this version cannot read: left to a newer one"
            );
            return Err(ReaderExit::UnreadableEvent);
        }
        self.back_off(&error, "the log could not be read").await?;
        Ok(None)
    }

    /// Waits for new events. Stopping ends the wait, and the caller sees it.
    async fn wait(&mut self, from: Position) -> Result<Position, ReaderExit> {
        self.backoff.reset();
        match self.stop.run_until_cancelled(self.head.wait(self.config.poll)).await {
            Some(Wakeup::Timeout) => self.recheck_checkpoint(from).await,
            Some(Wakeup::Hint) | None => Ok(from),
        }
    }

    /// Moves the checkpoint as far as the batch was processed.
    async fn record(
        &mut self,
        progress: Progress,
        from: Position,
        to: Position,
        is_full: bool,
    ) -> Result<Position, ReaderExit> {
        match progress {
            Progress::Advanced => {
                self.backoff.reset();
                self.coalesce(is_full).await;
                Ok(to)
            }
            Progress::Advance => {
                let reached = self.advance(from, to).await?;
                self.coalesce(is_full).await;
                Ok(reached)
            }
            Progress::AdvanceTo(part) if from < part && part <= to => self.advance(from, part).await,
            Progress::AdvanceTo(part) => {
                tracing::error!(subscription = %self.lease.name, %part, %from, %to, "no such place in the batch");
                self.pause().await?;
                Ok(from)
            }
        }
    }

    /// Reads the checkpoint again after a poll without a hint, or after a failure. A store that crashed may have come
    /// back with an older checkpoint and older rows: then the later events are delivered again, even if no new ones
    /// come.
    async fn recheck_checkpoint(&mut self, from: Position) -> Result<Position, ReaderExit> {
        match self.with_timeout(self.checkpoints.checkpoint(&self.lease.name)).await {
            Ok(at) if at == from => Ok(from),
            Ok(at) if at < from => {
                tracing::warn!(subscription = %self.lease.name, %from, %at, "the checkpoint has gone back");
                Ok(at)
            }
            Ok(_) => Err(ReaderExit::LeaseLost),
            Err(error) => {
                self.back_off(&error, "the checkpoint could not be read").await?;
                Ok(from)
            }
        }
    }

    /// Lets the subscriber finish its batch; once told to stop, for a limited time.
    async fn deliver(
        &self,
        subscriber: &mut dyn Subscriber,
        batch: Batch<'_>,
    ) -> Result<Result<Progress, Box<dyn Error + Send + Sync>>, ReaderExit> {
        let stop_deadline = async {
            self.stop.cancelled().await;
            sleep(self.config.lease_ttl).await;
        };
        tokio::select! {
            biased;
            consumed = subscriber.consume(batch) => match consumed {
                Ok(progress) => Ok(Ok(progress)),
                Err(SubscriberError::Retry(cause)) => Ok(Err(cause)),
                Err(SubscriberError::Lost) => Err(ReaderExit::LeaseLost),
            },
            () = stop_deadline => Err(ReaderExit::Stopped),
        }
    }

    /// Moves the checkpoint. When a move was made but its answer was lost, the next try is refused: then the lease is
    /// treated as lost, the checkpoint is read again, and nothing is processed twice.
    async fn advance(&mut self, from: Position, to: Position) -> Result<Position, ReaderExit> {
        loop {
            match timeout(self.config.lease_ttl, self.checkpoints.advance(self.lease, from, to)).await {
                Ok(Ok(())) => break,
                Ok(Err(LeaseError::Lost)) => return Err(ReaderExit::LeaseLost),
                Ok(Err(LeaseError::Unavailable(error))) => {
                    self.back_off(&error, "the checkpoint could not be moved").await?;
                }
                Err(late) => self.back_off(&late, "the checkpoint could not be moved").await?,
            }
        }
        self.backoff.reset();
        Ok(to)
    }

    async fn with_timeout<T>(
        &self,
        call: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        match timeout(self.config.lease_ttl, call).await {
            Ok(answer) => answer,
            Err(late) => Err(Unavailable::new("wait for an answer", late)),
        }
    }

    /// Logs a failure and pauses.
    async fn back_off(
        &mut self,
        error: &(dyn Error + Send + Sync),
        message: &'static str,
    ) -> Result<(), ReaderExit> {
        let cause = error.source().map(ToString::to_string);
        tracing::warn!(subscription = %self.lease.name, %error, cause, "{message}");
        self.pause().await
    }

    /// Lets events accumulate after a batch that was not full. Stopping ends the pause, and the caller sees it.
    async fn coalesce(&self, was_full: bool) {
        if !was_full {
            self.stop.run_until_cancelled(sleep(COALESCE)).await;
        }
    }

    async fn pause(&mut self) -> Result<(), ReaderExit> {
        self.stop.run_until_cancelled(self.backoff.pause()).await.ok_or(ReaderExit::Stopped)
    }
}
