//! Names that another holder has: when a match moves them, and when the holder's record counts as absent.
use deed_diagnosis::{
    Code, Confirmation, Context, NetworkFault, Observation, ProbeFailure, Security, ServerAnswer,
};

use crate::given::{
    answer, denying, expected_value, failed, fault, observed, observed_twice, refusal, showing, validated,
    validation, vantage,
};
use crate::{at_stake, code, code_under, held_by_another};

#[test]
fn held_name_needs_every_answering_server() {
    let most = || {
        vec![answer(1, 0, vec![expected_value()]), answer(2, 0, vec![expected_value()]), answer(3, 3, vec![])]
    };
    assert_eq!(code(&observed_twice(most(), most())), None);
    assert_eq!(
        code_under(&held_by_another(), &observed_twice(most(), most())),
        Some(Code::InconsistentServers)
    );
    assert_eq!(
        code_under(&held_by_another(), &observed_twice(showing(), most())),
        Some(Code::InconsistentServers)
    );
    assert_eq!(code_under(&held_by_another(), &observed_twice(showing(), showing())), None);
    let silent = || [showing(), vec![fault(3, NetworkFault::Timeout), refusal(4, 5, None)]].concat();
    assert_eq!(code_under(&held_by_another(), &observed_twice(silent(), silent())), None);
    // A signed answer comes from the owner of the zone.
    let signed = validated(validation("self", Security::Secure, vec![expected_value()]), observed(most()));
    assert_eq!(code_under(&held_by_another(), &signed), None);
}

#[test]
fn held_name_needs_half_of_the_listed_servers() {
    let one = |silent: u8| {
        let rest = (2..2 + silent).map(|n| fault(n, NetworkFault::Timeout));
        let all: Vec<ServerAnswer> = [answer(1, 0, vec![expected_value()])].into_iter().chain(rest).collect();
        observed_twice(all.clone(), all)
    };
    assert_eq!(code(&one(3)), None);
    assert_eq!(code_under(&held_by_another(), &one(1)), None);
    assert_eq!(code_under(&held_by_another(), &one(3)), Some(Code::PartiallyLame));
}

#[test]
fn dissent_of_a_parent_server_keeps_a_held_name() {
    let way = || Observation { dissent: vec![answer(9, 0, vec![])], ..observed_twice(showing(), showing()) };
    assert_eq!(code(&way()), None);
    assert_eq!(code_under(&held_by_another(), &way()), Some(Code::InconsistentServers));
    let mut second = observed_twice(showing(), showing());
    second.confirmation.dissent = vec![answer(9, 0, vec![])];
    assert_eq!(code_under(&held_by_another(), &second), Some(Code::InconsistentServers));
    // A record that one of them still shows is not absent.
    let gone = Observation { dissent: showing(), ..observed_twice(denying(), denying()) };
    assert_eq!(code_under(&at_stake(), &gone), Some(Code::InconsistentServers));
}

#[test]
fn absence_at_stake_needs_confirmation() {
    let at_stake = at_stake();
    let gone = || failed(ProbeFailure::NotDelegated("com".into()), denying());
    for (once, absent) in [(observed(denying()), Code::RecordNotFound), (gone(), Code::NotDelegated)] {
        assert_eq!(code(&once), Some(absent));
        assert_eq!(code_under(&at_stake, &once), Some(Code::BudgetExhausted), "{absent:?} seen once");
        let mut twice = once.clone();
        twice.confirmation.repeated = Some(denying());
        assert_eq!(code_under(&at_stake, &twice), Some(absent));
        let mut back = once.clone();
        back.confirmation.repeated = Some(showing());
        assert_eq!(code_under(&at_stake, &back), Some(Code::InconsistentServers));
        let signed = validated(validation("self", Security::Secure, vec![]), once.clone());
        assert_eq!(code_under(&at_stake, &signed), Some(absent));
        let contrary = validated(validation("r", Security::Secure, vec![expected_value()]), twice.clone());
        assert_eq!(code_under(&at_stake, &contrary), Some(Code::InconsistentServers));
        let broken = validated(validation("r", Security::Bogus, vec![]), twice);
        assert_eq!(code_under(&at_stake, &broken), Some(Code::DnssecBogus));
    }
}

#[test]
fn absence_at_stake_needs_the_vantage_quorum() {
    let looked = |gone: usize| {
        let values = |n| if n < gone { vec![] } else { vec![expected_value()] };
        let confirmation = Confirmation {
            repeated: Some(denying()),
            dissent: vec![],
            validation: None,
            vantages: (0..3).map(|n| vantage(&format!("v{n}"), Some(values(n)))).collect(),
            quorum: 2,
        };
        Observation { confirmation, ..observed(denying()) }
    };
    assert_eq!(code_under(&at_stake(), &looked(2)), Some(Code::RecordNotFound));
    assert_eq!(code_under(&at_stake(), &looked(1)), Some(Code::VantageDisagreement));
}

#[test]
fn challenged_record_is_absent_by_half_of_the_servers() {
    let challenged = Context { challenged: true, at_stake: true, ..Context::default() };
    let few = || vec![answer(1, 3, vec![]), fault(2, NetworkFault::Timeout), fault(3, NetworkFault::Timeout)];
    assert_eq!(code_under(&at_stake(), &observed_twice(few(), few())), Some(Code::RecordNotFound));
    assert_eq!(code_under(&challenged, &observed_twice(few(), few())), Some(Code::PartiallyLame));
    let half = || vec![answer(1, 3, vec![]), fault(2, NetworkFault::Timeout)];
    assert_eq!(code_under(&challenged, &observed_twice(half(), half())), Some(Code::RecordNotFound));
    let signed = validated(validation("self", Security::Secure, vec![]), observed(few()));
    assert_eq!(
        code_under(&challenged, &signed),
        Some(Code::RecordNotFound),
        "a signed denial comes from the owner"
    );
}
