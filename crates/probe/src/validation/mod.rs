//! DNSSEC validation of a name: by a trusted validating resolver, or locally from a trust anchor down.
mod backend;
mod extended_error;
mod local_validator;
mod resolver;
mod scrub;
mod subject;
mod wildcard;

use deed_diagnosis::{Security, Validation};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::config::Validator;
use crate::exchange::millis;
use crate::lookup::Shared;
pub(crate) use subject::Subject;
use subject::{OURSELVES, verdict};

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
