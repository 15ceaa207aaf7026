//! Judges constructed observations: each gets one outcome, short and printable messages, and a proof only
//! with confirmation.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use deed_claims::name::DomainName;
use deed_claims::{Challenge, ChallengeTemplates, Scope, Token};
use deed_diagnosis::{
    AliasOrigin, Confirmation, Dname, Elsewhere, Evidence, ExtendedError, Findings, NetworkFault,
    Observation, Outcome, Place, ProbeFailure, Reply, Security, Serial, ServerAnswer, Signatures, SoaSeen,
    Statement, Transport, Validation, VantageAnswer, judge,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut source = Unstructured::new(bytes);
    let challenge = challenge();
    let Ok(seen) = observation(&mut source, &challenge) else { return };
    let verdict = judge(&challenge, &seen);
    assert_eq!(verdict, judge(&challenge, &seen), "the same twice");
    match &verdict {
        Outcome::Proven => proven(&challenge, &seen),
        Outcome::NotProven(diagnosis) => {
            for words in [&diagnosis.message(), &diagnosis.fix()].into_iter().chain(&diagnosis.observed) {
                assert!(!words.chars().any(char::is_control), "{words:?}");
                assert!(words.len() <= 2000, "{} bytes: {words}", words.len());
            }
            if verdict.is_absence() {
                let answered = seen.servers.iter().any(|server| with_authority(&server.reply));
                assert!(answered, "absence without an authoritative answer: {diagnosis:?} {seen:?}");
            }
        }
    }
    let kept = serde_json::to_string(&Evidence::from(&seen)).expect("evidence becomes JSON");
    assert!(!kept.chars().any(char::is_control), "{kept:?}");
    assert!(kept.len() < 60_000, "{} bytes", kept.len());
});

/// A proof needs an authoritative answer with the value, and a confirmation.
fn proven(challenge: &Challenge, seen: &Observation) {
    let wanted = challenge.record_value.as_bytes();
    let shows = |server: &ServerAnswer| match &server.reply {
        Reply::Message { values, .. } => {
            with_authority(&server.reply) && values.iter().any(|value| value == wanted)
        }
        _ => false,
    };
    assert!(seen.servers.iter().any(shows), "{seen:?}");
    let validation = seen.confirmation.validation.as_ref();
    assert!(validation.is_none_or(|validation| validation.security != Security::Bogus), "{seen:?}");
    let secure = validation.is_some_and(|validation| validation.security == Security::Secure);
    let repeated = seen.confirmation.repeated.iter().flatten().any(shows);
    assert!(secure || repeated, "one look was enough: {seen:?}");
}

fn with_authority(reply: &Reply) -> bool {
    matches!(reply, Reply::Message { authoritative: true, truncated: false, statement, .. } if *statement != Statement::Nothing)
}

fn challenge() -> Challenge {
    let name = DomainName::parse("acme.com").expect("a name");
    ChallengeTemplates::default().challenge(Scope::Apex, &name, Token::from_bytes([7; 20]))
}

fn observation(u: &mut Unstructured<'_>, challenge: &Challenge) -> Result<Observation> {
    Ok(Observation {
        name: challenge.record_name.to_string(),
        zone: optional(u, text)?,
        aliases: several(u, text)?,
        dname: optional(u, |u| Ok(Dname { owner: text(u)?, target: text(u)? }))?,
        servers: several(u, |u| server(u, challenge))?,
        dissent: several(u, |u| server(u, challenge))?,
        beside_alias: several(u, |u| value(u, challenge))?,
        failure: optional(u, failure)?,
        confirmation: Confirmation {
            repeated: optional(u, |u| several(u, |u| server(u, challenge)))?,
            dissent: several(u, |u| server(u, challenge))?,
            validation: optional(u, |u| validation(u, challenge))?,
            vantages: several(u, |u| {
                Ok(VantageAnswer { vantage: text(u)?, reply: reply(u, challenge)?, ms: u.arbitrary()? })
            })?,
            quorum: u.int_in_range(0..=4)?,
        },
        findings: Findings {
            elsewhere: several(u, |u| elsewhere(u, challenge))?,
            other_types: several(u, text)?,
            wildcard: several(u, |u| value(u, challenge))?,
            serials: several(u, |u| {
                Ok(Serial { server: text(u)?, address: address(u)?, serial: u.arbitrary()? })
            })?,
            alias_origin: *u.choose(&[
                AliasOrigin::NotAsked,
                AliasOrigin::Name,
                AliasOrigin::Wildcard,
                AliasOrigin::Unknown,
            ])?,
        },
        routing: None,
        queries: u.arbitrary()?,
        took_ms: u.arbitrary()?,
        vantage: "fuzz".to_owned(),
    })
}

fn optional<'a, T>(
    u: &mut Unstructured<'a>,
    make: impl FnOnce(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Option<T>> {
    if u.ratio(1, 2)? { make(u).map(Some) } else { Ok(None) }
}

fn several<'a, T>(
    u: &mut Unstructured<'a>,
    mut make: impl FnMut(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=4)?;
    (0..count).map(|_| make(u)).collect()
}

fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let size = u.int_in_range(0..=40)?;
    Ok(String::from_utf8_lossy(u.bytes(size)?).into_owned())
}

fn address(u: &mut Unstructured<'_>) -> Result<IpAddr> {
    Ok(Ipv4Addr::from(u.arbitrary::<u32>()?).into())
}

/// Arbitrary bytes, or a variation of the expected value.
fn value(u: &mut Unstructured<'_>, challenge: &Challenge) -> Result<Vec<u8>> {
    let wanted = challenge.record_value.as_bytes();
    let mut value = match u.int_in_range(0..=5)? {
        0 | 1 => wanted.to_vec(),
        2 => wanted[..u.int_in_range(0..=wanted.len())?].to_vec(),
        3 => wanted[u.int_in_range(0..=wanted.len())?..].to_vec(),
        4 => wanted.to_ascii_uppercase(),
        _ => vec![],
    };
    let at = u.int_in_range(0..=value.len())?;
    let size = u.int_in_range(0..=12)?;
    let foreign = u.bytes(size)?.to_vec();
    value.splice(at..at, foreign);
    Ok(value)
}

fn server(u: &mut Unstructured<'_>, challenge: &Challenge) -> Result<ServerAnswer> {
    Ok(ServerAnswer {
        server: text(u)?,
        address: optional(u, address)?,
        transport: if u.arbitrary()? { Transport::Udp } else { Transport::Tcp },
        reply: reply(u, challenge)?,
        ms: u.arbitrary()?,
    })
}

fn reply(u: &mut Unstructured<'_>, challenge: &Challenge) -> Result<Reply> {
    Ok(match u.int_in_range(0..=9)? {
        0 => Reply::Blocked,
        1 => Reply::Fault(fault(u)?),
        _ => Reply::Message {
            rcode: *u.choose(&[0, 0, 0, 3, 3, 2, 5, 1, 4, 16, 4095])?,
            authoritative: u.ratio(4, 5)?,
            truncated: u.ratio(1, 8)?,
            ede: optional(u, |u| u.arbitrary())?,
            values: several(u, |u| value(u, challenge))?,
            oversize: u.ratio(1, 8)?,
            soa: optional(u, |u| {
                Ok(SoaSeen { owner: text(u)?, serial: u.arbitrary()?, negative_ttl: u.arbitrary()? })
            })?,
            statement: statement(u)?,
            signatures: Signatures::None,
            plain: u.arbitrary()?,
        },
    })
}

fn statement(u: &mut Unstructured<'_>) -> Result<Statement> {
    use Statement::{Alias, NoData, NoName, Nothing, Values};
    Ok(*u.choose(&[Values, Values, NoName, NoData, Alias, Nothing])?)
}

fn fault(u: &mut Unstructured<'_>) -> Result<NetworkFault> {
    use NetworkFault::{EdnsBroken, Internal, Malformed, Timeout, TruncatedNoTcp, Unreachable};
    Ok(*u.choose(&[Timeout, Unreachable, Malformed, TruncatedNoTcp, EdnsBroken, Internal])?)
}

fn failure(u: &mut Unstructured<'_>) -> Result<ProbeFailure> {
    Ok(match u.int_in_range(0..=9)? {
        0 => ProbeFailure::NoDelegation(fault(u)?),
        1 => ProbeFailure::ParentRefused(u.arbitrary()?),
        2 => ProbeFailure::NotDelegated(text(u)?),
        3 => ProbeFailure::Canary(text(u)?),
        4 => ProbeFailure::AliasLoop,
        5 => ProbeFailure::AliasTooLong,
        6 => ProbeFailure::NoAddress,
        7 => ProbeFailure::BudgetExhausted,
        8 => ProbeFailure::NameRefused(text(u)?),
        _ => ProbeFailure::Internal(text(u)?),
    })
}

fn validation(u: &mut Unstructured<'_>, challenge: &Challenge) -> Result<Validation> {
    use Security::{Bogus, Indeterminate, Insecure, Secure};
    Ok(Validation {
        by: text(u)?,
        security: *u.choose(&[Secure, Insecure, Bogus, Indeterminate])?,
        rcode: optional(u, |u| u.arbitrary())?,
        values: several(u, |u| value(u, challenge))?,
        ede: optional(u, |u| {
            let size = u.int_in_range(0..=40)?;
            Ok(ExtendedError { code: u.int_in_range(0..=30)?, text: u.bytes(size)?.to_vec() })
        })?,
        negative_ttl: optional(u, |u| u.arbitrary())?,
        ours: u.arbitrary()?,
        ms: u.arbitrary()?,
    })
}

fn elsewhere(u: &mut Unstructured<'_>, challenge: &Challenge) -> Result<Elsewhere> {
    Ok(Elsewhere {
        place: *u.choose(&[Place::Apex, Place::ParentLabel, Place::DoubledZone])?,
        name: text(u)?,
        values: several(u, |u| value(u, challenge))?,
        control: several(u, |u| value(u, challenge))?,
    })
}
