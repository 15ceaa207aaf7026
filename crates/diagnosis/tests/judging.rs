//! Properties of `judge` that hold for every observation.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod given;

use deed_diagnosis::{
    Agreement, AliasOrigin, Code, Confirmation, Context, Diagnosis, Dname, Elsewhere, ExtendedError,
    Findings, NetworkFault, Observation, Outcome, Place, ProbeFailure, Reply, Security, Serial, ServerAnswer,
    Signatures, SoaSeen, Statement, Transport, Validation, VantageAnswer, judge_within, notes,
};
use given::{context, expected_value, record};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Values as tenants and attackers make them: the expected one, near matches, foreign ones, and noise.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let ours = String::from_utf8(expected_value()).unwrap();
    let token = record().token.to_owned();
    prop_oneof![
        4 => Just(expected_value()),
        1 => Just(format!("\"{ours}\"").into_bytes()),
        1 => Just(format!("{ours}\u{200b}").into_bytes()),
        1 => Just(ours.to_uppercase().into_bytes()),
        1 => Just(format!("{ours}{ours}").into_bytes()),
        1 => Just(format!("{ours}.").into_bytes()),
        1 => Just(format!("<{ours}>").into_bytes()),
        1 => Just(ours.replacen("qc", "qx", 1).into_bytes()),
        1 => Just(given::numbered(9).value.as_bytes().to_vec()),
        1 => Just(ours.as_bytes()[..30].to_vec()),
        1 => Just(ours.as_bytes()[30..].to_vec()),
        1 => Just(token.into_bytes()),
        1 => (0..ours.len()).prop_map(move |cut| ours.as_bytes()[..cut].to_vec()),
        1 => Just(given::numbered(7).value.as_bytes().to_vec()),
        2 => vec(any::<u8>(), 0..400),
    ]
}

fn foreign_name() -> impl Strategy<Value = String> {
    prop_oneof![Just("ns1.acme.com".to_owned()), "\\PC{0,300}", any::<String>()]
}

fn network_fault() -> impl Strategy<Value = NetworkFault> {
    prop::sample::select(vec![
        NetworkFault::Timeout,
        NetworkFault::Unreachable,
        NetworkFault::Malformed,
        NetworkFault::TruncatedNoTcp,
        NetworkFault::EdnsBroken,
        NetworkFault::Internal,
    ])
}

fn statement() -> impl Strategy<Value = Statement> {
    use Statement::{Alias, NoData, NoName, Nothing, Values};
    prop::sample::select(vec![Values, NoName, NoData, Alias, Nothing])
}

fn reply() -> impl Strategy<Value = Reply> {
    let rcode = prop_oneof![4 => Just(0_u16), 4 => Just(3), 1 => Just(5), 1 => Just(2), 1 => any::<u16>()];
    let soa = option::of((foreign_name(), any::<u32>(), any::<u32>()))
        .prop_map(|soa| soa.map(|(owner, serial, negative_ttl)| SoaSeen { owner, serial, negative_ttl }));
    let message = (
        rcode,
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.1),
        option::of(any::<u16>()),
        vec(value(), 0..4),
        (prop::bool::weighted(0.05), statement(), any::<bool>()),
        soa,
    )
        .prop_map(|(rcode, authoritative, truncated, ede, values, (oversize, statement, plain), soa)| {
            Reply::Message {
                rcode,
                authoritative,
                truncated,
                ede,
                values,
                oversize,
                soa,
                statement,
                signatures: Signatures::None,
                plain,
            }
        });
    prop_oneof![8 => message, 2 => network_fault().prop_map(Reply::Fault), 1 => Just(Reply::Blocked)]
}

fn answers() -> impl Strategy<Value = Vec<ServerAnswer>> {
    let address = option::of(any::<std::net::Ipv4Addr>().prop_map(Into::into));
    let one = (foreign_name(), address, reply(), any::<u32>()).prop_map(|(server, address, reply, ms)| {
        ServerAnswer { server, address, transport: Transport::Udp, reply, ms }
    });
    vec(one, 0..5)
}

