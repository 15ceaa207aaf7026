//! Causes: which one of several is reported, and its message and fix.
use deed_diagnosis::{
    Class, Code, Diagnosis, Findings, NetworkFault, Observation, Place, ProbeFailure, Security,
};

use crate::given::{
    aliased, answer, bytes, context, denying, elsewhere, expected_value, failed, fault, observed,
    observed_twice, of_every_code, oversize, record, refusal, showing, showing_values, validated, validation,
};
use crate::{code, code_under, diagnose};

#[test]
fn every_code_has_one_example() {
    let causes = of_every_code();
    for (expected, observation) in &causes {
        assert_eq!(code_under(&context(), observation), Some(*expected));
    }
    let made: Vec<Code> = causes.iter().map(|(code, _)| *code).collect();
    for code in Code::ALL {
        assert_eq!(made.iter().filter(|c| *c == code).count(), 1, "{code:?}");
    }
}

#[test]
fn messages_name_the_record_and_the_fix() {
    let diagnoses: Vec<Diagnosis> =
        of_every_code().iter().map(|(_, observation)| diagnose(observation)).collect();
    for diagnosis in &diagnoses {
        let text = format!("{} {} {}", diagnosis.message(), diagnosis.fix(), diagnosis.observed.join(" "));
        assert!(text.chars().all(|c| (' '..='~').contains(&c)), "{text}");
        assert!(diagnosis.message().ends_with('.') && diagnosis.fix().ends_with('.'), "{diagnosis:?}");
        assert_eq!(diagnosis.class, diagnosis.code.class());
        let names_record = diagnosis.message().contains("acme.com");
        let internal = diagnosis.class == Class::Internal;
        assert!(names_record || internal, "{diagnosis:?}");
    }
    insta::assert_json_snapshot!(diagnoses);
}

#[test]
fn variants_of_a_code_have_their_own_messages() {
    let (value, token) = (record().value, record().token);
    let host = |values: &[Vec<u8>]| Observation {
        zone: None,
        findings: elsewhere(Place::DoubledZone, "_deed.acme.com.acme.com", values, &[]),
        ..aliased(denying())
    };
    let long = Observation { aliases: vec!["x.net".into(); 9], ..failed(ProbeFailure::AliasTooLong, vec![]) };
    let messages: Vec<String> = [
        showing_values(&[format!("\u{201c}{value}\u{201d}").as_bytes()]),
        showing_values(&[format!("deed-domain-claim={value}").as_bytes()]),
        showing_values(&[format!("_deed.acme.com {value}").as_bytes()]),
        showing_values(&[format!("deed-site-verification={token}").as_bytes()]),
        showing_values(&[format!("{value}{token}").as_bytes()]),
        showing_values(&[&value.as_bytes()[5..]]),
        host(&[expected_value()]),
        host(&[bytes("other")]),
        aliased(vec![answer(1, 0, vec![])]),
        long,
        observed(vec![answer(1, 0, vec![])]),
        failed(ProbeFailure::NotDelegated(".".into()), denying()),
        failed(ProbeFailure::ParentRefused(2), vec![]),
        observed_twice(showing(), denying()),
        validated(validation("self", Security::Secure, vec![]), observed(showing())),
        observed_twice(showing(), vec![refusal(1, 5, None)]),
        observed((1..=6).map(|n| fault(n, NetworkFault::Timeout)).collect()),
    ]
    .iter()
    .map(|observation| {
        let diagnosis = diagnose(observation);
        format!("{}: {}\n    {}", diagnosis.code.as_str(), diagnosis.message(), diagnosis.fix())
    })
    .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn value_at_another_place_precedes_values_at_the_name() {
    let at = |place, values: &[Vec<u8>], control: &[Vec<u8>], seen: Observation| Observation {
        findings: elsewhere(place, "elsewhere.acme.com", values, control),
        ..seen
    };
    let earlier = || showing_values(&[crate::given::numbered(7).value.as_bytes()]);
    let doubled = at(Place::DoubledZone, &[expected_value()], &[], earlier());
    assert_eq!(code_under(&context(), &doubled), Some(Code::DoubledZone));
    // A wildcard provides the value.
    let wild = at(Place::DoubledZone, &[expected_value()], &[expected_value()], observed(denying()));
    assert_eq!(code(&wild), Some(Code::RecordNotFound));
    // Any record at the doubled name is a mistake, unless a record exists at the right name.
    let stray = || [bytes("whatever")];
    assert_eq!(code(&at(Place::DoubledZone, &stray(), &[], observed(denying()))), Some(Code::DoubledZone));
    assert_eq!(
        code(&at(Place::DoubledZone, &stray(), &stray(), observed(denying()))),
        Some(Code::RecordNotFound)
    );
    assert_eq!(
        code(&at(Place::DoubledZone, &stray(), &[], showing_values(&[b"other"]))),
        Some(Code::WrongValue)
    );
    // Other records at the apex are no mistake.
    assert_eq!(code(&at(Place::Apex, &stray(), &[], observed(denying()))), Some(Code::RecordNotFound));
    let quoted = format!("\"{}\"", record().value).into_bytes();
    let quoted_value = diagnose(&at(Place::Apex, &[quoted], &[], observed(denying())));
    assert_eq!(quoted_value.code, Code::AtApex);
    // Mail depends on other records at the apex: nothing there is to be deleted.
    assert!(quoted_value.fix().contains("Leave the records at"), "{}", quoted_value.fix());
    assert!(!quoted_value.fix().contains("elete"), "{}", quoted_value.fix());
}

#[test]
fn near_match_precedes_alias_and_wildcard() {
    let quoted = format!("\"{}\"", record().value).into_bytes();
    assert_eq!(code(&aliased(vec![answer(1, 0, vec![quoted.clone()])])), Some(Code::ValueQuoted));
    let findings = Findings { wildcard: vec![quoted.clone()], ..Findings::default() };
    assert_eq!(code(&Observation { findings, ..showing_values(&[&quoted]) }), Some(Code::ValueQuoted));
}

#[test]
fn recognises_only_the_holders_earlier_values() {
    let old = showing_values(&[crate::given::numbered(7).value.as_bytes()]);
    assert_eq!(code_under(&context(), &old), Some(Code::ValueOfEarlierClaim));
    assert_eq!(code(&old), Some(Code::WrongValue));
    assert!(diagnose(&old).message().contains("2026-05-03"));
}

#[test]
fn large_set_precedes_wildcard() {
    let values = vec![bytes("one of many"), bytes("another")];
    let findings = Findings { wildcard: values.clone(), ..Findings::default() };
    let servers = vec![oversize(answer(1, 0, values))];
    assert_eq!(code(&Observation { findings, ..observed(servers) }), Some(Code::OversizeAnswer));
}

#[test]
fn explains_a_record_that_only_udp_shows() {
    let diagnosis = diagnose(&observed_twice(showing(), vec![fault(1, NetworkFault::Timeout)]));
    assert!(diagnosis.message().contains("was found") && diagnosis.fix().contains("TCP"), "{diagnosis:?}");
}
