//! Examples of observations: at least one for each code, and functions to build them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test binary uses a part of this module")]
#![allow(
    clippy::allow_attributes,
    reason = "an expectation would be unfulfilled in the binary that uses all of it"
)]
use deed_diagnosis::{
    AliasOrigin, Code, Confirmation, Context, Dname, EarlierValue, Elsewhere, ExpectedRecord, ExtendedError,
    Findings, NetworkFault, Observation, Place, ProbeFailure, Reply, Security, Serial, ServerAnswer,
    Signatures, SoaSeen, Statement, Transport, Validation, VantageAnswer,
};

const TOKENS: [(u8, &str, &str); 3] = [
    (1, "aeaqcaibaeaqcaibaeaqcaibaeaqcaib", "deed-domain-claim=aeaqcaibaeaqcaibaeaqcaibaeaqcaib"),
    (7, "a4dqobyha4dqobyha4dqobyha4dqobyh", "deed-domain-claim=a4dqobyha4dqobyha4dqobyha4dqobyh"),
    (9, "beeqscijbeeqscijbeeqscijbeeqscij", "deed-domain-claim=beeqscijbeeqscijbeeqscijbeeqscij"),
];

/// The expected record.
pub fn record() -> ExpectedRecord<'static> {
    numbered(1)
}

/// The record of claim 1, 7 or 9.
pub fn numbered(n: u8) -> ExpectedRecord<'static> {
    let (_, token, value) = *TOKENS.iter().find(|(number, ..)| *number == n).unwrap();
    ExpectedRecord { name: "_deed.acme.com", value, token }
}

pub fn expected_value() -> Vec<u8> {
    record().value.as_bytes().to_vec()
}

pub fn bytes(value: &str) -> Vec<u8> {
    value.as_bytes().to_vec()
}

/// An authoritative answer; a negative one without values.
pub fn answer(n: u8, rcode: u16, values: Vec<Vec<u8>>) -> ServerAnswer {
    let soa = values.is_empty().then(|| SoaSeen { owner: "acme.com".into(), serial: 7, negative_ttl: 300 });
    server(n, message(rcode, values, soa))
}

pub fn message(rcode: u16, values: Vec<Vec<u8>>, soa: Option<SoaSeen>) -> Reply {
    let statement = match rcode {
        _ if !values.is_empty() => Statement::Values,
        0 => Statement::NoData,
        3 => Statement::NoName,
        _ => Statement::Nothing,
    };
    Reply::Message {
        rcode,
        authoritative: true,
        truncated: false,
        ede: None,
        values,
        oversize: false,
        soa,
        statement,
        signatures: Signatures::None,
        plain: false,
    }
}

/// A refusal, with an Extended DNS Error or without.
pub fn refusal(n: u8, rcode: u16, ede: Option<u16>) -> ServerAnswer {
    let reply = Reply::Message {
        rcode,
        authoritative: false,
        truncated: false,
        ede,
        values: vec![],
        oversize: false,
        soa: None,
        statement: Statement::Nothing,
        signatures: Signatures::None,
        plain: false,
    };
    server(n, reply)
}

pub fn fault(n: u8, fault: NetworkFault) -> ServerAnswer {
    let ms = if fault == NetworkFault::Timeout { 1500 } else { 5 };
    ServerAnswer { ms, ..server(n, Reply::Fault(fault)) }
}

pub fn server(n: u8, reply: Reply) -> ServerAnswer {
    let address = Some(std::net::Ipv4Addr::new(192, 0, 2, n).into());
    ServerAnswer { server: format!("ns{n}.acme.com"), address, transport: Transport::Udp, reply, ms: 5 }
}

/// A server of the parent zone that denies the domain.
fn registry(label: &str) -> ServerAnswer {
    ServerAnswer { server: format!("{label}.gtld-servers.net"), ..answer(1, 3, vec![]) }
}

