//! Local validation: the library verifies signatures and denials, the backend answers its queries.
use std::sync::Arc;

use deed_diagnosis::{Security, Validation};
use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::xfer::{DnsHandle, FirstAnswer};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::{DnsRequestOptions, DnsResponse, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::time::timeout_at;

use super::backend::{ValidatorBackend, ValidatorHandle, response_of};
use super::extended_error;
use super::scrub::{dname_for, expanded_from};
use super::subject::{OURSELVES, Subject, verdict};
use super::wildcard::nothing_closer;
use crate::budget::Budget;
use crate::lookup::Shared;

type HickoryValidator = DnssecDnsHandle<ValidatorHandle>;

/// The validated answer for one name.
struct ValidatedAnswer {
    security: Security,
    content: AnswerContent,
}

enum AnswerContent {
    /// The name is an alias of this one.
    Alias(Name),
    /// Values, or their denial.
    Final(FinalAnswer),
    /// No answer.
    None,
}

/// The answer at the end of an alias chain.
struct FinalAnswer {
    rcode: u16,
    values: Vec<Vec<u8>>,
    negative_ttl: Option<u32>,
}

/// Validates the name from the trust anchor down, along its aliases.
pub(super) async fn validate(shared: &Shared, budget: &Budget, subject: Subject<'_>) -> Validation {
    let backend = ValidatorBackend::new(shared, budget, subject);
    let Some(anchors) = anchors(shared, &backend).await else {
        // No server gives the root's keys, which concerns every zone.
        return Validation { ours: budget.left() > 0, ..indeterminate() };
    };
    let (handle, queries) = ValidatorHandle::open();
    let validator = LocalValidator { handle, anchors: Arc::new(anchors), backend: &backend, subject };
    let most = shared.config.budgets.aliases;
    let work = validator.validate_chain(most);
    timeout_at(budget.deadline(), backend.serve(queries, work)).await.unwrap_or_else(|_| indeterminate())
}

fn indeterminate() -> Validation {
    verdict(OURSELVES, Security::Indeterminate)
}

/// The keys to start with. A DS record in the anchor is of use only once the root's servers have given the keys.
async fn anchors(shared: &Shared, backend: &ValidatorBackend<'_>) -> Option<TrustAnchors> {
    let Some(anchor) = &shared.config.trust_anchor else { return Some(TrustAnchors::default()) };
    let given = backend.answer(&Name::root(), RecordType::DNSKEY).await?;
    Some(anchor.among(given.answers.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key),
        _ => None,
    })))
}

/// One validation.
struct LocalValidator<'a> {
    handle: ValidatorHandle,
    anchors: Arc<TrustAnchors>,
    backend: &'a ValidatorBackend<'a>,
    subject: Subject<'a>,
}

impl LocalValidator<'_> {
    /// The validating library, without a cache of its own.
    fn library(&self) -> HickoryValidator {
        DnssecDnsHandle::with_trust_anchor(self.handle.clone(), Arc::clone(&self.anchors))
    }

    /// Validates the name and the targets of its aliases, at most `most` of them.
    async fn validate_chain(&self, most: usize) -> Validation {
        let name = self.subject.name;
        let mut passed = vec![];
        let mut at = name.clone();
        let mut weakest = Security::Secure;
        loop {
            let answer = self.validate_name(&at).await;
            match answer.security {
                Security::Secure => {}
                Security::Insecure => weakest = Security::Insecure,
                Security::Bogus => return self.bogus(&at),
                Security::Indeterminate => return indeterminate(),
            }
            match answer.content {
                AnswerContent::Alias(target) => {
                    if target == *name || passed.contains(&target) || passed.len() >= most {
                        return indeterminate();
                    }
                    passed.push(target.clone());
                    at = target;
                }
                AnswerContent::Final(answer) => return self.validated(answer, weakest),
                AnswerContent::None => return indeterminate(),
            }
        }
    }

    /// The verdict at the end of the chain. Its keys have proven to be right and are cached.
    fn validated(&self, answer: FinalAnswer, security: Security) -> Validation {
        self.backend.cache_keys();
        let FinalAnswer { rcode, values, negative_ttl } = answer;
        Validation { rcode: Some(rcode), values, negative_ttl, ..verdict(OURSELVES, security) }
    }

    fn bogus(&self, at: &Name) -> Validation {
        if let Some(ede) = extended_error::wrong_clock(self.backend) {
            tracing::warn!("no signature of the root zone is valid now; check this machine's clock");
            return Validation { ede: Some(ede), ..indeterminate() };
        }
        let ede = Some(extended_error::explain(self.backend, at));
        Validation { ede, ..verdict(OURSELVES, Security::Bogus) }
    }

    /// Validates one name. An answer that does not validate may be one server's: the others are queried before the
    /// zone is called bogus.
    async fn validate_name(&self, at: &Name) -> ValidatedAnswer {
        let first = validate_once(&self.library(), self.backend, at).await;
        if first.security != Security::Bogus
            || self.backend.is_over_limit()
            || extended_error::wrong_clock(self.backend).is_some()
        {
            return first;
        }
        let mut without_value = None;
        for server in 0..self.backend.servers_to_try(at).await {
            self.backend.retry_from(server);
            let answer = validate_once(&self.library(), self.backend, at).await;
            match answer.security {
                Security::Secure | Security::Insecure if self.may_lead_to_seen_value(&answer) => {
                    return answer;
                }
                Security::Secure | Security::Insecure => without_value = without_value.or(Some(answer)),
                Security::Bogus | Security::Indeterminate => {}
            }
        }
        without_value.unwrap_or(first)
    }

    /// Whether an answer may lead to a value that was seen: servers differ while a change spreads.
    fn may_lead_to_seen_value(&self, answer: &ValidatedAnswer) -> bool {
        let seen = self.subject.seen;
        match &answer.content {
            AnswerContent::Final(FinalAnswer { values, .. }) => {
                seen.is_empty() || values.iter().any(|value| seen.contains(value))
            }
            AnswerContent::Alias(_) | AnswerContent::None => true,
        }
    }
}

