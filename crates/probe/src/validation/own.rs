//! Our own validation: the library checks signatures and denials, the desk finds it what it asks for.
use std::sync::Arc;

use deed_claims::{Security, Validation};
use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::xfer::{DnsHandle, FirstAnswer};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::{DnsRequestOptions, DnsResponse, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::time::timeout_at;

use super::desk::{Desk, Window, answered};
use super::excerpt::{expanded_from, moved};
use super::wildcard::nothing_closer;
use super::{OURSELVES, Subject, fault, verdict};
use crate::budget::Budget;
use crate::inquiry::Shared;

type Library = DnssecDnsHandle<Window>;

/// What validation found at one name.
struct Step {
    security: Security,
    end: End,
}

enum End {
    /// The name is an alias of this one.
    Alias(Name),
    /// Values, or their denial.
    Here { rcode: u16, values: Vec<Vec<u8>>, negative_ttl: Option<u32> },
    /// No answer.
    Nothing,
}

/// Validates the name from the trust anchor down, along its aliases.
pub(super) async fn validate(shared: &Shared, budget: &Budget, subject: Subject<'_>) -> Validation {
    let desk = Desk::new(shared, budget, subject);
    let indeterminate = || verdict(OURSELVES, Security::Indeterminate);
    let Some(anchors) = anchors(shared, &desk).await else {
        // Nobody gives the root's keys: every zone shares that.
        return Validation { ours: budget.left() > 0, ..indeterminate() };
    };
    let (window, requests) = Window::open();
    let validator = Validator { window, anchors: Arc::new(anchors), desk: &desk, subject };
    let most = shared.config.budgets.aliases;
    let work = validator.chase(most);
    timeout_at(budget.deadline(), desk.serve(requests, work)).await.unwrap_or_else(|_| indeterminate())
}

/// The keys to begin with. Digests say nothing until the root's servers have given the keys.
async fn anchors(shared: &Shared, desk: &Desk<'_>) -> Option<TrustAnchors> {
    let Some(anchor) = &shared.config.trust_anchor else { return Some(TrustAnchors::default()) };
    let given = desk.answer(&Name::root(), RecordType::DNSKEY).await?;
    Some(anchor.among(given.answers.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key),
        _ => None,
    })))
}

/// One validation.
struct Validator<'a> {
    window: Window,
    anchors: Arc<TrustAnchors>,
    desk: &'a Desk<'a>,
    subject: Subject<'a>,
}

impl Validator<'_> {
    /// The validating library, without a memory of what it has validated before.
    fn library(&self) -> Library {
        DnssecDnsHandle::with_trust_anchor(self.window.clone(), Arc::clone(&self.anchors))
    }

    async fn chase(&self, most: usize) -> Validation {
        let name = self.subject.name;
        let mut passed = vec![];
        let mut at = name.clone();
        let mut weakest = Security::Secure;
        loop {
            let step = self.look(&at).await;
            match step.security {
                Security::Secure => {}
                Security::Insecure => weakest = Security::Insecure,
                Security::Bogus => return self.bogus(&at),
                Security::Indeterminate => return verdict(OURSELVES, Security::Indeterminate),
            }
            match step.end {
                End::Alias(target) if target != *name && !passed.contains(&target) && passed.len() < most => {
                    passed.push(target.clone());
                    at = target;
                }
                End::Here { rcode, values, negative_ttl } => {
                    self.desk.keep();
                    let rcode = Some(rcode);
                    return Validation { rcode, values, negative_ttl, ..verdict(OURSELVES, weakest) };
                }
                End::Alias(_) | End::Nothing => return verdict(OURSELVES, Security::Indeterminate),
            }
        }
    }

    fn bogus(&self, at: &Name) -> Validation {
        if let Some(ede) = fault::wrong_clock(self.desk) {
            tracing::warn!("no signature of the root zone is valid now: is this machine's clock right?");
            return Validation { ede: Some(ede), ..verdict(OURSELVES, Security::Indeterminate) };
        }
        let ede = Some(fault::explain(self.desk, at));
        Validation { ede, ..verdict(OURSELVES, Security::Bogus) }
    }

    /// One name. An answer that does not hold is one server's: the others are asked before the zone is called bogus.
    async fn look(&self, at: &Name) -> Step {
        let first = look(&self.library(), self.desk, at).await;
        if first.security != Security::Bogus
            || self.desk.is_overrun()
            || fault::wrong_clock(self.desk).is_some()
        {
            return first;
        }
        let mut without_value = None;
        for turn in 0..self.desk.turns(at).await {
            self.desk.turn_to(turn);
            let step = look(&self.library(), self.desk, at).await;
            match step.security {
                Security::Secure | Security::Insecure if self.has_what_was_seen(&step) => return step,
                Security::Secure | Security::Insecure => without_value = without_value.or(Some(step)),
                Security::Bogus | Security::Indeterminate => {}
            }
        }
        without_value.unwrap_or(first)
    }

    /// Whether a step may lead to a value that was seen: servers differ while a zone spreads.
    fn has_what_was_seen(&self, step: &Step) -> bool {
        let seen = self.subject.seen;
        match &step.end {
            End::Here { values, .. } => seen.is_empty() || values.iter().any(|value| seen.contains(value)),
            End::Alias(_) | End::Nothing => true,
        }
    }
}

