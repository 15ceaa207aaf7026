//! Absence: which answers deny a record, and which failures never do.
use deed_diagnosis::{Code, NetworkFault, ProbeFailure, Reply, judge};

use crate::code;
use crate::given::{
    answer, bytes, denying, expected_value, failed, fault, observed, observed_twice, oversize, record,
    refusal, server, showing,
};

#[test]
fn absence_needs_an_authoritative_answer() {
    assert_eq!(code(&observed(vec![answer(1, 3, vec![])])), Some(Code::RecordNotFound));
    assert_eq!(code(&observed(vec![answer(1, 0, vec![])])), Some(Code::NoTxtAtName));
    assert_eq!(code(&observed(vec![refusal(1, 3, None)])), Some(Code::LameDelegation));
    assert_eq!(code(&observed(vec![])), Some(Code::Timeout));
}

#[test]
fn failing_servers_do_not_undo_a_denial() {
    let mixed = vec![answer(1, 3, vec![]), fault(2, NetworkFault::Timeout), refusal(3, 5, None)];
    assert_eq!(code(&observed(mixed)), Some(Code::RecordNotFound));
}

#[test]
fn repeated_absence_needs_both_answers() {
    assert_eq!(code(&observed_twice(denying(), denying())), Some(Code::RecordNotFound));
    assert_eq!(code(&observed_twice(denying(), showing())), Some(Code::InconsistentServers));
    let silent = observed_twice(denying(), vec![fault(1, NetworkFault::Timeout)]);
    assert_eq!(code(&silent), Some(Code::Timeout));
    assert!(!judge(record(), &silent).is_absence());
    let ours = vec![fault(1, NetworkFault::Timeout), fault(2, NetworkFault::Internal)];
    assert_eq!(code(&observed_twice(denying(), ours)), Some(Code::Internal));
    let much = || vec![oversize(answer(1, 0, vec![bytes("x")]))];
    assert_eq!(
        code(&observed_twice(denying(), much())),
        Some(Code::RecordNotFound),
        "all of it was compared"
    );
    let with_it = vec![oversize(answer(1, 0, vec![bytes("x"), expected_value()]))];
    assert_eq!(code(&observed_twice(much(), with_it)), Some(Code::InconsistentServers));
    assert!(judge(record(), &observed_twice(much(), much())).is_absence());
}

#[test]
fn undelegated_domain_needs_an_authoritative_denial() {
    let outcome = |servers| judge(record(), &failed(ProbeFailure::NotDelegated("com".into()), servers));
    assert_eq!(outcome(vec![answer(1, 3, vec![])]).code(), Some(Code::NotDelegated));
    for no_denial in [vec![], vec![fault(1, NetworkFault::Timeout)], vec![answer(1, 0, vec![])]] {
        assert!(!outcome(no_denial.clone()).is_absence(), "{no_denial:?}");
    }
}

#[test]
fn failures_are_distinguished_and_never_absence() {
    let cases = [
        (vec![refusal(1, 2, None)], Code::Servfail),
        (vec![fault(1, NetworkFault::Malformed)], Code::Servfail),
        (vec![refusal(1, 5, None)], Code::Refused),
        (vec![refusal(1, 9, None)], Code::LameDelegation),
        (vec![refusal(1, 5, Some(20))], Code::LameDelegation),
        (vec![refusal(1, 16, None)], Code::EdnsBroken),
        (vec![refusal(1, 4, None)], Code::EdnsBroken),
        (vec![fault(1, NetworkFault::Timeout)], Code::Timeout),
        (vec![fault(1, NetworkFault::TruncatedNoTcp)], Code::TruncatedNoTcp),
        (vec![server(1, Reply::Blocked)], Code::BlockedAddress),
        (vec![server(1, Reply::Blocked), refusal(2, 5, None)], Code::Refused),
        (vec![fault(1, NetworkFault::Internal), refusal(2, 5, None)], Code::Internal),
    ];
    for (servers, expected) in cases {
        let outcome = judge(record(), &observed(servers));
        assert_eq!(outcome.code(), Some(expected));
        assert!(!outcome.is_absence(), "{expected:?}");
    }
}

#[test]
fn failure_of_the_probe_is_the_cause() {
    for (failure, expected) in [
        (ProbeFailure::AliasLoop, Code::CnameLoop),
        (ProbeFailure::AliasTooLong, Code::CnameLoop),
        (ProbeFailure::BudgetExhausted, Code::BudgetExhausted),
        (ProbeFailure::NoDelegation(NetworkFault::Timeout), Code::Timeout),
        (ProbeFailure::NoDelegation(NetworkFault::EdnsBroken), Code::EdnsBroken),
        (ProbeFailure::ParentRefused(5), Code::Refused),
        (ProbeFailure::ParentRefused(2), Code::Servfail),
        (ProbeFailure::NoAddress, Code::NsWithoutAddress),
        (ProbeFailure::NameRefused("it is a public suffix".into()), Code::NameRefused),
        (ProbeFailure::Canary("timeout".into()), Code::Internal),
        (ProbeFailure::Internal("no descriptors".into()), Code::Internal),
    ] {
        assert_eq!(code(&failed(failure, vec![])), Some(expected));
    }
}
