//! The bound on sockets open at a time.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::trouble::Trouble;

/// The right to have one socket open.
pub(super) type Permit = OwnedSemaphorePermit;

/// Whether a server is worth the sockets that are kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It stands in our configuration, or has answered lately.
    Known,
    /// Nobody knows whether it will ever answer.
    Unknown,
}

/// How many more sockets may be opened. A share is kept back for servers that are known to answer: strangers can
/// name any number of addresses where nobody listens, and each of those takes a socket for as long as we wait.
#[derive(Debug)]
pub(super) struct Sockets {
    anybody: Arc<Semaphore>,
    known: Arc<Semaphore>,
    /// Open, and nobody waits for an answer on them.
    idle: AtomicUsize,
    most: usize,
}

/// One in so many is kept back.
const KEPT_BACK: usize = 4;

impl Sockets {
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let kept = most / KEPT_BACK;
        Self {
            anybody: Arc::new(Semaphore::new(most - kept)),
            known: Arc::new(Semaphore::new(kept)),
            idle: AtomicUsize::new(0),
            most,
        }
    }

    pub(super) fn try_take(&self, standing: Standing) -> Option<Permit> {
        let kept = || match standing {
            Standing::Known => Arc::clone(&self.known).try_acquire_owned().ok(),
            Standing::Unknown => None,
        };
        Arc::clone(&self.anybody).try_acquire_owned().ok().or_else(kept)
    }

    /// Waits until one may be opened.
    pub(super) async fn take(&self, standing: Standing, end: Instant) -> Result<Permit, Trouble> {
        let anybody = Arc::clone(&self.anybody).acquire_owned();
        let taken = async {
            match standing {
                Standing::Unknown => anybody.await,
                Standing::Known => tokio::select! {
                    permit = Arc::clone(&self.known).acquire_owned() => permit,
                    permit = anybody => permit,
                },
            }
        };
        match timeout_at(end, taken).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Trouble::Crowded),
        }
    }

    /// How many are open, and how many may be.
    pub(super) fn used(&self) -> (usize, usize) {
        let free = self.anybody.available_permits() + self.known.available_permits();
        (self.most.saturating_sub(free), self.most)
    }

    /// Whether the next one would have to wait.
    pub(super) fn are_short(&self) -> bool {
        self.anybody.available_permits() == 0
    }

    pub(super) fn idle(&self) -> &AtomicUsize {
        &self.idle
    }

    pub(super) fn any_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_share_is_kept_for_servers_that_are_known_to_answer() {
        let sockets = Sockets::new(8);
        let taken: Vec<_> = std::iter::from_fn(|| sockets.try_take(Standing::Unknown)).collect();
        assert_eq!((taken.len(), sockets.are_short()), (6, true));
        let kept: Vec<_> = std::iter::from_fn(|| sockets.try_take(Standing::Known)).collect();
        assert_eq!(kept.len(), 2);
        let soon = || Instant::now() + Duration::from_secs(1);
        assert_eq!(sockets.take(Standing::Known, soon()).await.err(), Some(Trouble::Crowded));
        drop(kept);
        assert!(sockets.take(Standing::Known, soon()).await.is_ok());
        assert_eq!(sockets.take(Standing::Unknown, soon()).await.err(), Some(Trouble::Crowded));
        drop(taken);
        assert!(sockets.take(Standing::Unknown, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn a_single_socket_is_everybodys() {
        let sockets = Sockets::new(1);
        assert!(sockets.try_take(Standing::Unknown).is_some());
    }
}
