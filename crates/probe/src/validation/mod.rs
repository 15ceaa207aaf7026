//! What DNSSEC says of a name: by a trusted resolver that validates, or by ourselves from a trust anchor down.
mod desk;
mod excerpt;
mod fault;
mod memory;
mod own;
mod resolver;
mod wildcard;

use deed_claims::{Security, Validation};
use hickory_proto::rr::Name;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::config::Validator;
use crate::exchange::millis;
use crate::inquiry::Shared;
use crate::wire::Letters;

pub(crate) use memory::KeyMemory;

/// What is to be validated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a Name,
    /// Values of which one was seen, so that an answer with one of them is the one to validate; empty where it is an
    /// absence that has to be sure.
    pub(crate) seen: &'a [Vec<u8>],
    /// In which letters the zone's servers take questions.
    pub(crate) letters: Letters,
}

/// What DNSSEC says; none where nobody is to validate.
pub(crate) async fn validate(shared: &Shared, budget: &Budget, subject: Subject<'_>) -> Option<Validation> {
    let started = Instant::now();
    let validation = match shared.config.validator() {
        Validator::Off => return None,
        // Whoever runs roots of his own and signs them says so with a trust anchor.
        Validator::Keyless => verdict(OURSELVES, Security::Insecure),
        Validator::Resolver => resolver::validate(shared, budget, subject).await,
        Validator::Own => own::validate(shared, budget, subject).await,
    };
    Some(Validation { ms: millis(started), ..validation })
}

/// Who validated, where it was nobody else.
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
