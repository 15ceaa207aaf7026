//! What is made of what the servers said.
mod given;

use deed_claims::{
    Challenge, Class, Code, Confirmation, Findings, NetworkFault, Observation, Outcome, ProbeFailure, Reply,
    Security, ServerAnswer, SoaSeen, Transport, Validation, judge,
};

fn challenge() -> Challenge {
    given::challenge(1)
}

fn wanted() -> Vec<u8> {
    challenge().record_value.as_bytes().to_vec()
}

fn answer(n: u8, rcode: u16, values: Vec<Vec<u8>>) -> ServerAnswer {
    let soa = values.is_empty().then(|| SoaSeen { owner: "acme.com".into(), serial: 7, negative_ttl: 300 });
    let reply = Reply::Message {
        rcode,
        authoritative: true,
        truncated: false,
        ede: None,
        values,
        oversize: false,
        soa,
    };
    server(n, reply)
}

fn server(n: u8, reply: Reply) -> ServerAnswer {
    let address = Some(std::net::Ipv4Addr::new(192, 0, 2, n).into());
    ServerAnswer { server: format!("ns{n}.acme.com"), address, transport: Transport::Udp, reply, ms: 5 }
}

fn seen(servers: Vec<ServerAnswer>) -> Observation {
    Observation {
        name: "_deed.acme.com".into(),
        zone: Some("acme.com".into()),
        aliases: vec![],
        dname: None,
        servers,
        failure: None,
        confirmation: Confirmation::default(),
        findings: Findings::default(),
        queries: 4,
        took_ms: 20,
        vantage: "test".into(),
    }
}

fn confirmed(servers: Vec<ServerAnswer>, again: Vec<ServerAnswer>) -> Observation {
    let confirmation = Confirmation { repeated: Some(again), ..Confirmation::default() };
    Observation { confirmation, ..seen(servers) }
}

fn validated(security: Security, servers: Vec<ServerAnswer>) -> Observation {
    let validation = Validation {
        by: "self".into(),
        security,
        rcode: Some(0),
        values: vec![wanted()],
        ede: None,
        negative_ttl: None,
        ms: 3,
    };
    let confirmation = Confirmation { validation: Some(validation), ..Confirmation::default() };
    Observation { confirmation, ..seen(servers) }
}

fn code(observation: &Observation) -> Option<Code> {
    judge(&challenge(), observation).code()
}

#[test]
fn the_whole_value_at_most_servers_twice_is_proof() {
    let all = || vec![answer(1, 0, vec![b"v=spf1 -all".to_vec(), wanted()]), answer(2, 0, vec![wanted()])];
    assert_eq!(judge(&challenge(), &confirmed(all(), all())), Outcome::Proven);
}

#[test]
fn one_look_is_never_proof() {
    assert_eq!(code(&seen(vec![answer(1, 0, vec![wanted()])])), Some(Code::InconsistentServers));
}

#[test]
fn a_second_look_that_disagrees_or_fails_is_not_proof() {
    let first = || vec![answer(1, 0, vec![wanted()])];
    let denied = confirmed(first(), vec![answer(1, 3, vec![])]);
    assert_eq!(code(&denied), Some(Code::InconsistentServers));
    let silent = confirmed(first(), vec![server(1, Reply::Fault(NetworkFault::Timeout))]);
    assert_eq!(code(&silent), Some(Code::Timeout));
    let out_of_descriptors = Some(ProbeFailure::Internal("no descriptors".into()));
    let ours = Observation { failure: out_of_descriptors, ..confirmed(first(), vec![]) };
    assert_eq!(code(&ours), Some(Code::Internal));
    assert_eq!(code(&validated(Security::Bogus, first())), Some(Code::DnssecBogus));
    assert_eq!(judge(&challenge(), &validated(Security::Secure, first())), Outcome::Proven);
}

#[test]
fn half_of_the_servers_is_not_a_majority() {
    let half = || vec![answer(1, 0, vec![wanted()]), answer(2, 3, vec![])];
    assert_eq!(code(&confirmed(half(), half())), Some(Code::InconsistentServers));
}

#[test]
fn a_value_that_only_contains_the_token_is_wrong() {
    for near in [
        format!("x{}", challenge().record_value),
        format!("{} ", challenge().record_value),
        challenge().record_value.to_uppercase(),
        challenge().token.to_string(),
    ] {
        let outcome = judge(&challenge(), &seen(vec![answer(1, 0, vec![near.clone().into_bytes()])]));
        assert_eq!(outcome.code(), Some(Code::WrongValue), "{near}");
    }
}

#[test]
fn absence_needs_an_answer_with_authority() {
    assert_eq!(code(&seen(vec![answer(1, 3, vec![])])), Some(Code::RecordNotFound));
    assert_eq!(code(&seen(vec![answer(1, 0, vec![])])), Some(Code::NoTxtAtName));
    let lame = Reply::Message {
        rcode: 3,
        authoritative: false,
        truncated: false,
        ede: None,
        values: vec![],
        oversize: false,
        soa: None,
    };
    assert_eq!(code(&seen(vec![server(1, lame)])), Some(Code::LameDelegation));
    assert_eq!(code(&seen(vec![])), Some(Code::Timeout));
}