async fn look(library: &Library, desk: &Desk<'_>, at: &Name) -> Step {
    let asked = library.lookup(Query::query(at.clone(), RecordType::TXT), DnsRequestOptions::default());
    let answer = answered(asked.first_answer().await);
    if desk.is_overrun() {
        // What cannot be checked with reason is not believed.
        return Step { security: Security::Bogus, end: End::Nothing };
    }
    let Some((response, denial)) = answer else {
        return Step { security: Security::Indeterminate, end: End::Nothing };
    };
    let end = end_of(&response, at);
    let proof = if response.answers.is_empty() {
        denied(&response, denial)
    } else if moved(&response.answers, at).is_some() {
        // A denial is asked of it as well, and cannot be there.
        weakest(data(&response.answers))
    } else {
        present(&response, denial, at)
    };
    let security = match proof {
        Proof::Secure => Security::Secure,
        Proof::Insecure => Security::Insecure,
        Proof::Indeterminate => Security::Indeterminate,
        Proof::Bogus => second_thought(library, desk).await,
    };
    Step { security, end }
}

fn end_of(response: &DnsResponse, at: &Name) -> End {
    if let Some(moved) = moved(&response.answers, at) {
        return moved.new_name_of(at).map_or(End::Nothing, End::Alias);
    }
    let mut values = vec![];
    for record in &response.answers {
        match &record.data {
            RData::CNAME(target) => return End::Alias(target.0.clone()),
            RData::TXT(text) => values.push(text.txt_data.concat()),
            _ => {}
        }
    }
    let negative_ttl = response.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    End::Here { rcode: response.response_code.into(), values, negative_ttl }
}

/// The proof of records that are there; those made from a wildcard need one that there is nothing closer.
fn present(response: &DnsResponse, denial: Option<Proof>, at: &Name) -> Proof {
    let proof = weakest(data(&response.answers));
    let Some(labels) = response.answers.iter().filter_map(expanded_from).min() else { return proof };
    if !proof.is_secure() || nothing_closer(&response.authorities, at, labels) {
        return proof;
    }
    // With NSEC3 records the library knows.
    let hashed = |r: &Record| r.record_type() == RecordType::NSEC3 && r.proof.is_secure();
    match denial {
        None if response.authorities.iter().any(hashed) => proof,
        None => Proof::Bogus,
        Some(denial) => denial,
    }
}

/// The proof that a name or its records are not there.
fn denied(response: &DnsResponse, denial: Option<Proof>) -> Proof {
    match denial {
        Some(proof) => proof,
        // The library lets pass what comes from a zone that is proven to be unsigned, with or without an SOA.
        None if response.authorities.is_empty() => Proof::Insecure,
        None => weakest(data(&response.authorities)),
    }
}

/// Everything but signatures, which are marked only where they were used.
fn data(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.record_type() != RecordType::RRSIG)
}

fn weakest<'r>(records: impl Iterator<Item = &'r Record>) -> Proof {
    let proofs: Vec<Proof> = records.map(|record| record.proof).collect();
    let has = |proof| proofs.contains(&proof);
    match () {
        () if has(Proof::Bogus) => Proof::Bogus,
        () if has(Proof::Indeterminate) || proofs.is_empty() => Proof::Indeterminate,
        () if has(Proof::Insecure) => Proof::Insecure,
        () => Proof::Secure,
    }
}

/// The library takes keys that nobody gave for broken ones. A zone whose parent vouches for keys has to show them; of
/// others nothing is known.
async fn second_thought(library: &Library, desk: &Desk<'_>) -> Security {
    if desk.is_overrun() {
        return Security::Bogus;
    }
    let unanswered = desk.unanswered();
    if unanswered.is_empty() {
        return Security::Bogus;
    }
    for (zone, _) in unanswered.iter().filter(|(_, rtype)| *rtype == RecordType::DNSKEY) {
        let asked = library.lookup(Query::query(zone.clone(), RecordType::DS), DnsRequestOptions::default());
        let vouched = answered(asked.first_answer().await).is_some_and(|(response, _)| {
            data(&response.answers).any(|r| r.record_type() == RecordType::DS && r.proof.is_secure())
        });
        if vouched {
            return Security::Bogus;
        }
    }
    Security::Indeterminate
}
