//! DNSSEC validation of a name: by a trusted validating resolver, or locally from a trust anchor down.
mod backend;
mod extended_error;
mod key_cache;
mod local_validator;
mod resolver;
mod scrub;
mod wildcard;

use deed_diagnosis::{Security, Validation};
use hickory_proto::rr::Name;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::config::Validator;
use crate::exchange::millis;
use crate::lookup::Shared;
use crate::wire::NameCase;

pub(crate) use key_cache::KeyCache;

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

/// Validates by the configured method; none where validation is off.
pub(crate) async fn validate(shared: &Shared, budget: &Budget, subject: Subject<'_>) -> Option<Validation> {
    let started = Instant::now();
    let validation = match shared.config.validator() {
        Validator::Off => return None,
        // An operator of private signed roots configures a trust anchor.
        Validator::NoTrustAnchor => verdict(OURSELVES, Security::Insecure),
        Validator::Resolver => resolver::validate(shared, budget, subject).await,
        Validator::Own => local_validator::validate(shared, budget, subject).await,
    };
    Some(Validation { ms: millis(started), ..validation })
}

/// The validator's name where the prober validates itself.
const OURSELVES: &str = "self";

/// A verdict without an answer.
fn verdict(by: &str, security: Security) -> Validation {
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
