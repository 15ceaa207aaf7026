//! Notes: facts in the evidence that do not change the outcome.
use deed_diagnosis::{Code, Evidence, Findings, Observation, Reply, Security, Signatures, notes};

use crate::code;
use crate::given::{
    answer, expected_value, observed, observed_twice, record, refusal, showing, validated, validation,
};

#[test]
fn notes_a_value_from_a_wildcard() {
    let findings = Findings { wildcard: vec![expected_value()], ..Findings::default() };
    let wild = Observation { findings, ..observed_twice(showing(), showing()) };
    assert_eq!(code(&wild), None);
    let evidence = Evidence::from(&wild).noting(record(), &wild);
    assert_eq!(evidence.notes, ["wildcard_answer"]);
    assert_eq!(notes(record(), &observed_twice(showing(), showing())), []);
}

#[test]
fn lame_servers_are_a_note_or_without_majority_the_cause() {
    let most = || [showing(), vec![refusal(3, 5, Some(20))]].concat();
    assert_eq!(code(&observed_twice(most(), most())), None);
    assert_eq!(
        notes(record(), &observed_twice(most(), most())).first().map(|n| n.as_str()),
        Some("partially_lame")
    );
    let tie = vec![answer(1, 0, vec![expected_value()]), answer(2, 3, vec![]), refusal(3, 5, None)];
    assert_eq!(code(&observed(tie)), Some(Code::PartiallyLame));
    let few = vec![
        answer(1, 0, vec![expected_value()]),
        answer(2, 3, vec![]),
        answer(3, 3, vec![]),
        refusal(4, 5, None),
    ];
    assert_eq!(code(&observed(few)), Some(Code::InconsistentServers));
}

#[test]
fn notes_stale_copies_of_a_signed_zone() {
    let signed = |n, signatures: Signatures| {
        let mut answer = answer(n, 0, vec![expected_value()]);
        if let Reply::Message { signatures: of, .. } = &mut answer.reply {
            *of = signatures;
        }
        answer
    };
    let servers = || vec![signed(1, Signatures::Current), signed(2, Signatures::Expired)];
    let words = |observation: &Observation| -> Vec<&str> {
        notes(record(), observation).iter().map(|note| note.as_str()).collect()
    };
    let secure = validated(validation("self", Security::Secure, vec![expected_value()]), observed(servers()));
    assert_eq!((code(&secure), words(&secure)), (None, vec!["stale_signatures"]));
    let evidence = Evidence::from(&secure).noting(record(), &secure);
    assert_eq!(evidence.servers[1].signatures, Some(Signatures::Expired));
    assert_eq!(evidence.noted_servers[0].servers, ["ns2.acme.com"]);
    let unsigned = validated(
        validation("self", Security::Insecure, vec![expected_value()]),
        observed_twice(showing(), showing()),
    );
    assert_eq!(words(&unsigned), Vec::<&str>::new());
}
