//! What a check saw, what it proves, and why it proves nothing. Pure: no I/O, no clock, no randomness.
//!
//! [`judge`] turns an [`Observation`] into an [`Outcome`]: proof, or a [`Diagnosis`]. A diagnosis and the [`Evidence`] of an
//! observation are what the log keeps. The folder `explain` is the only home of sentences that are shown to tenants.
#![deny(missing_docs)]

mod characters;
mod diagnosis;
mod escape;
mod evidence;
mod expected;
mod explain;
mod judge;
mod observation;
mod own_value;
mod rcode;
mod routing;

pub use diagnosis::{Class, Code, Diagnosis};
pub use escape::printable;
pub use evidence::{
    DnameEvidence, ElsewhereEvidence, Evidence, NotedServers, SerialEvidence, ServerEvidence,
    ValidationEvidence, VantageEvidence,
};
pub use expected::ExpectedRecord;
pub use explain::{Phrase, PhraseList};
pub use judge::{
    Agreement, Context, EarlierValue, Note, Outcome, Vote, judge, judge_within, note_servers, notes, votes,
};
pub use observation::{
    AliasOrigin, Confirmation, Dname, Elsewhere, ExtendedError, Findings, NetworkFault, Observation, Place,
    ProbeFailure, Reply, RoutingSeen, Security, Serial, ServerAnswer, Signatures, SoaSeen, Statement,
    Transport, Validation, VantageAnswer,
};
pub use routing::{Routing, RoutingState};