fn failure() -> impl Strategy<Value = ProbeFailure> {
    prop_oneof![
        network_fault().prop_map(ProbeFailure::NoDelegation),
        any::<u16>().prop_map(ProbeFailure::ParentRefused),
        prop_oneof![Just("com".to_owned()), Just(".".to_owned()), foreign_name()]
            .prop_map(ProbeFailure::NotDelegated),
        foreign_name().prop_map(ProbeFailure::Canary),
        Just(ProbeFailure::AliasLoop),
        Just(ProbeFailure::AliasTooLong),
        Just(ProbeFailure::NoAddress),
        Just(ProbeFailure::BudgetExhausted),
        foreign_name().prop_map(ProbeFailure::NameRefused),
        foreign_name().prop_map(ProbeFailure::Internal),
    ]
}

fn confirmation() -> impl Strategy<Value = Confirmation> {
    let security = prop::sample::select(vec![
        Security::Secure,
        Security::Insecure,
        Security::Bogus,
        Security::Indeterminate,
    ]);
    let ede = option::of((any::<u16>(), vec(any::<u8>(), 0..200)))
        .prop_map(|ede| ede.map(|(code, text)| ExtendedError { code, text }));
    let by = prop_oneof![Just("self".to_owned()), foreign_name()];
    let validation = (by, security, option::of(0_u16..6), vec(value(), 0..3), ede, option::of(any::<u32>()))
        .prop_map(|(by, security, rcode, values, ede, negative_ttl)| Validation {
            by,
            security,
            rcode,
            values,
            ede,
            negative_ttl,
            ours: false,
            ms: 3,
        });
    let vantage =
        (foreign_name(), reply()).prop_map(|(vantage, reply)| VantageAnswer { vantage, reply, ms: 3 });
    let dissent = prop_oneof![4 => Just(vec![]), 1 => answers()];
    (option::of(answers()), dissent, option::of(validation), vec(vantage, 0..4), 0_usize..4).prop_map(
        |(repeated, dissent, validation, vantages, quorum)| Confirmation {
            repeated,
            dissent,
            validation,
            vantages,
            quorum,
        },
    )
}

fn findings() -> impl Strategy<Value = Findings> {
    let place = prop::sample::select(vec![Place::Apex, Place::ParentLabel, Place::DoubledZone]);
    let elsewhere = (place, foreign_name(), vec(value(), 0..3), vec(value(), 0..2))
        .prop_map(|(place, name, values, control)| Elsewhere { place, name, values, control });
    let serial = (foreign_name(), any::<std::net::Ipv4Addr>(), any::<u32>())
        .prop_map(|(server, address, serial)| Serial { server, address: address.into(), serial });
    let origin = prop::sample::select(vec![
        AliasOrigin::NotAsked,
        AliasOrigin::Name,
        AliasOrigin::Wildcard,
        AliasOrigin::Unknown,
    ]);
    (vec(elsewhere, 0..3), vec(foreign_name(), 0..3), vec(value(), 0..3), vec(serial, 0..3), origin).prop_map(
        |(elsewhere, other_types, wildcard, serials, alias_origin)| Findings {
            elsewhere,
            other_types,
            wildcard,
            serials,
            alias_origin,
        },
    )
}

fn observation() -> impl Strategy<Value = Observation> {
    let dname = option::weighted(0.2, (foreign_name(), foreign_name()))
        .prop_map(|dname| dname.map(|(owner, target)| Dname { owner, target }));
    let zone = option::of(prop_oneof![Just("acme.com".to_owned()), Just(String::new()), foreign_name()]);
    (
        zone,
        vec(foreign_name(), 0..3),
        dname,
        (answers(), prop_oneof![4 => Just(vec![]), 1 => answers()], vec(value(), 0..2)),
        option::weighted(0.3, failure()),
        confirmation(),
        findings(),
    )
        .prop_map(|(zone, aliases, dname, answers, failure, confirmation, findings)| Observation {
            name: "_deed.acme.com".into(),
            zone,
            aliases,
            dname,
            servers: answers.0,
            dissent: answers.1,
            beside_alias: answers.2,
            failure,
            confirmation,
            findings,
            routing: None,
            queries: 4,
            took_ms: 20,
            vantage: "test".into(),
        })
}

