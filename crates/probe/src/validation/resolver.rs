//! Validation by trusted resolvers, whose AD bit is believed.
use std::net::SocketAddr;

use deed_claims::{Reply, Security, Validation};
use hickory_proto::rr::RecordType;

use super::{Subject, verdict};
use crate::addresses::settled;
use crate::budget::Budget;
use crate::egress::Peer;
use crate::exchange::Silence;
use crate::inquiry::{Inquiry, Mode, Shared};
use crate::response::Response;
use crate::wire::{Recursion, Wanted};

/// How often a resolver is asked that gives no answer: some drop a question whose answer took them long to find, and
/// have it at hand the next time.
const ASKED: usize = 3;
const SERVFAIL: u16 = 2;

/// Asks the resolvers in turn until one has a verdict. Without one, the response code tells resolvers that could not find
/// it out from those that do not answer.
pub(super) async fn validate(shared: &Shared, budget: &Budget, subject: Subject<'_>) -> Validation {
    let inquiry = Inquiry::new(shared, budget, Mode::Usual);
    let mut rcode = None;
    for resolver in &shared.config.resolvers {
        match ask(&inquiry, *resolver, subject).await {
            Ok(validation) => return validation,
            Err(failed) => rcode = rcode.or(failed),
        }
    }
    let by = shared.config.resolvers.first().map(ToString::to_string).unwrap_or_default();
    // Its silence about one zone is that zone's business where it has an answer for a name that has to exist.
    let ours = inquiry.are_resolvers_down().await;
    Validation { rcode, ours, ..verdict(&by, Security::Indeterminate) }
}

/// A verdict, or the response code of a resolver that has none.
async fn ask(
    inquiry: &Inquiry<'_>,
    resolver: SocketAddr,
    subject: Subject<'_>,
) -> Result<Validation, Option<u16>> {
    let by = resolver.to_string();
    let answer = patiently(inquiry, resolver, subject, Recursion::Desired).await.ok_or(None)?;
    if settled(&answer) {
        let security = if answer.authentic() { Security::Secure } else { Security::Insecure };
        return Ok(seen(inquiry, &answer, subject, verdict(&by, security)));
    }
    let failed = Err(Some(answer.rcode()));
    if answer.rcode() != SERVFAIL {
        return failed;
    }
    // It fails because the zone's servers do, or because it does not believe what they say.
    match patiently(inquiry, resolver, subject, Recursion::Unchecked).await {
        Some(unchecked) if settled(&unchecked) => Ok(Validation {
            rcode: Some(SERVFAIL),
            ede: answer.extended_error(),
            ..verdict(&by, Security::Bogus)
        }),
        _ => failed,
    }
}

async fn patiently(
    inquiry: &Inquiry<'_>,
    resolver: SocketAddr,
    subject: Subject<'_>,
    recursion: Recursion,
) -> Option<Response> {
    let wanted = Wanted { name: subject.name.clone(), rtype: RecordType::TXT, recursion };
    for _ in 0..ASKED {
        match inquiry.ask(Peer::Configured(resolver), &wanted).await.result {
            Ok(response) => return Some(response),
            Err(Silence::Fault(_)) if inquiry.budget.left() > 0 => {}
            Err(_) => return None,
        }
    }
    None
}

/// The verdict with what the resolver saw.
fn seen(inquiry: &Inquiry<'_>, response: &Response, subject: Subject<'_>, verdict: Validation) -> Validation {
    match inquiry.reply_of_resolver(response, subject.name) {
        Reply::Message { rcode, values, soa, .. } => Validation {
            rcode: Some(rcode),
            values,
            negative_ttl: soa.map(|soa| soa.negative_ttl),
            ..verdict
        },
        Reply::Fault(_) | Reply::Blocked => verdict,
    }
}
