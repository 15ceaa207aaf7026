//! Proof: how many name servers have to show the exact value, and what confirms it.
use deed_diagnosis::{
    AliasOrigin, Code, Confirmation, Context, Findings, NetworkFault, Observation, Outcome, ProbeFailure,
    Security, ServerAnswer, judge, notes,
};

use crate::given::{
    answer, bytes, denying, expected_value, fault, observed, observed_twice, record, refusal, showing,
    validation, vantage,
};
use crate::{code, code_under, diagnose, strict, with_address};

#[test]
fn confirmed_match_is_proof() {
    let all = || {
        vec![answer(1, 0, vec![bytes("v=spf1 -all"), expected_value()]), answer(2, 0, vec![expected_value()])]
    };
    assert_eq!(judge(record(), &observed_twice(all(), all())), Outcome::Proven);
}

#[test]
fn unconfirmed_match_is_no_proof() {
    assert_eq!(code(&observed(showing())), Some(Code::BudgetExhausted));
}

#[test]
fn contrary_or_failed_repeat_is_no_proof() {
    assert_eq!(code(&observed_twice(showing(), denying())), Some(Code::InconsistentServers));
    let silent = || vec![fault(1, NetworkFault::Timeout)];
    assert_eq!(code(&observed_twice(showing(), silent())), Some(Code::Timeout));
    let out_of_descriptors = Some(ProbeFailure::Internal("no descriptors".into()));
    let ours = Observation { failure: out_of_descriptors, ..observed_twice(showing(), vec![]) };
    assert_eq!(code(&ours), Some(Code::Internal));
}

#[test]
fn half_of_the_servers_is_no_majority() {
    let half = || vec![answer(1, 0, vec![expected_value()]), answer(2, 3, vec![])];
    assert_eq!(code(&observed_twice(half(), half())), Some(Code::InconsistentServers));
}

#[test]
fn strict_agreement_needs_every_answering_server() {
    let most = || {
        vec![answer(1, 0, vec![expected_value()]), answer(2, 0, vec![expected_value()]), answer(3, 3, vec![])]
    };
    assert_eq!(code(&observed_twice(most(), most())), None);
    assert_eq!(code_under(&strict(), &observed_twice(most(), most())), Some(Code::InconsistentServers));
    assert_eq!(code_under(&strict(), &observed_twice(showing(), most())), Some(Code::InconsistentServers));
    // Servers that do not answer have no vote.
    let silent = || [showing(), vec![fault(3, NetworkFault::Timeout), refusal(4, 5, None)]].concat();
    assert_eq!(code_under(&strict(), &observed_twice(silent(), silent())), None);
}

#[test]
fn name_server_has_one_vote_for_all_addresses() {
    let honest = || (1..=3).map(|n| answer(n, 0, vec![bytes("the owner's")]));
    let stranger = || (1..=4).map(|last| with_address(answer(4, 0, vec![expected_value()]), last));
    let all: Vec<ServerAnswer> = honest().chain(stranger()).collect();
    assert_eq!(code(&observed_twice(all.clone(), all)), Some(Code::InconsistentServers));
    let few = || vec![answer(1, 0, vec![expected_value()]), answer(2, 0, vec![expected_value()])];
    let crowd: Vec<ServerAnswer> =
        few().into_iter().chain((1..=4).map(|last| with_address(answer(3, 3, vec![]), last))).collect();
    assert_eq!(code(&observed_twice(crowd.clone(), crowd)), None, "it cannot outvote the others either");
}

#[test]
fn name_server_has_to_show_the_value_at_all_addresses() {
    let split = || vec![answer(1, 0, vec![expected_value()]), with_address(answer(1, 3, vec![]), 1)];
    let outcome = judge(record(), &observed_twice(split(), split()));
    assert_eq!(outcome.code(), Some(Code::InconsistentServers));
    assert!(!outcome.is_absence());
    let silent =
        || vec![answer(1, 0, vec![expected_value()]), with_address(fault(1, NetworkFault::Timeout), 1)];
    assert_eq!(
        code(&observed_twice(silent(), silent())),
        None,
        "an address that does not answer has no vote"
    );
}

#[test]
fn value_that_contains_the_token_is_no_proof() {
    let value = record().value;
    for near in [format!("x{value}"), format!("{value} "), value.to_uppercase(), record().token.to_owned()] {
        let answers = || vec![answer(1, 0, vec![near.clone().into_bytes()])];
        let outcome = judge(record(), &observed_twice(answers(), answers()));
        assert!(outcome.is_absence(), "{near}: {outcome:?}");
    }
}

#[test]
fn match_needs_the_vantage_quorum() {
    let looked = |sees: usize, quorum| {
        let values = |n| if n < sees { vec![expected_value()] } else { vec![] };
        let confirmation = Confirmation {
            repeated: Some(showing()),
            dissent: vec![],
            validation: None,
            vantages: (0..5).map(|n| vantage(&format!("v{n}"), Some(values(n)))).collect(),
            quorum,
        };
        Observation { confirmation, ..observed(showing()) }
    };
    assert_eq!(code(&looked(3, 3)), None);
    assert_eq!(code(&looked(2, 3)), Some(Code::VantageDisagreement));
    assert_eq!(code(&looked(0, 0)), None);
    assert!(diagnose(&looked(2, 3)).message().contains("seen from 2 of 5 places"));
    // A signed answer needs no vantage points.
    let mut signed = looked(0, 3);
    signed.confirmation.validation = Some(validation("self", Security::Secure, vec![expected_value()]));
    assert_eq!(code(&signed), None);
}

#[test]
fn disqualifying_failure_bars_a_match() {
    for failure in [
        ProbeFailure::AliasTooLong,
        ProbeFailure::AliasLoop,
        ProbeFailure::NotDelegated("com".into()),
        ProbeFailure::Canary("timeout".into()),
        ProbeFailure::NameRefused("it is a public suffix".into()),
    ] {
        let far = Observation { failure: Some(failure), ..observed_twice(showing(), showing()) };
        assert!(code(&far).is_some(), "{far:?}");
    }
}

#[test]
fn wildcard_alias_is_no_proof_unless_accepted() {
    let aliased = |alias_origin| {
        let findings = Findings { alias_origin, ..Findings::default() };
        Observation {
            findings,
            aliases: vec!["tenant.vendor.com".into()],
            ..observed_twice(showing(), showing())
        }
    };
    let wild = aliased(AliasOrigin::Wildcard);
    assert_eq!(code(&wild), Some(Code::WildcardAnswer));
    let accept = Context { accept_wildcard: true, ..Context::default() };
    assert_eq!(code_under(&accept, &wild), None);
    assert!(notes(record(), &wild).iter().any(|note| note.as_str() == "wildcard_answer"));
    assert_eq!(code(&aliased(AliasOrigin::Name)), None);
    assert_eq!(code(&aliased(AliasOrigin::Unknown)), Some(Code::Timeout), "the origin is unknown");
}