/// The values of an answer that counts, by a definition that is independent of the code under test.
fn counted_values(answer: &ServerAnswer) -> Option<&[Vec<u8>]> {
    match &answer.reply {
        Reply::Message { authoritative: true, truncated: false, values, statement, .. } => {
            (*statement != Statement::Nothing).then_some(values)
        }
        _ => None,
    }
}

/// The number of name servers that show the value at every answering address, the number that answer, and whether any
/// address shows it.
fn showing(answers: &[ServerAnswer]) -> (usize, usize, bool) {
    let counted: Vec<(&str, bool)> = answers
        .iter()
        .filter_map(|answer| {
            Some((answer.server.as_str(), counted_values(answer)?.contains(&expected_value())))
        })
        .collect();
    let names: std::collections::BTreeSet<&str> = counted.iter().map(|(name, _)| *name).collect();
    let all_show = |name: &&&str| counted.iter().filter(|(of, _)| *of == **name).all(|(_, shows)| *shows);
    (names.iter().filter(all_show).count(), names.len(), counted.iter().any(|(_, shows)| *shows))
}

/// Shuffles by Fisher and Yates; the seed determines the order.
fn shuffle<T>(items: &mut [T], seed: &mut u64) {
    for last in (1..items.len()).rev() {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, usize::try_from(*seed >> 33).unwrap() % (last + 1));
    }
}

fn shuffle_reply(reply: &mut Reply, seed: &mut u64) {
    if let Reply::Message { values, .. } = reply {
        shuffle(values, seed);
    }
}

fn shuffle_answers(answers: &mut [ServerAnswer], seed: &mut u64) {
    shuffle(answers, seed);
    for answer in answers {
        shuffle_reply(&mut answer.reply, seed);
    }
}

/// The same observation with servers, records and findings in another order.
fn shuffled(first: &Observation, seed: &mut u64) -> Observation {
    let mut again = first.clone();
    shuffle_answers(&mut again.servers, seed);
    shuffle_answers(&mut again.dissent, seed);
    shuffle(&mut again.beside_alias, seed);
    shuffle_answers(&mut again.confirmation.dissent, seed);
    let Confirmation { repeated, validation, vantages, .. } = &mut again.confirmation;
    if let Some(repeated) = repeated {
        shuffle_answers(repeated, seed);
    }
    if let Some(validation) = validation {
        shuffle(&mut validation.values, seed);
    }
    shuffle(vantages, seed);
    for vantage in vantages {
        shuffle_reply(&mut vantage.reply, seed);
    }
    let findings = &mut again.findings;
    shuffle(&mut findings.elsewhere, seed);
    for found in &mut findings.elsewhere {
        shuffle(&mut found.values, seed);
        shuffle(&mut found.control, seed);
    }
    shuffle(&mut findings.other_types, seed);
    shuffle(&mut findings.wildcard, seed);
    shuffle(&mut findings.serials, seed);
    again
}

/// The rules of a proof, by definitions that are independent of the code under test.
fn check_proof(context: &Context, observation: &Observation) -> Result<(), TestCaseError> {
    let enough = |(with, all, _): (usize, usize, bool)| match context.agreement {
        Agreement::Strict => with > 0 && with == all,
        Agreement::Majority => with * 2 > all,
    };
    let confirmation = &observation.confirmation;
    let security = confirmation.validation.as_ref().map(|v| v.security);
    let (with, answering, shown) = showing(&observation.servers);
    prop_assert!(enough((with, answering, shown)), "too few servers");
    prop_assert_ne!(observation.findings.alias_origin, AliasOrigin::Wildcard);
    prop_assert_ne!(security, Some(Security::Bogus));
    let validated = confirmation.validation.as_ref().is_some_and(|v| v.values.contains(&expected_value()));
    let secure = security == Some(Security::Secure) && validated;
    let repeated = confirmation.repeated.as_ref().is_some_and(|again| enough(showing(again)));
    prop_assert!(secure || repeated, "nothing confirmed it");
    if context.held_by_another && !secure {
        prop_assert_eq!(with, answering, "a server that answers contradicts it");
        prop_assert!(observation.dissent.is_empty() && confirmation.dissent.is_empty());
    }
    Ok(())
}

