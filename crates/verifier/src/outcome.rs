//! How work ends: with an outcome, or with the reason why it has to wait.
use deed_store::Unavailable;

/// How a piece of work ended; in each case its message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkOutcome {
    /// The work was done and recorded.
    Recorded,
    /// The attempt is settled already, or the claim has ended.
    Stale,
    /// The work is not due yet; a new message comes when it is.
    NotDue,
    /// This process is making the same check already.
    InFlight,
    /// The check failed internally; the claim's due work is published again.
    Internal,
    /// The check failed internally a short while ago and is not retried yet.
    BackingOff,
}

impl WorkOutcome {
    pub const ALL: [Self; 6] =
        [Self::Recorded, Self::Stale, Self::NotDue, Self::InFlight, Self::Internal, Self::BackingOff];

    /// The value of the metrics' label `result`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Stale => "stale",
            Self::NotDue => "early",
            Self::InFlight => "in_hand",
            Self::Internal => "internal",
            Self::BackingOff => "backing_off",
        }
    }
}

/// Why work cannot be done now; its message is requeued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("concurrent writes kept changing the stream")]
    Contended,
}
