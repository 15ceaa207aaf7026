//! The model of claims and ownership. Pure: no I/O, no clock, no randomness.
//!
//! [`decide`](Ownership::decide) turns a command into events; [`evolve`](Ownership::evolve) folds events into state.
//! Time and random bytes are arguments everywhere.
#![deny(missing_docs)]

pub mod app;
mod challenge;
mod command;
mod decide;
mod diagnosis;
mod escape;
mod event;
mod eviction;
mod evidence;
mod evolve;
mod explain;
mod holder;
mod id;
mod judge;
pub mod name;
mod observation;
mod own_value;
mod ownership;
mod policy;
mod region;
mod retention;
mod rfc3339;
mod routing;
pub mod schedule;
mod status;
mod stream;
mod upcast;

pub use challenge::{Challenge, ChallengeTemplates, TemplateError, Token};
pub use command::{Command, IfHeldByAnother, Rejection};
pub use diagnosis::{Class, Code, Diagnosis};
pub use escape::printable;
pub use event::{
    CheckCause, CheckOutcome, CheckRecorded, ClaimCancelled, ClaimExpired, ClaimInitiated, ClaimRefused,
    ContestAnswer, ContestAnswered, ContestCause, ContestOpened, ContestResolution, ContestResolved,
    ContestResolvedBy, DomainActivated, DomainVerified, EndReason, Event, EventError, ExpiryReason,
    HoldingLocked, HoldingUnlocked, MissingCause, OwnershipEnded, OwnershipEvent, OwnershipGranted,
    ProofMissing, ProofRestored, VerificationRequested,
};
pub use evidence::{
    DnameEvidence, ElsewhereEvidence, Evidence, NotedServers, SerialEvidence, ServerEvidence,
    ValidationEvidence, VantageEvidence,
};
pub use evolve::FOLD_VERSION;
pub use explain::{Phrase, PhraseList};
pub use holder::{Holder, Scope};
pub use id::{AppId, ClaimId, IdError, WorkspaceId};
pub use judge::{
    Agreement, Context, EarlierValue, Note, Outcome, Vote, judge, judge_within, note_servers, notes, votes,
};
pub use observation::{
    AliasOrigin, Confirmation, Dname, Elsewhere, ExtendedError, Findings, NetworkFault, Observation, Place,
    ProbeFailure, Reply, Security, Serial, ServerAnswer, Signatures, SoaSeen, Statement, Transport,
    Validation, VantageAnswer,
};
pub use ownership::{
    AtRisk, Claim, ClaimState, Contest, Due, DueKind, Ended, Held, LastCheck, LastRouting, Ownership, Pending,
};
pub use policy::{Activation, ContestPolicy, Policy};
pub use region::{MAX_REGION, is_region};
pub use routing::{Routing, RoutingSeen, RoutingState};
pub use status::{Status, StatusError};
pub use stream::{StreamId, StreamKind};
pub use upcast::upcast;
