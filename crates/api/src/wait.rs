//! Bounded waits: for a change of a claim, and for the read models to catch up with the log.
use std::time::Duration;

use deed_claims::Ownership;
use deed_http::RequestError;
use deed_store::{Loaded, Position, READ_MODELS};
use tokio::time::Instant;

use crate::state::AppState;

/// How long a list waits for the read models.
const CATCH_UP: Duration = Duration::from_secs(2);
/// The head of the log is only a hint, so a wait reads the stream at least this often.
const MAX_POLL: Duration = Duration::from_millis(250);
/// The head of a busy log moves all the time, so a wait reads the stream no more often than this.
const MIN_POLL: Duration = Duration::from_millis(10);

impl AppState {
    /// Waits until `done` is true of a stream's ownership, at most for `limit`; returns the newest state either
    /// way.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn wait_for(
        &self,
        mut loaded: Loaded<Ownership>,
        limit: Duration,
        done: impl Fn(&Ownership) -> bool + Send,
    ) -> Result<Loaded<Ownership>, RequestError> {
        let deadline = Instant::now() + limit;
        let mut head = self.http.store.head();
        loop {
            // The read below sees everything appended before this line; a later append wakes the wait.
            head.borrow_and_update();
            loaded.catch_up(&*self.http.store).await?;
            let now = Instant::now();
            if done(&loaded.state) || now >= deadline || self.http.stop.is_cancelled() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline.min(now + MAX_POLL)) => {}
                () = self.http.stop.cancelled() => {}
                changed = head.changed() => {
                    let pause = if changed.is_ok() { MIN_POLL } else { MAX_POLL };
                    tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
                }
            }
        }
        Ok(loaded)
    }

    /// Waits until the read models have reached `position`.
    ///
    /// # Errors
    /// When they have not caught up in time, or the log itself has not reached the position.
    pub(crate) async fn caught_up(&self, position: Option<Position>) -> Result<(), RequestError> {
        let Some(position) = position else { return Ok(()) };
        if position > self.http.store.last_position().await? {
            return Err(RequestError::BeyondTheLog(position));
        }
        let deadline = Instant::now() + CATCH_UP;
        let mut pause = Duration::from_millis(5);
        loop {
            if self.checkpoints.checkpoint(READ_MODELS).await? >= position {
                return Ok(());
            }
            if Instant::now() >= deadline || self.http.stop.is_cancelled() {
                return Err(RequestError::NotCaughtUp(position));
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(Duration::from_millis(80));
        }
    }
}
