//! What is made of what the servers said.
mod given;

use deed_claims::{
    Agreement, AliasOrigin, Class, Code, Confirmation, Context, Diagnosis, Evidence, ExtendedError, Findings,
    NetworkFault, Observation, Outcome, Place, ProbeFailure, Reply, Security, ServerAnswer, Signatures,
    Validation, judge, judge_within, notes,
};
use given::seen::{
    again, aliased, answer, challenge, context, denies, elsewhere, failed, fault, of_every_cause, oversize,
    refusal, seen, server, shows, text, validated, validation, vantage, wanted, with,
};

fn code(observation: &Observation) -> Option<Code> {
    judge(&challenge(), observation).code()
}

fn under(context: &Context, observation: &Observation) -> Option<Code> {
    judge_within(&challenge(), context, observation).code()
}

fn told(observation: &Observation) -> Diagnosis {
    match judge_within(&challenge(), &context(), observation) {
        Outcome::Proven => panic!("proven"),
        Outcome::NotProven(diagnosis) => diagnosis,
    }
}

fn at_stake() -> Context {
    Context { at_stake: true, ..Context::default() }
}

fn strict() -> Context {
    Context { agreement: Agreement::Strict, ..Context::default() }
}

#[test]
fn the_whole_value_at_most_servers_twice_is_proof() {
    let all = || vec![answer(1, 0, vec![text("v=spf1 -all"), wanted()]), answer(2, 0, vec![wanted()])];
    assert_eq!(judge(&challenge(), &again(all(), all())), Outcome::Proven);
}

#[test]
fn one_look_is_never_proof() {
    assert_eq!(code(&seen(shows())), Some(Code::BudgetExhausted));
}

#[test]
fn not_to_know_whether_a_zone_is_signed_is_no_proof_however_often_it_was_asked() {
    let unknown = |by, rcode| Validation { rcode, ..validation(by, Security::Indeterminate, vec![]) };
    let shown = |by, rcode| validated(unknown(by, rcode), again(shows(), shows()));
    for (by, rcode) in [("self", None), ("192.0.2.53:53", Some(2)), ("192.0.2.53:53", None)] {
        assert_eq!(code(&shown(by, rcode)), Some(Code::DnssecIndeterminate), "{by} {rcode:?}");
    }
    let down = || Validation { ours: true, ..unknown("192.0.2.53:53", None) };
    assert_eq!(
        code(&validated(down(), again(shows(), shows()))),
        Some(Code::Internal),
        "our resolver is down"
    );
    let ede = Some(ExtendedError { code: 7, text: b"expired".to_vec() });
    let late = Validation { ede, ..unknown("self", None) };
    assert_eq!(code(&validated(late, again(shows(), shows()))), Some(Code::Internal), "our clock is wrong");
    let spent = Observation { failure: Some(ProbeFailure::BudgetExhausted), ..shown("self", None) };
    assert_eq!(code(&spent), Some(Code::BudgetExhausted));
    // Nor does it take a name from anybody.
    let gone = validated(unknown("192.0.2.53:53", None), again(denies(), denies()));
    assert_eq!(under(&at_stake(), &gone), Some(Code::DnssecIndeterminate));
    let gone = validated(down(), again(denies(), denies()));
    assert_eq!(under(&at_stake(), &gone), Some(Code::Internal));
    assert_eq!(code(&gone), Some(Code::RecordNotFound));
    let parent = Some(ProbeFailure::NotDelegated("com".into()));
    let gone = Observation { failure: parent, ..gone };
    assert_eq!(under(&at_stake(), &gone), Some(Code::Internal));
}

#[test]
fn a_second_look_that_disagrees_or_fails_is_not_proof() {
    assert_eq!(code(&again(shows(), denies())), Some(Code::InconsistentServers));
    let silent = || vec![fault(1, NetworkFault::Timeout)];
    assert_eq!(code(&again(shows(), silent())), Some(Code::Timeout));
    let out_of_descriptors = Some(ProbeFailure::Internal("no descriptors".into()));
    let ours = Observation { failure: out_of_descriptors, ..again(shows(), vec![]) };
    assert_eq!(code(&ours), Some(Code::Internal));
}

#[test]
fn half_of_the_servers_is_not_a_majority() {
    let half = || vec![answer(1, 0, vec![wanted()]), answer(2, 3, vec![])];
    assert_eq!(code(&again(half(), half())), Some(Code::InconsistentServers));
}

