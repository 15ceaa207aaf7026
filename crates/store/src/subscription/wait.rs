//! How a subscription waits: for the log to grow, and after a failure.
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::Position;

/// The longest first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How a wait for the log to grow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wakeup {
    /// The store gave a hint.
    Hint,
    /// The time was up.
    Timeout,
}

/// The store's hints that the log may have grown.
pub(super) struct HeadHints {
    hints: watch::Receiver<Position>,
    /// The store gives no hints any more.
    closed: bool,
}

impl HeadHints {
    pub(super) fn new(hints: watch::Receiver<Position>) -> Self {
        Self { hints, closed: false }
    }

    /// Forgets earlier hints. Called before the log is read, so that no later hint is missed.
    pub(super) fn mark_seen(&mut self) {
        self.hints.mark_unchanged();
    }

    /// Waits for a hint, at most this long.
    pub(super) async fn wait(&mut self, longest: Duration) -> Wakeup {
        if self.closed {
            sleep(longest).await;
            return Wakeup::Timeout;
        }
        match timeout(longest, self.hints.changed()).await {
            Ok(Ok(())) => Wakeup::Hint,
            Ok(Err(_)) => {
                self.closed = true;
                Wakeup::Timeout
            }
            Err(_) => Wakeup::Timeout,
        }
    }
}

/// Pauses that double, with jitter, from the first one after a success.
pub(super) struct Backoff {
    builder: ExponentialBuilder,
    pauses: ExponentialBackoff,
}

impl Backoff {
    /// Jitter makes a pause up to twice as long as it was built for.
    pub(super) fn new(longest: Duration) -> Self {
        let builder = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(FIRST_PAUSE.min(longest) / 2)
            .with_max_delay(longest / 2)
            .without_max_times();
        Self { builder, pauses: builder.build() }
    }

    pub(super) fn reset(&mut self) {
        self.pauses = self.builder.build();
    }

    pub(super) async fn pause(&mut self) {
        if let Some(pause) = self.pauses.next() {
            sleep(pause).await;
        }
    }
}
