//! Validation by trusted resolvers, whose AD bit is believed.
use std::net::SocketAddr;

use deed_diagnosis::{Reply, Security, Validation};
use hickory_proto::rr::RecordType;

use super::subject::{Subject, verdict};
use crate::budget::Budget;
use crate::egress::Peer;
use crate::exchange::NoReply;
use crate::lookup::{Lookup, Shared};
use crate::lookup_mode::LookupMode;
use crate::rcode::SERVFAIL;
use crate::response::Response;
use crate::wire::{DnsQuery, Recursion};

/// How often a resolver that gives no answer is queried: some drop a query that takes them long to resolve, and have
/// the answer in their cache the next time.
const TRIES: usize = 3;

/// Queries the resolvers in turn until one has a verdict. Without one, the response code tells resolvers that could
/// not resolve the name from those that do not answer.
pub(super) async fn validate(shared: &Shared, budget: &Budget, subject: Subject<'_>) -> Validation {
    let lookup = Lookup::new(shared, budget, LookupMode::UdpFirst);
    let mut rcode = None;
    for resolver in &shared.config.resolvers {
        match ask_resolver(&lookup, *resolver, subject).await {
            Ok(validation) => return validation,
            Err(failed) => rcode = rcode.or(failed),
        }
    }
    let by = shared.config.resolvers.first().map(ToString::to_string).unwrap_or_default();
    // No answer for one zone is that zone's fault if the resolver can resolve a name that has to exist.
    let ours = lookup.are_resolvers_down().await;
    Validation { rcode, ours, ..verdict(&by, Security::Indeterminate) }
}

/// A verdict, or the response code of a resolver that has none.
async fn ask_resolver(
    lookup: &Lookup<'_>,
    resolver: SocketAddr,
    subject: Subject<'_>,
) -> Result<Validation, Option<u16>> {
    let by = resolver.to_string();
    let answer = ask_with_retries(lookup, resolver, subject, Recursion::Desired).await.ok_or(None)?;
    if answer.is_conclusive() {
        let security = if answer.authentic() { Security::Secure } else { Security::Insecure };
        return Ok(seen(lookup, &answer, subject, verdict(&by, security)));
    }
    let failed = Err(Some(answer.rcode()));
    if answer.rcode() != SERVFAIL {
        return failed;
    }
    // It fails because the zone's servers fail, or because validation does.
    match ask_with_retries(lookup, resolver, subject, Recursion::Unchecked).await {
        Some(unchecked) if unchecked.is_conclusive() => Ok(Validation {
            rcode: Some(SERVFAIL),
            ede: answer.extended_error(),
            ..verdict(&by, Security::Bogus)
        }),
        _ => failed,
    }
}

async fn ask_with_retries(
    lookup: &Lookup<'_>,
    resolver: SocketAddr,
    subject: Subject<'_>,
    recursion: Recursion,
) -> Option<Response> {
    let query = DnsQuery { name: subject.name.clone(), rtype: RecordType::TXT, recursion };
    for _ in 0..TRIES {
        match lookup.query(Peer::Configured(resolver), &query).await.result {
            Ok(response) => return Some(response),
            Err(NoReply::Fault(_)) if lookup.budget.left() > 0 => {}
            Err(_) => return None,
        }
    }
    None
}

/// The verdict with the records that the resolver saw.
fn seen(lookup: &Lookup<'_>, response: &Response, subject: Subject<'_>, verdict: Validation) -> Validation {
    match lookup.reply_of_resolver(response, subject.name) {
        Reply::Message { rcode, values, soa, .. } => Validation {
            rcode: Some(rcode),
            values,
            negative_ttl: soa.map(|soa| soa.negative_ttl),
            ..verdict
        },
        Reply::Fault(_) | Reply::Blocked => verdict,
    }
}