#[test]
fn strict_agreement_wants_every_server_that_answers() {
    let most = || vec![answer(1, 0, vec![wanted()]), answer(2, 0, vec![wanted()]), answer(3, 3, vec![])];
    assert_eq!(code(&again(most(), most())), None);
    assert_eq!(under(&strict(), &again(most(), most())), Some(Code::InconsistentServers));
    assert_eq!(under(&strict(), &again(shows(), most())), Some(Code::InconsistentServers));
    // Servers that do not answer say nothing.
    let silent = || [shows(), vec![fault(3, NetworkFault::Timeout), refusal(4, 5, None)]].concat();
    assert_eq!(under(&strict(), &again(silent(), silent())), None);
}

#[test]
fn dnssec_decides_where_there_is_any() {
    let secure = validated(validation("self", Security::Secure, vec![wanted()]), seen(shows()));
    assert_eq!(code(&secure), None);
    let bogus = |by| validated(validation(by, Security::Bogus, vec![wanted()]), again(shows(), shows()));
    assert_eq!(code(&bogus("self")), Some(Code::DnssecBogus));
    assert_eq!(code(&bogus("127.0.0.1:53")), Some(Code::DnssecBogus));
    // Signed, and without the value: from a cache it may be old, from the zone itself it is a contradiction.
    for values in [vec![], vec![text("other")]] {
        let denied =
            |by| validated(validation(by, Security::Secure, values.clone()), again(shows(), shows()));
        assert_eq!(code(&denied("self")), Some(Code::InconsistentServers));
        assert_eq!(code(&denied("127.0.0.1:53")), Some(Code::StaleNegativeCache));
    }
}

#[test]
fn an_unsigned_zone_needs_the_second_look_and_no_resolver_that_denies() {
    let unsigned = |by, values| validation(by, Security::Insecure, values);
    let fine = validated(unsigned("127.0.0.1:53", vec![wanted()]), again(shows(), shows()));
    assert_eq!(code(&fine), None);
    let once = validated(unsigned("127.0.0.1:53", vec![wanted()]), seen(shows()));
    assert_eq!(code(&once), Some(Code::BudgetExhausted));
    let denied = validated(unsigned("127.0.0.1:53", vec![]), again(shows(), shows()));
    assert_eq!(code(&denied), Some(Code::StaleNegativeCache));
    let other_server = validated(unsigned("self", vec![]), again(shows(), shows()));
    assert_eq!(code(&other_server), None);
    let mut deaf = unsigned("127.0.0.1:53", vec![]);
    deaf.rcode = Some(2);
    assert_eq!(code(&validated(deaf, again(shows(), shows()))), None);
}

#[test]
fn the_time_a_denial_is_remembered_is_told() {
    let mut remembered = validation("127.0.0.1:53", Security::Insecure, vec![]);
    let stale = |validation| told(&validated(validation, again(shows(), shows())));
    remembered.negative_ttl = Some(850);
    let diagnosis = stale(remembered.clone());
    assert_eq!(diagnosis.clears_in, Some(850));
    assert!(diagnosis.message().contains("15 minutes"), "{}", diagnosis.message());
    remembered.negative_ttl = None;
    assert_eq!(stale(remembered.clone()).clears_in, None);
    let most = [shows(), vec![answer(3, 3, vec![])]].concat();
    let from_soa = told(&validated(remembered, again(most.clone(), most)));
    assert_eq!(from_soa.clears_in, Some(300));
    assert_eq!(told(&seen(denies())).clears_in, None);
}

#[test]
fn enough_places_have_to_see_it_where_that_is_asked() {
    let looked = |sees: usize, quorum| {
        let values = |n| if n < sees { vec![wanted()] } else { vec![] };
        let confirmation = Confirmation {
            repeated: Some(shows()),
            dissent: vec![],
            validation: None,
            vantages: (0..5).map(|n| vantage(&format!("v{n}"), Some(values(n)))).collect(),
            quorum,
        };
        Observation { confirmation, ..seen(shows()) }
    };
    assert_eq!(code(&looked(3, 3)), None);
    assert_eq!(code(&looked(2, 3)), Some(Code::VantageDisagreement));
    assert_eq!(code(&looked(0, 0)), None);
    assert!(told(&looked(2, 3)).message().contains("seen from 2 of 5 places"));
    // A signed answer needs nobody else.
    let mut signed = looked(0, 3);
    signed.confirmation.validation = Some(validation("self", Security::Secure, vec![wanted()]));
    assert_eq!(code(&signed), None);
}

