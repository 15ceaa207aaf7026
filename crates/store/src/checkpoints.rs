//! The port to leases and checkpoints: one active reader per subscription, and the position it has reached.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Lag, Position, Unavailable};

/// The right to be the only active process of a subscription (or another singleton) until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The singleton.
    pub name: String,
    /// The process that has it.
    pub owner: String,
    /// Grows with each new owner; writes under an older epoch are refused.
    pub epoch: u64,
}

/// Why a write under a lease failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another owner has taken the lease over, or the checkpoint is not at the expected position.
    #[error("the lease or the checkpoint has moved on")]
    Lost,
    /// The store did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Leases and checkpoints.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Acquires a lease that is free, has expired, or is this owner's already; none while another owner has it.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<Lease>, Unavailable>;

    /// Extends a lease.
    ///
    /// # Errors
    /// When it has been lost, or the store does not answer.
    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError>;

    /// Releases a lease, so that a standby can acquire it at once.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn release(&self, lease: &Lease) -> Result<(), Unavailable>;

    /// The checkpoint of a subscription; 0 before it began.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable>;

    /// The lag of a subscription: the events after its checkpoint, and when the oldest of them was written. Events are
    /// not decoded, so an unreadable one counts too.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn lag(&self, name: &str) -> Result<Lag, Unavailable>;

    /// Moves the checkpoint of the lease's subscription from one position to another.
    ///
    /// # Errors
    /// When the lease's epoch is not the newest or the checkpoint is not at `from`.
    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError>;
}
