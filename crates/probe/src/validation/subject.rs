//! What is validated, and the shape of a verdict.
use deed_diagnosis::{Security, Validation};
use hickory_proto::rr::Name;

use crate::wire::NameCase;

/// What is to be validated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a Name,
    /// The values that were seen, so that an answer with one of them is validated; empty where an absence has to be
    /// certain.
    pub(crate) seen: &'a [Vec<u8>],
    /// The letter case of queries that the zone's servers understand.
    pub(crate) name_case: NameCase,
}

/// The validator's name where the prober validates itself.
pub(super) const OURSELVES: &str = "self";

/// A verdict without an answer.
pub(super) fn verdict(by: &str, security: Security) -> Validation {
    Validation {
        by: by.to_owned(),
        security,
        rcode: None,
        values: vec![],
        ede: None,
        negative_ttl: None,
        ours: false,
        ms: 0,
    }
}
