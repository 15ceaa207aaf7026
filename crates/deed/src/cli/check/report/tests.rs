//! Snapshots of the report for constructed observations.
use deed_claims::{ChallengeTemplates, Token};
use deed_diagnosis::{
    Confirmation, Dname, Elsewhere, ExtendedError, Findings, NetworkFault, Place, ProbeFailure, Reply,
    Serial, ServerAnswer, Signatures, SoaSeen, Statement, Validation, VantageAnswer,
};

use super::*;

fn challenge() -> Challenge {
    let name = "acme.com".parse().unwrap();
    ChallengeTemplates::default().challenge(deed_claims::Scope::Apex, &name, Token::from_bytes([1; 20]))
}

fn value() -> Vec<u8> {
    challenge().record_value.as_bytes().to_vec()
}

fn message(rcode: u16, values: Vec<Vec<u8>>) -> Reply {
    let soa = values.is_empty().then(|| SoaSeen { owner: "acme.com".into(), serial: 11, negative_ttl: 300 });
    let statement = match rcode {
        _ if !values.is_empty() => Statement::Values,
        3 => Statement::NoName,
        _ => Statement::NoData,
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

fn server(n: u8, reply: Reply) -> ServerAnswer {
    let address = Some(std::net::Ipv4Addr::new(192, 0, 2, n).into());
    ServerAnswer { server: format!("ns{n}.acme.com"), address, transport: Transport::Udp, reply, ms: 5 }
}

fn seen(servers: Vec<ServerAnswer>) -> Observation {
    Observation {
        name: "_deed.acme.com".into(),
        zone: Some("acme.com".into()),
        servers,
        queries: 9,
        took_ms: 42,
        vantage: "test".into(),
        ..Observation::default()
    }
}

fn validation(security: Security, values: Vec<Vec<u8>>) -> Validation {
    Validation {
        by: "127.0.0.1:53".into(),
        security,
        rcode: Some(if values.is_empty() { 3 } else { 0 }),
        values,
        ede: None,
        negative_ttl: None,
        ours: false,
        ms: 4,
    }
}

fn report(expects: bool, seen: &Observation) -> Report {
    let input = CheckInput {
        domain: "acme.com".into(),
        root_domain: "acme.com".into(),
        expected: expects.then(|| challenge().record_value.to_string()),
        agreement: Agreement::Majority,
        accept_wildcard: false,
    };
    Report::of(input, &challenge(), seen)
}

fn proven() -> Observation {
    let all = || {
        vec![
            server(1, message(0, vec![b"v=spf1 -all".to_vec(), value()])),
            server(2, message(0, vec![value()])),
        ]
    };
    let over_tcp = |answer: ServerAnswer| ServerAnswer { transport: Transport::Tcp, ..answer };
    let vantage = |name: &str, reply| VantageAnswer { vantage: name.into(), reply, ms: 80 };
    let confirmation = Confirmation {
        repeated: Some(all().into_iter().map(over_tcp).collect()),
        dissent: vec![],
        validation: Some(validation(Security::Insecure, vec![value()])),
        vantages: vec![
            vantage("fra", message(0, vec![value()])),
            vantage("sin", Reply::Fault(NetworkFault::Timeout)),
        ],
        quorum: 1,
    };
    let findings = Findings { wildcard: vec![value()], ..Findings::default() };
    Observation { confirmation, findings, ..seen(all()) }
}

fn doubled() -> Observation {
    let elsewhere = Elsewhere {
        place: Place::DoubledZone,
        name: "_deed.acme.com.acme.com".into(),
        values: vec![value()],
        control: vec![],
    };
    let findings =
        Findings { elsewhere: vec![elsewhere], other_types: vec!["A".into()], ..Findings::default() };
    Observation { findings, ..seen(vec![server(1, message(3, vec![]))]) }
}

fn differing() -> Observation {
    let lame = Reply::Message {
        rcode: 5,
        authoritative: false,
        truncated: false,
        ede: Some(20),
        values: vec![],
        oversize: false,
        soa: None,
        statement: Statement::Nothing,
        signatures: Signatures::None,
        plain: false,
    };
    let serial =
        |n: u8, serial| Serial { server: format!("ns{n}.acme.com"), address: [192, 0, 2, n].into(), serial };
    let findings = Findings { serials: vec![serial(1, 12), serial(2, 11)], ..Findings::default() };
    let all = vec![
        server(1, message(0, vec![value()])),
        server(2, message(3, vec![])),
        server(3, message(3, vec![])),
        server(4, lame),
    ];
    Observation { findings, ..seen(all) }
}

fn bogus() -> Observation {
    let mut broken = validation(Security::Bogus, vec![]);
    broken.rcode = Some(2);
    broken.ede = Some(ExtendedError { code: 7, text: b"expired \x1b[31m".to_vec() });
    let confirmation = Confirmation { validation: Some(broken), ..Confirmation::default() };
    Observation { confirmation, ..seen(vec![server(1, message(0, vec![value()]))]) }
}

fn moved() -> Observation {
    let dname = Dname { owner: "acme.com".into(), target: "acme.net".into() };
    let servers = vec![server(1, message(0, vec![b"<script>\n".to_vec()]))];
    Observation { dname: Some(dname), aliases: vec!["_deed.acme.net".into()], ..seen(servers) }
}

#[test]
fn text_has_observation_outcome_and_fix() {
    let cases = [
        ("proven", true, proven()),
        ("doubled", true, doubled()),
        ("differing", true, differing()),
        ("bogus", true, bogus()),
        ("moved", true, moved()),
        ("found", false, moved()),
        ("nothing", false, seen(vec![server(1, message(3, vec![]))])),
    ];
    for (name, expects, observation) in cases {
        insta::assert_snapshot!(name, report(expects, &observation).text());
    }
}

#[test]
fn json_has_the_same_content() {
    let mut report = report(true, &differing());
    report.evidence.suffix_list = "psl".to_owned();
    insta::assert_json_snapshot!(report);
}

#[test]
fn exit_code_follows_outcome() {
    let failed = |failure| Observation { failure: Some(failure), ..seen(vec![]) };
    for (expects, observation, exit) in [
        (true, proven(), Exit::Success),
        (false, moved(), Exit::Success),
        (true, moved(), Exit::Negative),
        (true, failed(ProbeFailure::BudgetExhausted), Exit::Negative),
        (true, failed(ProbeFailure::Canary("timeout".into())), Exit::Unavailable),
        (false, failed(ProbeFailure::Internal("no sockets".into())), Exit::Unavailable),
    ] {
        assert_eq!(report(expects, &observation).exit(), exit);
    }
}
