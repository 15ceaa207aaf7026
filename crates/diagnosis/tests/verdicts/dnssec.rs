//! DNSSEC: what secure, insecure, bogus and indeterminate validation mean for a match and for an absence.
use deed_diagnosis::{
    Code, ExtendedError, Observation, ProbeFailure, Reply, Security, ServerAnswer, Validation,
};

use crate::given::{
    answer, bytes, denying, expected_value, observed, observed_twice, showing, validated, validation,
};
use crate::{at_stake, code, code_under, diagnose};

#[test]
fn signed_answer_decides() {
    let secure = validated(validation("self", Security::Secure, vec![expected_value()]), observed(showing()));
    assert_eq!(code(&secure), None);
    let bogus = |by| {
        validated(
            validation(by, Security::Bogus, vec![expected_value()]),
            observed_twice(showing(), showing()),
        )
    };
    assert_eq!(code(&bogus("self")), Some(Code::DnssecBogus));
    assert_eq!(code(&bogus("127.0.0.1:53")), Some(Code::DnssecBogus));
    // A signed answer without the value: from a cache it may be old, from the zone itself it is a contradiction.
    for values in [vec![], vec![bytes("other")]] {
        let denied = |by| {
            validated(validation(by, Security::Secure, values.clone()), observed_twice(showing(), showing()))
        };
        assert_eq!(code(&denied("self")), Some(Code::InconsistentServers));
        assert_eq!(code(&denied("127.0.0.1:53")), Some(Code::StaleNegativeCache));
    }
}

#[test]
fn unsigned_match_needs_repeat_and_no_denial() {
    let unsigned = |by, values| validation(by, Security::Insecure, values);
    let fine =
        validated(unsigned("127.0.0.1:53", vec![expected_value()]), observed_twice(showing(), showing()));
    assert_eq!(code(&fine), None);
    let once = validated(unsigned("127.0.0.1:53", vec![expected_value()]), observed(showing()));
    assert_eq!(code(&once), Some(Code::BudgetExhausted));
    let denied = validated(unsigned("127.0.0.1:53", vec![]), observed_twice(showing(), showing()));
    assert_eq!(code(&denied), Some(Code::StaleNegativeCache));
    let other_server = validated(unsigned("self", vec![]), observed_twice(showing(), showing()));
    assert_eq!(code(&other_server), None);
    let mut deaf = unsigned("127.0.0.1:53", vec![]);
    deaf.rcode = Some(2);
    assert_eq!(code(&validated(deaf, observed_twice(showing(), showing()))), None);
}

#[test]
fn indeterminate_validation_is_no_proof_and_no_absence() {
    let unknown = |by, rcode| Validation { rcode, ..validation(by, Security::Indeterminate, vec![]) };
    let shown = |by, rcode| validated(unknown(by, rcode), observed_twice(showing(), showing()));
    for (by, rcode) in [("self", None), ("192.0.2.53:53", Some(2)), ("192.0.2.53:53", None)] {
        assert_eq!(code(&shown(by, rcode)), Some(Code::DnssecIndeterminate), "{by} {rcode:?}");
    }
    let down = || Validation { ours: true, ..unknown("192.0.2.53:53", None) };
    assert_eq!(
        code(&validated(down(), observed_twice(showing(), showing()))),
        Some(Code::Internal),
        "our resolver is down"
    );
    let ede = Some(ExtendedError { code: 7, text: b"expired".to_vec() });
    let late = Validation { ede, ..unknown("self", None) };
    assert_eq!(
        code(&validated(late, observed_twice(showing(), showing()))),
        Some(Code::Internal),
        "our clock is wrong"
    );
    let spent = Observation { failure: Some(ProbeFailure::BudgetExhausted), ..shown("self", None) };
    assert_eq!(code(&spent), Some(Code::BudgetExhausted));
    // It does not take a name from a holder either.
    let gone = validated(unknown("192.0.2.53:53", None), observed_twice(denying(), denying()));
    assert_eq!(code_under(&at_stake(), &gone), Some(Code::DnssecIndeterminate));
    let gone = validated(down(), observed_twice(denying(), denying()));
    assert_eq!(code_under(&at_stake(), &gone), Some(Code::Internal));
    assert_eq!(code(&gone), Some(Code::RecordNotFound));
    let parent = Some(ProbeFailure::NotDelegated("com".into()));
    let gone = Observation { failure: parent, ..gone };
    assert_eq!(code_under(&at_stake(), &gone), Some(Code::Internal));
}

#[test]
fn broken_edns_explains_indeterminate_validation() {
    let plain = |mut answer: ServerAnswer| {
        if let Reply::Message { plain, .. } = &mut answer.reply {
            *plain = true;
        }
        answer
    };
    let servers: Vec<ServerAnswer> = showing().into_iter().map(plain).collect();
    let unknown = Validation { rcode: None, ..validation("192.0.2.53:53", Security::Indeterminate, vec![]) };
    let silent = validated(unknown, observed_twice(servers.clone(), servers));
    assert_eq!(code(&silent), Some(Code::EdnsBroken));
}

#[test]
fn reports_how_long_a_denial_is_cached() {
    let mut remembered = validation("127.0.0.1:53", Security::Insecure, vec![]);
    let stale = |validation| diagnose(&validated(validation, observed_twice(showing(), showing())));
    remembered.negative_ttl = Some(850);
    let diagnosis = stale(remembered.clone());
    assert_eq!(diagnosis.clears_in, Some(850));
    assert!(diagnosis.message().contains("15 minutes"), "{}", diagnosis.message());
    remembered.negative_ttl = None;
    assert_eq!(stale(remembered.clone()).clears_in, None);
    let most = [showing(), vec![answer(3, 3, vec![])]].concat();
    let from_soa = diagnose(&validated(remembered, observed_twice(most.clone(), most)));
    assert_eq!(from_soa.clears_in, Some(300));
    assert_eq!(diagnose(&observed(denying())).clears_in, None);
}