async fn validate_once(
    library: &HickoryValidator,
    backend: &ValidatorBackend<'_>,
    at: &Name,
) -> ValidatedAnswer {
    let lookup = library.lookup(Query::query(at.clone(), RecordType::TXT), DnsRequestOptions::default());
    let answer = response_of(lookup.first_answer().await);
    if backend.is_over_limit() {
        // What cannot be verified with reasonable effort is not believed.
        return ValidatedAnswer { security: Security::Bogus, content: AnswerContent::None };
    }
    let Some((response, denial)) = answer else {
        return ValidatedAnswer { security: Security::Indeterminate, content: AnswerContent::None };
    };
    let content = content_of(&response, at);
    let proof = if response.answers.is_empty() {
        denied(&response, denial)
    } else if dname_for(&response.answers, at).is_some() {
        // The library expects a denial as well, which cannot exist here.
        weakest(without_signatures(&response.answers))
    } else {
        present(&response, denial, at)
    };
    let security = match proof {
        Proof::Secure => Security::Secure,
        Proof::Insecure => Security::Insecure,
        Proof::Indeterminate => Security::Indeterminate,
        Proof::Bogus => bogus_or_indeterminate(library, backend).await,
    };
    ValidatedAnswer { security, content }
}

fn content_of(response: &DnsResponse, at: &Name) -> AnswerContent {
    if let Some(redirect) = dname_for(&response.answers, at) {
        return redirect.substitute(at).map_or(AnswerContent::None, AnswerContent::Alias);
    }
    let mut values = vec![];
    for record in &response.answers {
        match &record.data {
            RData::CNAME(target) => return AnswerContent::Alias(target.0.clone()),
            RData::TXT(text) => values.push(text.txt_data.concat()),
            _ => {}
        }
    }
    let negative_ttl = response.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    AnswerContent::Final(FinalAnswer { rcode: response.response_code.into(), values, negative_ttl })
}

/// The proof of a positive answer; one expanded from a wildcard also needs a proof that there is no closer match.
fn present(response: &DnsResponse, denial: Option<Proof>, at: &Name) -> Proof {
    let proof = weakest(without_signatures(&response.answers));
    let Some(labels) = response.answers.iter().filter_map(expanded_from).min() else { return proof };
    if !proof.is_secure() || nothing_closer(&response.authorities, at, labels) {
        return proof;
    }
    // With NSEC3 records the library checks it.
    let hashed = |r: &Record| r.record_type() == RecordType::NSEC3 && r.proof.is_secure();
    match denial {
        None if response.authorities.iter().any(hashed) => proof,
        None => Proof::Bogus,
        Some(denial) => denial,
    }
}

/// The proof that a name or its records do not exist.
fn denied(response: &DnsResponse, denial: Option<Proof>) -> Proof {
    match denial {
        Some(proof) => proof,
        // The library accepts everything from a zone that is proven to be unsigned, with or without an SOA.
        None if response.authorities.is_empty() => Proof::Insecure,
        None => weakest(without_signatures(&response.authorities)),
    }
}

/// All records but signatures, whose own proof is only set where they were used.
fn without_signatures(records: &[Record]) -> impl Iterator<Item = &Record> {
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

/// The library treats missing keys as broken ones. A zone with a secure DS record at its parent has to show its keys;
/// for other zones the result is unknown.
async fn bogus_or_indeterminate(library: &HickoryValidator, backend: &ValidatorBackend<'_>) -> Security {
    if backend.is_over_limit() {
        return Security::Bogus;
    }
    let unanswered = backend.unanswered();
    if unanswered.is_empty() {
        return Security::Bogus;
    }
    for (zone, _) in unanswered.iter().filter(|(_, rtype)| *rtype == RecordType::DNSKEY) {
        let lookup = library.lookup(Query::query(zone.clone(), RecordType::DS), DnsRequestOptions::default());
        let vouched = response_of(lookup.first_answer().await).is_some_and(|(response, _)| {
            without_signatures(&response.answers)
                .any(|r| r.record_type() == RecordType::DS && r.proof.is_secure())
        });
        if vouched {
            return Security::Bogus;
        }
    }
    Security::Indeterminate
}