#[test]
fn a_value_that_only_contains_the_token_is_never_proof() {
    let value = challenge().record_value;
    for near in
        [format!("x{value}"), format!("{value} "), value.to_uppercase(), challenge().token.to_string()]
    {
        let answers = || vec![answer(1, 0, vec![near.clone().into_bytes()])];
        let outcome = judge(&challenge(), &again(answers(), answers()));
        assert!(outcome.is_absence(), "{near}: {outcome:?}");
    }
}

#[test]
fn absence_needs_an_answer_with_authority() {
    assert_eq!(code(&seen(vec![answer(1, 3, vec![])])), Some(Code::RecordNotFound));
    assert_eq!(code(&seen(vec![answer(1, 0, vec![])])), Some(Code::NoTxtAtName));
    assert_eq!(code(&seen(vec![refusal(1, 3, None)])), Some(Code::LameDelegation));
    assert_eq!(code(&seen(vec![])), Some(Code::Timeout));
}

#[test]
fn servers_that_fail_beside_one_that_denies_do_not_unmake_the_denial() {
    let mixed = vec![answer(1, 3, vec![]), fault(2, NetworkFault::Timeout), refusal(3, 5, None)];
    assert_eq!(code(&seen(mixed)), Some(Code::RecordNotFound));
}

#[test]
fn an_absence_that_was_looked_at_twice_needs_both_looks() {
    assert_eq!(code(&again(denies(), denies())), Some(Code::RecordNotFound));
    assert_eq!(code(&again(denies(), shows())), Some(Code::InconsistentServers));
    let silent = again(denies(), vec![fault(1, NetworkFault::Timeout)]);
    assert_eq!(code(&silent), Some(Code::Timeout));
    assert!(!judge(&challenge(), &silent).is_absence());
    let ours = vec![fault(1, NetworkFault::Timeout), fault(2, NetworkFault::Internal)];
    assert_eq!(code(&again(denies(), ours)), Some(Code::Internal));
    let much = || vec![oversize(answer(1, 0, vec![text("x")]))];
    assert_eq!(code(&again(denies(), much())), Some(Code::RecordNotFound), "all of it was compared");
    let with_it = vec![oversize(answer(1, 0, vec![text("x"), wanted()]))];
    assert_eq!(code(&again(much(), with_it)), Some(Code::InconsistentServers));
    assert!(judge(&challenge(), &again(much(), much())).is_absence());
}

#[test]
fn where_a_holding_is_at_stake_an_absence_has_to_be_confirmed() {
    let at_stake = at_stake();
    let gone = || failed(ProbeFailure::NotDelegated("com".into()), denies());
    for (once, absent) in [(seen(denies()), Code::RecordNotFound), (gone(), Code::NotDelegated)] {
        assert_eq!(code(&once), Some(absent));
        assert_eq!(under(&at_stake, &once), Some(Code::BudgetExhausted), "{absent:?} seen once");
        let mut twice = once.clone();
        twice.confirmation.repeated = Some(denies());
        assert_eq!(under(&at_stake, &twice), Some(absent));
        let mut back = once.clone();
        back.confirmation.repeated = Some(shows());
        assert_eq!(under(&at_stake, &back), Some(Code::InconsistentServers));
        let signed = validated(validation("self", Security::Secure, vec![]), once.clone());
        assert_eq!(under(&at_stake, &signed), Some(absent));
        let contrary = validated(validation("r", Security::Secure, vec![wanted()]), twice.clone());
        assert_eq!(under(&at_stake, &contrary), Some(Code::InconsistentServers));
        let broken = validated(validation("r", Security::Bogus, vec![]), twice);
        assert_eq!(under(&at_stake, &broken), Some(Code::DnssecBogus));
    }
}

