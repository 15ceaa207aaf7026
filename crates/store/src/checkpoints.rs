//! The port to leases and checkpoints: one active reader a subscription, and how far it has come.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Behind, Position, Unavailable};

/// The right to run a subscription (or another singleton) until it runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which singleton.
    pub name: String,
    /// Who holds it.
    pub owner: String,
    /// Grows with every new holder: writes of an older epoch are refused.
    pub epoch: u64,
}

/// Why a step under a lease was refused.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another holder has taken over, or the checkpoint is not where it was thought to be.
    #[error("the lease or the checkpoint has moved on")]
    Lost,
    /// The store did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Leases and checkpoints.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Takes a lease that is free, has run out, or is this owner's already; none while another holds it.
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

    /// Prolongs a lease.
    ///
    /// # Errors
    /// When it has been lost, or the store does not answer.
    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError>;

    /// Gives a lease back, so that a standby may take it at once.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn release(&self, lease: &Lease) -> Result<(), Unavailable>;

    /// How far a subscription has come; 0 before it began.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable>;

    /// How far a subscription is behind the log: events after its checkpoint, and when the oldest of them was written.
    /// Nothing of the events is read besides, so that one that nobody can read shows as well.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn behind(&self, name: &str) -> Result<Behind, Unavailable>;

    /// Moves the checkpoint of the lease's subscription.
    ///
    /// # Errors
    /// When the lease's epoch is not the newest or the checkpoint is not at `from`.
    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError>;
}