pub fn showing() -> Vec<ServerAnswer> {
    vec![answer(1, 0, vec![expected_value()]), answer(2, 0, vec![expected_value()])]
}

pub fn denying() -> Vec<ServerAnswer> {
    vec![answer(1, 3, vec![]), answer(2, 3, vec![])]
}

/// The same answer with an unusually large set of records.
pub fn oversize(mut answer: ServerAnswer) -> ServerAnswer {
    if let Reply::Message { oversize, .. } = &mut answer.reply {
        *oversize = true;
    }
    answer
}

/// Two servers show these values.
pub fn showing_values(values: &[&[u8]]) -> Observation {
    let values: Vec<Vec<u8>> = values.iter().map(|value| value.to_vec()).collect();
    observed(vec![answer(1, 0, values.clone()), answer(2, 0, values)])
}

pub fn observed(servers: Vec<ServerAnswer>) -> Observation {
    Observation {
        name: "_deed.acme.com".into(),
        zone: Some("acme.com".into()),
        servers,
        queries: 4,
        took_ms: 20,
        vantage: "test".into(),
        ..Observation::default()
    }
}

pub fn failed(failure: ProbeFailure, servers: Vec<ServerAnswer>) -> Observation {
    Observation { failure: Some(failure), ..observed(servers) }
}

pub fn observed_twice(servers: Vec<ServerAnswer>, repeated: Vec<ServerAnswer>) -> Observation {
    let confirmation = Confirmation { repeated: Some(repeated), ..Confirmation::default() };
    Observation { confirmation, ..observed(servers) }
}

pub fn validation(by: &str, security: Security, values: Vec<Vec<u8>>) -> Validation {
    let rcode = Some(if values.is_empty() { 3 } else { 0 });
    Validation { by: by.into(), security, rcode, values, ede: None, negative_ttl: None, ours: false, ms: 3 }
}

pub fn validated(validation: Validation, seen: Observation) -> Observation {
    let confirmation = Confirmation { validation: Some(validation), ..seen.confirmation };
    Observation { confirmation, ..seen }
}

pub fn vantage(name: &str, values: Option<Vec<Vec<u8>>>) -> VantageAnswer {
    let reply = match values {
        Some(values) => message(if values.is_empty() { 3 } else { 0 }, values, None),
        None => Reply::Fault(NetworkFault::Timeout),
    };
    VantageAnswer { vantage: name.into(), reply, ms: 9 }
}

pub fn elsewhere(place: Place, name: &str, values: &[Vec<u8>], control: &[Vec<u8>]) -> Findings {
    let found = Elsewhere { place, name: name.into(), values: values.to_vec(), control: control.to_vec() };
    Findings { elsewhere: vec![found], ..Findings::default() }
}

pub fn aliased(servers: Vec<ServerAnswer>) -> Observation {
    aliased_to("acme.dcv.example.net", servers)
}

pub fn aliased_to(target: &str, servers: Vec<ServerAnswer>) -> Observation {
    Observation { aliases: vec![target.into()], ..observed(servers) }
}

/// The context of these tests: the holder has an earlier claim.
pub fn context() -> Context {
    let earlier =
        EarlierValue { value: numbered(7).value.into(), issued_at: "2026-05-03T10:00:00Z".parse().unwrap() };
    Context { earlier: vec![earlier], ..Context::default() }
}

fn token() -> &'static str {
    record().token
}

