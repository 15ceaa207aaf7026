//! The limit of sockets open at a time.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::error::TransportError;

/// The permit to have one socket open.
pub(super) type SocketPermit = OwnedSemaphorePermit;

/// Whether a server may use the reserved sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerReputation {
    /// It is configured, or has answered lately.
    Known,
    /// It has not answered lately.
    Unknown,
}

/// How many more sockets may be opened. A part is reserved for servers that are known to answer: strangers can list
/// any number of addresses where no server listens, and each of them takes a socket until the time-out.
#[derive(Debug)]
pub(super) struct SocketLimit {
    unreserved: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
    /// Sockets that are open without a query in flight.
    idle: AtomicUsize,
    max: usize,
}

/// One in so many is reserved.
const RESERVED_PART: usize = 4;

impl SocketLimit {
    pub(super) fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let reserved = max / RESERVED_PART;
        Self {
            unreserved: Arc::new(Semaphore::new(max - reserved)),
            reserved: Arc::new(Semaphore::new(reserved)),
            idle: AtomicUsize::new(0),
            max,
        }
    }

    pub(super) fn try_acquire(&self, reputation: ServerReputation) -> Option<SocketPermit> {
        let reserved = || match reputation {
            ServerReputation::Known => Arc::clone(&self.reserved).try_acquire_owned().ok(),
            ServerReputation::Unknown => None,
        };
        Arc::clone(&self.unreserved).try_acquire_owned().ok().or_else(reserved)
    }

    /// Waits until a socket may be opened.
    pub(super) async fn acquire(
        &self,
        reputation: ServerReputation,
        end: Instant,
    ) -> Result<SocketPermit, TransportError> {
        let unreserved = Arc::clone(&self.unreserved).acquire_owned();
        let taken = async {
            match reputation {
                ServerReputation::Unknown => unreserved.await,
                ServerReputation::Known => tokio::select! {
                    permit = Arc::clone(&self.reserved).acquire_owned() => permit,
                    permit = unreserved => permit,
                },
            }
        };
        match timeout_at(end, taken).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(TransportError::AtCapacity),
        }
    }

    /// How many are open, and how many may be.
    pub(super) fn used(&self) -> (usize, usize) {
        let free = self.unreserved.available_permits() + self.reserved.available_permits();
        (self.max.saturating_sub(free), self.max)
    }

    /// Whether the next socket would have to wait.
    pub(super) fn is_at_limit(&self) -> bool {
        self.unreserved.available_permits() == 0
    }

    pub(super) fn idle(&self) -> &AtomicUsize {
        &self.idle
    }

    pub(super) fn has_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reserves_sockets_for_known_servers() {
        let limit = SocketLimit::new(8);
        let taken: Vec<_> = std::iter::from_fn(|| limit.try_acquire(ServerReputation::Unknown)).collect();
        assert_eq!((taken.len(), limit.is_at_limit()), (6, true));
        let reserved: Vec<_> = std::iter::from_fn(|| limit.try_acquire(ServerReputation::Known)).collect();
        assert_eq!(reserved.len(), 2);
        let soon = || Instant::now() + Duration::from_secs(1);
        assert_eq!(
            limit.acquire(ServerReputation::Known, soon()).await.err(),
            Some(TransportError::AtCapacity)
        );
        drop(reserved);
        assert!(limit.acquire(ServerReputation::Known, soon()).await.is_ok());
        assert_eq!(
            limit.acquire(ServerReputation::Unknown, soon()).await.err(),
            Some(TransportError::AtCapacity)
        );
        drop(taken);
        assert!(limit.acquire(ServerReputation::Unknown, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn does_not_reserve_a_single_socket() {
        let limit = SocketLimit::new(1);
        assert!(limit.try_acquire(ServerReputation::Unknown).is_some());
    }
}
