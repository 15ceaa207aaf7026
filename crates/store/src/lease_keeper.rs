//! Renews a lease in the background while work is done under it.
use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Checkpoints, HeldLeaseGuard, Lease, LeaseError, LeaseMetrics};
use deed_claims::Clock;

/// A lease that is renewed every third of its TTL, however long the work under it takes.
///
/// It is lost when another owner has taken it over, or when the store did not answer for so long that another could
/// have. Dropping it without [`release`](Self::release) ends the renewals; the lease then expires.
pub struct LeaseKeeper {
    lease: Lease,
    ttl: Duration,
    checkpoints: Arc<dyn Checkpoints>,
    lost: CancellationToken,
    renewing: JoinHandle<()>,
    stop: DropGuard,
    held: HeldLeaseGuard,
}

impl LeaseKeeper {
    /// Waits for the lease, with an attempt every third of its TTL; none when stopped before.
    pub async fn acquire(
        checkpoints: Arc<dyn Checkpoints>,
        clock: Arc<dyn Clock>,
        name: &str,
        owner: &str,
        ttl: Duration,
        metrics: &LeaseMetrics,
        stop: &CancellationToken,
    ) -> Option<Self> {
        stop.run_until_cancelled(Self::wait_for(checkpoints, clock, name, owner, ttl, metrics)).await
    }

    async fn wait_for(
        checkpoints: Arc<dyn Checkpoints>,
        clock: Arc<dyn Clock>,
        name: &str,
        owner: &str,
        ttl: Duration,
        metrics: &LeaseMetrics,
    ) -> Self {
        loop {
            // Taken before the call: the lease may have begun at any time since.
            let asked = Instant::now();
            match timeout(ttl / 3, checkpoints.acquire(name, owner, clock.now(), ttl)).await {
                Ok(Ok(Some(lease))) => {
                    return Self::keep(lease, asked, checkpoints, clock, ttl, metrics.gain());
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(lease = name, cause = %error.source, "the lease could not be asked for");
                }
                Err(_) => tracing::warn!(lease = name, "nobody answered when the lease was asked for"),
            }
            sleep(ttl / 3).await;
        }
    }

    fn keep(
        lease: Lease,
        since: Instant,
        checkpoints: Arc<dyn Checkpoints>,
        clock: Arc<dyn Clock>,
        ttl: Duration,
        held: HeldLeaseGuard,
    ) -> Self {
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        let renewals = Renewals { lease: lease.clone(), checkpoints: Arc::clone(&checkpoints), clock, ttl };
        let (stopping, losing) = (stop.clone(), lost.clone().drop_guard());
        let renewing = tokio::spawn(async move {
            // The lease is lost when the renewals end for any other reason than `stop`, a panic included.
            if stopping.run_until_cancelled(renewals.until_lost(since)).await.is_none() {
                losing.disarm();
            }
        });
        Self { lease, ttl, checkpoints, lost, renewing, stop: stop.drop_guard(), held }
    }

    /// The lease, to be shown with every write.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether work under the lease has to stop.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Returns when work under the lease has to stop.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Releases the lease, so that a standby can acquire it at once. A lost lease stays with its new owner; one that
    /// cannot be released expires.
    pub async fn release(self) {
        let Self { lease, ttl, checkpoints, renewing, stop, held, .. } = self;
        // The work under it has ended, however long the release takes.
        drop((stop, held));
        // Wait for a renewal in flight first: it could extend the lease again.
        let _ = renewing.await;
        match timeout(ttl / 3, checkpoints.release(&lease)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease = %lease.name, cause = %error.source, "the lease could not be released");
            }
            Err(_) => tracing::warn!(lease = %lease.name, "nobody answered when the lease was released"),
        }
    }
}

struct Renewals {
    lease: Lease,
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
}

impl Renewals {
    /// Renews the lease; returns when it is lost.
    async fn until_lost(self, mut since: Instant) {
        let mut pause = self.ttl / 3;
        loop {
            let expires_at = since + self.ttl;
            sleep_until(expires_at.min(Instant::now() + pause)).await;
            let asked = Instant::now();
            let answer =
                timeout(self.ttl / 3, self.checkpoints.renew(&self.lease, self.clock.now(), self.ttl));
            let name = &self.lease.name;
            match timeout_at(expires_at, answer).await {
                Ok(Ok(Ok(()))) => {
                    (since, pause) = (asked, self.ttl / 3);
                    continue;
                }
                Ok(Ok(Err(LeaseError::Lost))) => {
                    tracing::warn!(lease = name, "another holder has taken the lease over");
                    return;
                }
                Ok(Ok(Err(LeaseError::Unavailable(error)))) => {
                    tracing::warn!(lease = name, cause = %error.source, "the lease could not be renewed");
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(lease = name, "nobody answered when the lease was renewed");
                }
            }
            if Instant::now() >= expires_at {
                tracing::error!(lease = name, "the lease ran out before it could be renewed");
                return;
            }
            pause = self.ttl / 10;
        }
    }
}