#[test]
fn servers_that_fail_beside_one_that_denies_do_not_unmake_the_denial() {
    let mixed = vec![answer(1, 3, vec![]), server(2, Reply::Fault(NetworkFault::Timeout))];
    assert_eq!(code(&seen(mixed)), Some(Code::RecordNotFound));
}

#[test]
fn an_absence_that_was_looked_at_twice_needs_both_looks() {
    let gone = || vec![answer(1, 3, vec![])];
    assert_eq!(code(&confirmed(gone(), gone())), Some(Code::RecordNotFound));
    let stands = confirmed(gone(), vec![answer(1, 0, vec![wanted()])]);
    assert_eq!(code(&stands), Some(Code::InconsistentServers));
    let silent = confirmed(gone(), vec![server(1, Reply::Fault(NetworkFault::Timeout))]);
    assert_eq!(code(&silent), Some(Code::Timeout));
    assert!(!judge(&challenge(), &silent).is_absence());
    let again =
        vec![server(1, Reply::Fault(NetworkFault::Timeout)), server(2, Reply::Fault(NetworkFault::Internal))];
    assert_eq!(code(&confirmed(gone(), again)), Some(Code::Internal));
}

#[test]
fn a_record_that_only_udp_shows_is_explained() {
    let silent =
        confirmed(vec![answer(1, 0, vec![wanted()])], vec![server(1, Reply::Fault(NetworkFault::Timeout))]);
    let Outcome::NotProven(diagnosis) = judge(&challenge(), &silent) else { panic!("proven") };
    assert!(diagnosis.message.contains("was seen") && diagnosis.fix.contains("TCP"), "{diagnosis:?}");
}

#[test]
fn failures_are_told_apart_and_never_absence() {
    let cases = [
        (vec![answer(1, 2, vec![])], Code::Servfail, Class::Transient),
        (vec![answer(1, 5, vec![])], Code::Refused, Class::Transient),
        (vec![server(1, Reply::Fault(NetworkFault::Timeout))], Code::Timeout, Class::Transient),
        (vec![server(1, Reply::Fault(NetworkFault::TruncatedNoTcp))], Code::TruncatedNoTcp, Class::Transient),
        (vec![server(1, Reply::Blocked)], Code::BlockedAddress, Class::Waiting),
        (vec![server(1, Reply::Blocked), answer(2, 5, vec![])], Code::Refused, Class::Transient),
        (vec![server(1, Reply::Fault(NetworkFault::Internal))], Code::Internal, Class::Internal),
    ];
    for (servers, expected, class) in cases {
        let outcome = judge(&challenge(), &seen(servers));
        assert_eq!(outcome.code(), Some(expected));
        assert_eq!(expected.class(), class);
        assert!(!outcome.is_absence(), "{expected:?}");
    }
}

#[test]
fn what_ended_the_look_is_said() {
    for (failure, expected) in [
        (ProbeFailure::AliasLoop, Code::CnameLoop),
        (ProbeFailure::BudgetExhausted, Code::BudgetExhausted),
        (ProbeFailure::NoDelegation(NetworkFault::Timeout), Code::Timeout),
        (ProbeFailure::ParentRefused(5), Code::Refused),
        (ProbeFailure::ParentRefused(2), Code::Servfail),
        (ProbeFailure::NoAddress, Code::NsWithoutAddress),
        (ProbeFailure::NameRefused("it is a public suffix".into()), Code::NameRefused),
        (ProbeFailure::Internal("no descriptors".into()), Code::Internal),
    ] {
        let observation = Observation { failure: Some(failure), ..seen(vec![]) };
        assert_eq!(code(&observation), Some(expected));
    }
}

#[test]
fn a_match_behind_too_many_aliases_is_no_match() {
    let all = || vec![answer(1, 0, vec![wanted()])];
    let far = Observation { failure: Some(ProbeFailure::AliasTooLong), ..confirmed(all(), all()) };
    assert_eq!(code(&far), Some(Code::CnameLoop));
}

#[test]
fn every_message_names_the_record_and_says_what_to_do() {
    let aliased = Observation { aliases: vec!["dcv.example.net".into()], ..seen(vec![answer(1, 3, vec![])]) };
    let garbage =
        vec![answer(1, 0, vec![b"<script>\n\x1b[31m".to_vec(), vec![b'a'; 300]]), answer(2, 0, vec![])];
    let told: Vec<_> = [
        seen(vec![answer(1, 3, vec![]), answer(2, 3, vec![])]),
        seen(vec![answer(1, 0, vec![])]),
        seen(garbage),
        aliased,
        seen(vec![server(1, Reply::Blocked)]),
        seen(vec![answer(1, 5, vec![])]),
        seen(vec![answer(1, 2, vec![])]),
        seen(vec![server(1, Reply::Fault(NetworkFault::Timeout))]),
    ]
    .iter()
    .map(|observation| match judge(&challenge(), observation) {
        Outcome::Proven => panic!("proven"),
        Outcome::NotProven(diagnosis) => diagnosis,
    })
    .collect();
    for diagnosis in &told {
        let text = format!("{} {} {}", diagnosis.message, diagnosis.fix, diagnosis.observed.join(" "));
        assert!(text.chars().all(|c| (' '..='~').contains(&c)), "{text}");
    }
    insta::assert_json_snapshot!(told);
}