fn value_causes() -> Vec<(Code, Observation)> {
    let value = record().value;
    let near = |wrong: String| showing_values(&[b"v=spf1 -all", wrong.as_bytes()]);
    vec![
        (Code::RecordNotFound, observed(denying())),
        (Code::NoTxtAtName, {
            let findings = Findings { other_types: vec!["A".into(), "MX".into()], ..Findings::default() };
            Observation { findings, ..observed(vec![answer(1, 0, vec![]), answer(2, 0, vec![])]) }
        }),
        (Code::WrongValue, showing_values(&[b"v=spf1 -all", b"<script>\n\x1b[31m"])),
        (Code::ValueQuoted, near(format!("\"{value}\""))),
        (Code::ValueWhitespace, near(format!("{value}\u{a0}"))),
        (Code::ValueCase, near(value.to_uppercase())),
        (Code::ValueTruncated, near(value[..30].to_owned())),
        (Code::ValueDoubled, near(format!("{value}{value}"))),
        (Code::ValuePrefixMissing, near(token().to_owned())),
        (Code::ValueOfEarlierClaim, showing_values(&[numbered(7).value.as_bytes()])),
        (Code::SplitOverRecords, showing_values(&[&value.as_bytes()[30..], &value.as_bytes()[..30]])),
    ]
}

fn place_causes() -> Vec<(Code, Observation)> {
    let found = |place, name: &str| Observation {
        findings: elsewhere(place, name, &[expected_value()], &[]),
        ..observed(denying())
    };
    let wildcard = Findings { wildcard: vec![bytes("v=spf1 -all")], ..Findings::default() };
    let dname = Dname { owner: "acme.com".into(), target: "acme.net".into() };
    vec![
        (Code::AtApex, found(Place::Apex, "acme.com")),
        (Code::AtParentLabel, found(Place::ParentLabel, "deed.acme.com")),
        (Code::DoubledZone, found(Place::DoubledZone, "_deed.acme.com.acme.com")),
        (Code::WildcardAnswer, Observation { findings: wildcard, ..showing_values(&[b"v=spf1 -all"]) }),
        (Code::CnameDangling, aliased(denying())),
        (Code::CnameElsewhere, aliased(vec![answer(1, 0, vec![bytes("other")])])),
        (Code::CnameLoop, {
            let aliases = vec!["a.acme.com".into(), "b.acme.com".into(), "a.acme.com".into()];
            Observation { aliases, ..failed(ProbeFailure::AliasLoop, vec![]) }
        }),
        (
            Code::Dname,
            Observation { dname: Some(dname), aliases: vec!["_deed.acme.net".into()], ..observed(denying()) },
        ),
        (
            Code::NotDelegated,
            Observation {
                zone: Some("com".into()),
                ..failed(ProbeFailure::NotDelegated("com".into()), vec![registry("a"), registry("b")])
            },
        ),
        (Code::OversizeAnswer, {
            let values = (1..=81).map(|n| bytes(&format!("record {n} of many"))).collect();
            observed(vec![oversize(answer(1, 0, values))])
        }),
        (Code::BlockedAddress, {
            let mut inside = server(1, Reply::Blocked);
            inside.address = Some(std::net::Ipv4Addr::new(10, 0, 0, 5).into());
            observed(vec![inside])
        }),
        (Code::DnssecBogus, {
            let mut broken = validation("127.0.0.1:53", Security::Bogus, vec![]);
            broken.ede = Some(ExtendedError { code: 7, text: b"signature expired\n2026-11-20".to_vec() });
            validated(broken, observed(showing()))
        }),
    ]
}