#[test]
fn places_that_still_see_the_record_keep_it_from_being_gone() {
    let looked = |gone: usize| {
        let values = |n| if n < gone { vec![] } else { vec![wanted()] };
        let confirmation = Confirmation {
            repeated: Some(denies()),
            dissent: vec![],
            validation: None,
            vantages: (0..3).map(|n| vantage(&format!("v{n}"), Some(values(n)))).collect(),
            quorum: 2,
        };
        Observation { confirmation, ..seen(denies()) }
    };
    assert_eq!(under(&at_stake(), &looked(2)), Some(Code::RecordNotFound));
    assert_eq!(under(&at_stake(), &looked(1)), Some(Code::VantageDisagreement));
}

#[test]
fn a_record_that_only_udp_shows_is_explained() {
    let diagnosis = told(&again(shows(), vec![fault(1, NetworkFault::Timeout)]));
    assert!(diagnosis.message().contains("was found") && diagnosis.fix().contains("TCP"), "{diagnosis:?}");
}

#[test]
fn failures_are_told_apart_and_never_absence() {
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
        let outcome = judge(&challenge(), &seen(servers));
        assert_eq!(outcome.code(), Some(expected));
        assert!(!outcome.is_absence(), "{expected:?}");
    }
}

#[test]
fn what_ended_the_look_is_said() {
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

#[test]
fn a_domain_is_denied_only_by_who_knows() {
    let told = |servers| judge(&challenge(), &failed(ProbeFailure::NotDelegated("com".into()), servers));
    assert_eq!(told(vec![answer(1, 3, vec![])]).code(), Some(Code::NotDelegated));
    for nobody in [vec![], vec![fault(1, NetworkFault::Timeout)], vec![answer(1, 0, vec![])]] {
        assert!(!told(nobody.clone()).is_absence(), "{nobody:?}");
    }
}

#[test]
fn what_bars_a_look_bars_a_match() {
    for failure in [
        ProbeFailure::AliasTooLong,
        ProbeFailure::AliasLoop,
        ProbeFailure::NotDelegated("com".into()),
        ProbeFailure::Canary("timeout".into()),
        ProbeFailure::NameRefused("it is a public suffix".into()),
    ] {
        let far = Observation { failure: Some(failure), ..again(shows(), shows()) };
        assert!(code(&far).is_some(), "{far:?}");
    }
}

#[test]
fn a_wildcard_that_gives_the_value_is_accepted_and_said() {
    let findings = Findings { wildcard: vec![wanted()], ..Findings::default() };
    let wild = Observation { findings, ..again(shows(), shows()) };
    assert_eq!(code(&wild), None);
    let evidence = Evidence::from(&wild).noting(&challenge(), &wild);
    assert_eq!(evidence.notes, ["wildcard_answer"]);
    assert_eq!(notes(&challenge(), &again(shows(), shows())), []);
}

#[test]
fn lame_servers_beside_a_majority_are_noted_and_without_one_are_the_cause() {
    let most = || [shows(), vec![refusal(3, 5, Some(20))]].concat();
    assert_eq!(code(&again(most(), most())), None);
    assert_eq!(
        notes(&challenge(), &again(most(), most())).first().map(|n| n.as_str()),
        Some("partially_lame")
    );
    let tie = vec![answer(1, 0, vec![wanted()]), answer(2, 3, vec![]), refusal(3, 5, None)];
    assert_eq!(code(&seen(tie)), Some(Code::PartiallyLame));
    let few =
        vec![answer(1, 0, vec![wanted()]), answer(2, 3, vec![]), answer(3, 3, vec![]), refusal(4, 5, None)];
    assert_eq!(code(&seen(few)), Some(Code::InconsistentServers));
}

#[test]
fn the_value_at_another_place_says_more_than_what_stands_at_the_name() {
    let at = |place, values: &[Vec<u8>], control: &[Vec<u8>], seen: Observation| Observation {
        findings: elsewhere(place, "elsewhere.acme.com", values, control),
        ..seen
    };
    let earlier = || with(&[given::challenge(7).record_value.as_bytes()]);
    let doubled = at(Place::DoubledZone, &[wanted()], &[], earlier());
    assert_eq!(under(&context(), &doubled), Some(Code::DoubledZone));
    // A wildcard puts it there.
    let wild = at(Place::DoubledZone, &[wanted()], &[wanted()], seen(denies()));
    assert_eq!(code(&wild), Some(Code::RecordNotFound));
    // Any record at the doubled name is a mistake, unless something stands at the right one.
    let stray = || [text("whatever")];
    assert_eq!(code(&at(Place::DoubledZone, &stray(), &[], seen(denies()))), Some(Code::DoubledZone));
    assert_eq!(code(&at(Place::DoubledZone, &stray(), &stray(), seen(denies()))), Some(Code::RecordNotFound));
    assert_eq!(code(&at(Place::DoubledZone, &stray(), &[], with(&[b"other"]))), Some(Code::WrongValue));
    // Others' records at the apex are nobody's mistake.
    assert_eq!(code(&at(Place::Apex, &stray(), &[], seen(denies()))), Some(Code::RecordNotFound));
    let quoted = format!("\"{}\"", challenge().record_value).into_bytes();
    let misspelt = told(&at(Place::Apex, &[quoted], &[], seen(denies())));
    assert_eq!(misspelt.code, Code::AtApex);
    // Mail may depend on other records there: the wrong one is told by its value.
    let value = challenge().record_value;
    assert!(
        misspelt.fix().contains(&format!("that has the value `\"{value}\"`. Leave the others")),
        "{}",
        misspelt.fix()
    );
}

#[test]
fn what_is_nearly_right_says_more_than_alias_or_wildcard() {
    let quoted = format!("\"{}\"", challenge().record_value).into_bytes();
    assert_eq!(code(&aliased(vec![answer(1, 0, vec![quoted.clone()])])), Some(Code::ValueQuoted));
    let findings = Findings { wildcard: vec![quoted.clone()], ..Findings::default() };
    assert_eq!(code(&Observation { findings, ..with(&[&quoted]) }), Some(Code::ValueQuoted));
}

#[test]
fn an_earlier_token_is_recognised_only_where_it_is_this_holders() {
    let old = with(&[given::challenge(7).record_value.as_bytes()]);
    assert_eq!(under(&context(), &old), Some(Code::ValueOfEarlierClaim));
    assert_eq!(code(&old), Some(Code::WrongValue));
    assert!(told(&old).message().contains("2026-05-03"));
}

#[test]
fn every_cause_has_one_observation_that_leads_to_it() {
    let causes = of_every_cause();
    for (expected, observation) in &causes {
        assert_eq!(under(&context(), observation), Some(*expected));
    }
    let made: Vec<Code> = causes.iter().map(|(code, _)| *code).collect();
    for code in Code::ALL {
        assert_eq!(made.iter().filter(|c| *c == code).count(), 1, "{code:?}");
    }
}

#[test]
fn every_message_names_the_record_and_says_what_to_do() {
    let told: Vec<Diagnosis> = of_every_cause().iter().map(|(_, observation)| told(observation)).collect();
    for diagnosis in &told {
        let text = format!("{} {} {}", diagnosis.message(), diagnosis.fix(), diagnosis.observed.join(" "));
        assert!(text.chars().all(|c| (' '..='~').contains(&c)), "{text}");
        assert!(diagnosis.message().ends_with('.') && diagnosis.fix().ends_with('.'), "{diagnosis:?}");
        assert_eq!(diagnosis.class, diagnosis.code.class());
        let names_record = diagnosis.message().contains("acme.com");
        let of_ours = matches!(diagnosis.class, Class::Internal);
        assert!(names_record || of_ours, "{diagnosis:?}");
    }
    insta::assert_json_snapshot!(told);
}

#[test]
fn the_ways_of_one_code_have_words_of_their_own() {
    let (value, token) = (challenge().record_value, challenge().token);
    let host = |values: &[Vec<u8>]| Observation {
        zone: None,
        findings: elsewhere(Place::DoubledZone, "_deed.acme.com.acme.com", values, &[]),
        ..aliased(denies())
    };
    let long = Observation { aliases: vec!["x.net".into(); 9], ..failed(ProbeFailure::AliasTooLong, vec![]) };
    let told: Vec<String> = [
        with(&[format!("\u{201c}{value}\u{201d}").as_bytes()]),
        with(&[format!("deed-domain-claim={value}").as_bytes()]),
        with(&[format!("_deed.acme.com {value}").as_bytes()]),
        with(&[format!("deed-site-verification={token}").as_bytes()]),
        with(&[format!("{value}{token}").as_bytes()]),
        with(&[&value.as_bytes()[5..]]),
        host(&[wanted()]),
        host(&[text("other")]),
        aliased(vec![answer(1, 0, vec![])]),
        long,
        seen(vec![answer(1, 0, vec![])]),
        failed(ProbeFailure::NotDelegated(".".into()), denies()),
        failed(ProbeFailure::ParentRefused(2), vec![]),
        again(shows(), denies()),
        validated(validation("self", Security::Secure, vec![]), seen(shows())),
        again(shows(), vec![refusal(1, 5, None)]),
        seen((1..=6).map(|n| fault(n, NetworkFault::Timeout)).collect()),
    ]
    .iter()
    .map(|observation| {
        let diagnosis = told(observation);
        format!("{}: {}\n    {}", diagnosis.code.as_str(), diagnosis.message(), diagnosis.fix())
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}

/// Another address of the same name server.
fn at_another_address(answer: ServerAnswer, last: u8) -> ServerAnswer {
    ServerAnswer { address: Some(std::net::Ipv4Addr::new(198, 51, 100, last).into()), ..answer }
}

fn held_by_another() -> Context {
    Context { held_by_another: true, at_stake: true, ..Context::default() }
}

#[test]
fn a_name_server_has_one_vote_however_many_addresses() {
    let honest = || (1..=3).map(|n| answer(n, 0, vec![text("the owner's")]));
    let stranger = || (1..=4).map(|last| at_another_address(answer(4, 0, vec![wanted()]), last));
    let all: Vec<ServerAnswer> = honest().chain(stranger()).collect();
    assert_eq!(code(&again(all.clone(), all)), Some(Code::InconsistentServers));
    let few = || vec![answer(1, 0, vec![wanted()]), answer(2, 0, vec![wanted()])];
    let crowd: Vec<ServerAnswer> =
        few().into_iter().chain((1..=4).map(|last| at_another_address(answer(3, 3, vec![]), last))).collect();
    assert_eq!(code(&again(crowd.clone(), crowd)), None, "nor can it vote a record down");
}

#[test]
fn a_name_server_shows_a_value_at_all_its_addresses() {
    let split = || vec![answer(1, 0, vec![wanted()]), at_another_address(answer(1, 3, vec![]), 1)];
    let outcome = judge(&challenge(), &again(split(), split()));
    assert_eq!(outcome.code(), Some(Code::InconsistentServers));
    assert!(!outcome.is_absence());
    let silent =
        || vec![answer(1, 0, vec![wanted()]), at_another_address(fault(1, NetworkFault::Timeout), 1)];
    assert_eq!(code(&again(silent(), silent())), None, "an address that does not answer says nothing");
}

#[test]
fn a_held_name_needs_every_name_server_that_answers() {
    let most = || vec![answer(1, 0, vec![wanted()]), answer(2, 0, vec![wanted()]), answer(3, 3, vec![])];
    assert_eq!(code(&again(most(), most())), None);
    assert_eq!(under(&held_by_another(), &again(most(), most())), Some(Code::InconsistentServers));
    assert_eq!(under(&held_by_another(), &again(shows(), most())), Some(Code::InconsistentServers));
    assert_eq!(under(&held_by_another(), &again(shows(), shows())), None);
    let silent = || [shows(), vec![fault(3, NetworkFault::Timeout), refusal(4, 5, None)]].concat();
    assert_eq!(under(&held_by_another(), &again(silent(), silent())), None);
    // A signed answer says what the owner of the zone says.
    let signed = validated(validation("self", Security::Secure, vec![wanted()]), seen(most()));
    assert_eq!(under(&held_by_another(), &signed), None);
}

#[test]
fn a_server_on_the_way_that_contradicts_keeps_a_held_name() {
    let way = || Observation { dissent: vec![answer(9, 0, vec![])], ..again(shows(), shows()) };
    assert_eq!(code(&way()), None);
    assert_eq!(under(&held_by_another(), &way()), Some(Code::InconsistentServers));
    let mut second = again(shows(), shows());
    second.confirmation.dissent = vec![answer(9, 0, vec![])];
    assert_eq!(under(&held_by_another(), &second), Some(Code::InconsistentServers));
    // Nor is a record gone that one of them still shows.
    let gone = Observation { dissent: shows(), ..again(denies(), denies()) };
    assert_eq!(under(&at_stake(), &gone), Some(Code::InconsistentServers));
}

#[test]
fn a_large_set_is_told_also_where_a_wildcard_gives_it() {
    let values = vec![text("one of many"), text("another")];
    let findings = Findings { wildcard: values.clone(), ..Findings::default() };
    let servers = vec![oversize(answer(1, 0, values))];
    assert_eq!(code(&Observation { findings, ..seen(servers) }), Some(Code::OversizeAnswer));
}

#[test]
fn a_wildcard_alias_proves_no_apex_unless_allowed() {
    let aliased = |alias_origin| {
        let findings = Findings { alias_origin, ..Findings::default() };
        Observation { findings, aliases: vec!["tenant.vendor.com".into()], ..again(shows(), shows()) }
    };
    let wild = aliased(AliasOrigin::Wildcard);
    assert_eq!(code(&wild), Some(Code::WildcardAnswer));
    let accept = Context { accept_wildcard: true, ..Context::default() };
    assert_eq!(under(&accept, &wild), None);
    assert!(notes(&challenge(), &wild).iter().any(|note| note.as_str() == "wildcard_answer"));
    assert_eq!(code(&aliased(AliasOrigin::Name)), None);
    assert_eq!(code(&aliased(AliasOrigin::Unknown)), Some(Code::Timeout), "nobody could tell");
}

#[test]
fn stale_copies_of_a_signed_zone_are_noted() {
    let signed = |n, signatures: Signatures| {
        let mut answer = answer(n, 0, vec![wanted()]);
        if let Reply::Message { signatures: of, .. } = &mut answer.reply {
            *of = signatures;
        }
        answer
    };
    let servers = || vec![signed(1, Signatures::Current), signed(2, Signatures::Expired)];
    let words = |observation: &Observation| -> Vec<&str> {
        notes(&challenge(), observation).iter().map(|note| note.as_str()).collect()
    };
    let secure = validated(validation("self", Security::Secure, vec![wanted()]), seen(servers()));
    assert_eq!((code(&secure), words(&secure)), (None, vec!["stale_signatures"]));
    let evidence = Evidence::from(&secure).noting(&challenge(), &secure);
    assert_eq!(evidence.servers[1].signatures, Some(Signatures::Expired));
    assert_eq!(evidence.noted_servers[0].servers, ["ns2.acme.com"]);
    let unsigned = validated(validation("self", Security::Insecure, vec![wanted()]), again(shows(), shows()));
    assert_eq!(words(&unsigned), Vec::<&str>::new());
}

#[test]
fn resolvers_that_cannot_ask_with_edns_are_explained() {
    let plain = |mut answer: ServerAnswer| {
        if let Reply::Message { plain, .. } = &mut answer.reply {
            *plain = true;
        }
        answer
    };
    let servers: Vec<ServerAnswer> = shows().into_iter().map(plain).collect();
    let unknown = Validation { rcode: None, ..validation("192.0.2.53:53", Security::Indeterminate, vec![]) };
    let silent = validated(unknown, again(servers.clone(), servers));
    assert_eq!(code(&silent), Some(Code::EdnsBroken));
}

#[test]
fn a_challenged_record_is_gone_when_half_of_the_servers_say_so() {
    let challenged = Context { challenged: true, at_stake: true, ..Context::default() };
    let few = || vec![answer(1, 3, vec![]), fault(2, NetworkFault::Timeout), fault(3, NetworkFault::Timeout)];
    assert_eq!(under(&at_stake(), &again(few(), few())), Some(Code::RecordNotFound));
    assert_eq!(under(&challenged, &again(few(), few())), Some(Code::PartiallyLame));
    let half = || vec![answer(1, 3, vec![]), fault(2, NetworkFault::Timeout)];
    assert_eq!(under(&challenged, &again(half(), half())), Some(Code::RecordNotFound));
    let signed = validated(validation("self", Security::Secure, vec![]), seen(few()));
    assert_eq!(under(&challenged, &signed), Some(Code::RecordNotFound), "a signed denial is the owner's");
}

#[test]
fn a_held_name_moves_when_half_of_the_listed_servers_show_it() {
    let one = |silent: u8| {
        let rest = (2..2 + silent).map(|n| fault(n, NetworkFault::Timeout));
        let all: Vec<ServerAnswer> = [answer(1, 0, vec![wanted()])].into_iter().chain(rest).collect();
        again(all.clone(), all)
    };
    assert_eq!(code(&one(3)), None);
    assert_eq!(under(&held_by_another(), &one(1)), None);
    assert_eq!(under(&held_by_another(), &one(3)), Some(Code::PartiallyLame));
}
