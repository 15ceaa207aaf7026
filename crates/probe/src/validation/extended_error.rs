//! Explains why an answer is bogus, as an extended DNS error (RFC 8914).
use chrono::DateTime;
use deed_diagnosis::ExtendedError;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record, RecordType, SerialNumber};

use super::backend::ValidatorBackend;
use crate::dnssec_clock::now;
use crate::response::text_of;

const BOGUS: u16 = 6;
const EXPIRED: u16 = 7;
const NOT_YET_VALID: u16 = 8;
const DNSKEY_MISSING: u16 = 9;
const RRSIGS_MISSING: u16 = 10;
const NSEC_MISSING: u16 = 12;

type KeyedAnswer = ((Name, RecordType), Message);

/// The likeliest reason, from the answers of the backend. It only explains a verdict that is already final.
pub(super) fn explain(backend: &ValidatorBackend<'_>, at: &Name) -> ExtendedError {
    if backend.is_over_limit() {
        let text = format!("{} has more signatures and keys than the validator checks", text_of(at));
        return ExtendedError { code: BOGUS, text: text.into_bytes() };
    }
    let mut answers = backend.answers();
    // From the top of the chain: a fault above explains those below.
    answers.sort_by_key(|((name, rtype), _)| (name.iter().len(), *rtype != RecordType::DS));
    let (code, text) = out_of_time(&answers, now())
        .or_else(|| key_missing(&answers, &backend.unanswered()))
        .or_else(|| unsigned(&answers, at))
        .unwrap_or_else(|| (BOGUS, format!("a signature for {} does not verify", text_of(at))));
    ExtendedError { code, text: text.into_bytes() }
}

/// Set when every signature of the root zone is out of its validity period: the root signs continually, so this
/// machine's clock is wrong.
pub(super) fn wrong_clock(backend: &ValidatorBackend<'_>) -> Option<ExtendedError> {
    let (answers, now) = (backend.answers(), now());
    let times = |message| {
        signatures(message).map(|(_, rrsig)| rrsig.input()).filter(|input| input.signer_name.is_root())
    };
    let inputs: Vec<_> = answers.iter().flat_map(|(_, message)| times(message)).collect();
    let expired = inputs.iter().all(|input| input.sig_expiration < now);
    let to_come = inputs.iter().all(|input| input.sig_inception > now);
    if inputs.is_empty() || !(expired || to_come) {
        return None;
    }
    let code = if expired { EXPIRED } else { NOT_YET_VALID };
    let text =
        format!("by this machine's clock, {}, no signature of the root zone is valid", time(now.get()));
    Some(ExtendedError { code, text: text.into_bytes() })
}

fn signatures(message: &Message) -> impl Iterator<Item = (&Record, &RRSIG)> {
    message.answers.iter().chain(&message.authorities).filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => Some((record, rrsig)),
        _ => None,
    })
}

/// A set of records whose signatures are all expired or not yet valid.
fn out_of_time(answers: &[KeyedAnswer], now: SerialNumber) -> Option<(u16, String)> {
    for (_, message) in answers {
        for (record, first) in signatures(message) {
            let covered = first.input().type_covered;
            let all: Vec<_> = signatures(message)
                .filter(|(r, s)| r.name == record.name && s.input().type_covered == covered)
                .map(|(_, rrsig)| rrsig.input())
                .collect();
            let owner = text_of(&record.name);
            if all.iter().all(|input| input.sig_expiration < now) {
                let latest = all.iter().map(|input| input.sig_expiration.get()).max().unwrap_or_default();
                return Some((
                    EXPIRED,
                    format!("the signature of {owner} {covered} expired at {}", time(latest)),
                ));
            }
            if all.iter().all(|input| input.sig_inception > now) {
                let from = time(first.input().sig_inception.get());
                return Some((
                    NOT_YET_VALID,
                    format!("the signature of {owner} {covered} is not valid before {from}"),
                ));
            }
        }
    }
    None
}

/// A zone that has DS records at its parent and does not show a matching key.
fn key_missing(answers: &[KeyedAnswer], unanswered: &[(Name, RecordType)]) -> Option<(u16, String)> {
    if let Some((zone, _)) = unanswered.iter().find(|(_, rtype)| *rtype == RecordType::DNSKEY) {
        return Some((DNSKEY_MISSING, format!("no server of {} gave its DNSKEY records", text_of(zone))));
    }
    for ((zone, _), message) in answers.iter().filter(|((_, rtype), _)| *rtype == RecordType::DNSKEY) {
        let keys: Vec<&DNSKEY> = message
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key),
                _ => None,
            })
            .collect();
        if keys.is_empty() {
            return Some((DNSKEY_MISSING, format!("{} has no DNSKEY records", text_of(zone))));
        }
        let digests = digests(answers, zone);
        let fits = |digest: &&DS| keys.iter().any(|key| digest.covers(zone, key).unwrap_or(false));
        if !digests.is_empty() && !digests.iter().any(fits) {
            let text = format!("no DNSKEY record of {} fits the DS records at its parent", text_of(zone));
            return Some((DNSKEY_MISSING, text));
        }
    }
    None
}

fn digests<'a>(answers: &'a [KeyedAnswer], zone: &Name) -> Vec<&'a DS> {
    let of_zone = answers.iter().filter(|((name, rtype), _)| name == zone && *rtype == RecordType::DS);
    of_zone
        .flat_map(|(_, message)| &message.answers)
        .filter_map(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds),
            _ => None,
        })
        .collect()
}

/// Records, or a denial, that came without a signature or proof.
fn unsigned(answers: &[KeyedAnswer], at: &Name) -> Option<(u16, String)> {
    let chain = [RecordType::DS, RecordType::DNSKEY];
    for ((name, rtype), message) in answers {
        if name != at && !chain.contains(rtype) || *rtype == RecordType::NS {
            continue;
        }
        let owner = text_of(name);
        if !message.answers.is_empty() && signatures(message).next().is_none() {
            return Some((RRSIGS_MISSING, format!("{owner} {rtype} came without a signature")));
        }
        let denies = |r: &Record| matches!(r.record_type(), RecordType::NSEC | RecordType::NSEC3);
        if message.answers.is_empty()
            && *rtype != RecordType::DNSKEY
            && !message.authorities.iter().any(denies)
        {
            return Some((NSEC_MISSING, format!("the denial of {owner} {rtype} came without a proof")));
        }
    }
    None
}

/// Formats a signature time: its 32 bits wrap around, the first time in 2106 (RFC 4034 §3.1.5).
fn time(seconds: u32) -> String {
    let at = DateTime::from_timestamp(i64::from(seconds), 0);
    at.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}