/// The rules of an absence.
fn check_absence(context: &Context, observation: &Observation) -> Result<(), TestCaseError> {
    let security = observation.confirmation.validation.as_ref().map(|v| v.security);
    let (_, answering, shown) = showing(&observation.servers);
    let wildcard = observation.findings.alias_origin == AliasOrigin::Wildcard;
    prop_assert!(!shown || wildcard, "a server shows it");
    let denied = matches!(observation.failure, Some(ProbeFailure::NotDelegated(_)));
    prop_assert!(answering > 0 || denied, "no server said so");
    prop_assert_ne!(security, Some(Security::Bogus));
    if context.at_stake {
        let signed = security == Some(Security::Secure);
        let again = observation.confirmation.repeated.as_ref().map(|again| showing(again));
        let repeated = again.is_some_and(|(_, all, shown)| !shown && all > 0);
        prop_assert!(signed || wildcard || repeated, "seen once");
    }
    Ok(())
}

/// The bounds of the texts of a diagnosis.
fn check_texts(diagnosis: &Diagnosis) -> Result<(), TestCaseError> {
    let is_printable = |text: &str| text.chars().all(|c| (' '..='~').contains(&c));
    prop_assert_eq!(diagnosis.class, diagnosis.code.class());
    for text in [&diagnosis.message(), &diagnosis.fix()] {
        prop_assert!(text.len() <= 1000 && !text.is_empty(), "{:?}", diagnosis);
        // An unknown key would render like this.
        prop_assert!(!text.starts_with('[') && !text.contains(". ["), "{text}");
        prop_assert!(is_printable(text), "{text}");
    }
    prop_assert!(diagnosis.observed.len() <= 3);
    prop_assert!(diagnosis.observed.iter().all(|value| value.len() <= 100 && is_printable(value)));
    prop_assert_eq!(diagnosis.clears_in.is_some() && diagnosis.code != Code::StaleNegativeCache, false);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn outcomes_keep_the_rules(
        observation in observation(),
        strict in any::<bool>(),
        at_stake in any::<bool>(),
        held_by_another in any::<bool>(),
    ) {
        let agreement = if strict { Agreement::Strict } else { Agreement::Majority };
        let context = Context { agreement, at_stake, held_by_another, ..context() };
        let outcome = judge_within(record(), &context, &observation);
        prop_assert_eq!(&outcome, &judge_within(record(), &context, &observation), "the outcome is deterministic");

        match &outcome {
            Outcome::Proven => check_proof(&context, &observation)?,
            Outcome::NotProven(diagnosis) => check_texts(diagnosis)?,
        }
        if outcome.is_absence() {
            check_absence(&context, &observation)?;
        }
        // Evidence and notes are total as well, and evidence round-trips.
        let evidence = deed_diagnosis::Evidence::from(&observation).noting(record(), &observation);
        let written = serde_json::to_string(&evidence).unwrap();
        prop_assert!(written.len() < 64 * 1024, "{} bytes", written.len());
        prop_assert_eq!(serde_json::from_str::<deed_diagnosis::Evidence>(&written).unwrap(), evidence);
    }

    #[test]
    fn order_of_servers_and_records_does_not_matter(observation in observation(), mut seed in any::<u64>(), at_stake in any::<bool>()) {
        let context = Context { at_stake, ..context() };
        let outcome = judge_within(record(), &context, &observation);
        let shuffled = shuffled(&observation, &mut seed);
        prop_assert_eq!(outcome, judge_within(record(), &context, &shuffled));
        prop_assert_eq!(notes(record(), &observation), notes(record(), &shuffled));
    }
}
