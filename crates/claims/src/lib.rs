//! The model of claims and ownership. Pure: no I/O, no clock, no randomness.
//!
//! [`decide`](Ownership::decide) turns a command into events; [`evolve`](Ownership::evolve) folds events into state.
//! Time and random bytes are arguments everywhere.
#![deny(missing_docs)]

pub mod app;
mod challenge;
mod clock;
mod command;
mod decide;
mod event;
mod eviction;
mod evolve;
mod holder;
mod id;
pub mod name;
mod ownership;
mod policy;
mod region;
mod retention;
mod rfc3339;
pub mod schedule;
mod status;
mod stream;
mod upcast;

pub use challenge::{Challenge, ChallengeTemplates, TemplateError, Token};
pub use clock::{Clock, Entropy};
pub use command::{Command, IfHeldByAnother, Rejection};
pub use event::{
    CheckCause, CheckOutcome, CheckRecorded, ClaimCancelled, ClaimExpired, ClaimInitiated, ClaimRefused,
    ContestAnswer, ContestAnswered, ContestCause, ContestOpened, ContestResolution, ContestResolved,
    ContestResolvedBy, DomainActivated, DomainVerified, EndReason, Event, EventError, ExpiryReason,
    HoldingLocked, HoldingUnlocked, MissingCause, OwnershipEnded, OwnershipEvent, OwnershipGranted,
    ProofMissing, ProofRestored, VerificationRequested,
};
pub use evolve::FOLD_VERSION;
pub use holder::{Holder, Scope};
pub use id::{AppId, ClaimId, IdError, WorkspaceId};
pub use ownership::{
    AtRisk, Claim, ClaimState, Contest, Due, DueKind, Ended, Held, LastCheck, LastRouting, Ownership, Pending,
};
pub use policy::{Activation, ContestPolicy, Policy};
pub use region::{MAX_REGION, is_region};
pub use status::{Status, StatusError};
pub use stream::{StreamId, StreamKind};
pub use upcast::upcast;