fn failure_causes() -> Vec<(Code, Observation)> {
    let updated = vec![answer(1, 0, vec![expected_value()]), answer(2, 3, vec![])];
    let serials = (12..=13).rev().zip(1..).map(|(serial, n)| Serial {
        server: format!("ns{n}.acme.com"),
        address: std::net::Ipv4Addr::new(192, 0, 2, n).into(),
        serial,
    });
    let findings = Findings { serials: serials.collect(), ..Findings::default() };
    let addressless = ServerAnswer { address: None, ..fault(1, NetworkFault::Unreachable) };
    let quorum = Confirmation {
        repeated: Some(showing()),
        dissent: vec![],
        validation: Some(validation("self", Security::Insecure, vec![expected_value()])),
        vantages: vec![
            vantage("fra", Some(vec![expected_value()])),
            vantage("sin", Some(vec![expected_value()])),
            vantage("iad", Some(vec![])),
            vantage("gru", Some(vec![])),
            vantage("syd", None),
        ],
        quorum: 3,
    };
    let mut cached = validation("127.0.0.1:53", Security::Insecure, vec![]);
    cached.negative_ttl = Some(850);
    vec![
        (Code::NsWithoutAddress, failed(ProbeFailure::NoAddress, vec![addressless])),
        (Code::LameDelegation, observed(vec![refusal(1, 5, Some(20)), refusal(2, 0, None)])),
        (Code::PartiallyLame, {
            observed(vec![
                answer(1, 0, vec![expected_value()]),
                answer(2, 3, vec![]),
                refusal(3, 5, Some(20)),
            ])
        }),
        (Code::Refused, observed(vec![refusal(1, 5, None), refusal(2, 5, None)])),
        (Code::Servfail, observed(vec![refusal(1, 2, Some(22)), fault(2, NetworkFault::Timeout)])),
        (Code::EdnsBroken, observed(vec![refusal(1, 1, None), fault(2, NetworkFault::EdnsBroken)])),
        (Code::Timeout, observed(vec![fault(1, NetworkFault::Timeout), fault(2, NetworkFault::Unreachable)])),
        (Code::TruncatedNoTcp, observed(vec![fault(1, NetworkFault::TruncatedNoTcp)])),
        (Code::InconsistentServers, Observation { findings, ..observed(updated) }),
        (
            Code::DnssecIndeterminate,
            validated(
                validation("self", Security::Indeterminate, vec![]),
                observed_twice(showing(), showing()),
            ),
        ),
        (Code::StaleNegativeCache, validated(cached, observed_twice(showing(), showing()))),
        (Code::VantageDisagreement, Observation { confirmation: quorum, ..observed(showing()) }),
        (
            Code::BudgetExhausted,
            Observation { queries: 60, took_ms: 9000, ..failed(ProbeFailure::BudgetExhausted, vec![]) },
        ),
        (Code::NameRefused, failed(ProbeFailure::NameRefused("it is a public suffix".into()), vec![])),
        (Code::Internal, failed(ProbeFailure::Canary("timeout".into()), vec![])),
    ]
}

/// One observation for each code.
pub fn of_every_code() -> Vec<(Code, Observation)> {
    [value_causes(), place_causes(), failure_causes()].concat()
}

/// The alias at the name comes from a wildcard record.
pub fn by_wildcard(seen: Observation) -> Observation {
    let findings = Findings { alias_origin: AliasOrigin::Wildcard, ..seen.findings };
    Observation { findings, ..seen }
}

/// More observations for codes that need more than one example.
pub fn further_examples() -> Vec<(Code, Observation)> {
    let value = record().value;
    let other = numbered(9).value;
    let near = |wrong: String| showing_values(&[b"v=spf1 -all", wrong.as_bytes()]);
    vec![
        (Code::NoTxtAtName, observed(vec![answer(1, 0, vec![]), fault(2, NetworkFault::Timeout)])),
        (Code::WrongValue, near(format!("{value}."))),
        (Code::WrongValue, near(format!("TXT \"{value}\""))),
        (Code::WrongValue, near(value.replacen("qc", "q\u{441}", 1))),
        (Code::WrongValue, showing_values(&[other.as_bytes()])),
        (Code::ValuePrefixMissing, near(value.replace('=', "%3D"))),
        (Code::CnameDangling, aliased_to(&format!("{value}.acme.com"), denying())),
        (Code::CnameDangling, {
            Observation { beside_alias: vec![expected_value()], ..aliased_to("host.other.net", denying()) }
        }),
        (Code::CnameElsewhere, by_wildcard(aliased_to("host.other.net", vec![answer(1, 0, vec![])]))),
    ]
}
