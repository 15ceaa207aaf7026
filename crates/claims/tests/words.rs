//! What a tenant is told of a record that is nearly right: what stands there, what is expected, where they differ, who says so.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod given;

use deed_claims::{
    AliasOrigin, Challenge, ChallengeTemplates, Code, Context, Diagnosis, Findings, NetworkFault,
    Observation, Outcome, Place, Reply, Scope, Security, Signatures, Token, judge, judge_within,
};
use given::seen::{
    again, aliased_to, answer, by_wildcard, challenge, context, denies, elsewhere, fault, oversize, seen,
    shows, text, validated, validation, with,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn told(observation: &Observation) -> Diagnosis {
    diagnosis(&challenge(), observation)
}

fn diagnosis(challenge: &Challenge, observation: &Observation) -> Diagnosis {
    match judge_within(challenge, &context(), observation) {
        Outcome::Proven => panic!("proven"),
        Outcome::NotProven(diagnosis) => diagnosis,
    }
}

/// The expected value.
fn expected() -> String {
    challenge().record_value.to_string()
}

/// Mistakes that people make with a value, and the code of each.
fn mistyped() -> Vec<(Code, String)> {
    let value = expected();
    let (prefix, token) = value.split_at(18);
    let letter = |wrong: &str| format!("{prefix}{}", token.replacen("aeaqcaib", wrong, 1));
    let other = given::challenge(9).record_value.to_string();
    vec![
        (Code::WrongValue, format!("{value}.")),
        (Code::WrongValue, format!("{value};")),
        (Code::WrongValue, format!("{value},")),
        (Code::WrongValue, format!("\"TXT {value}\"")),
        (Code::WrongValue, format!("TXT {value}")),
        (Code::WrongValue, format!("IN TXT \"{value}\"")),
        (Code::WrongValue, format!("3600 IN TXT \"{value}\"")),
        (Code::WrongValue, format!("3600 {value}")),
        (Code::WrongValue, format!("{value}.example.com.")),
        (Code::WrongValue, format!("{value}.acme.com")),
        (Code::WrongValue, format!("<{value}>")),
        (Code::WrongValue, format!("({value})")),
        (Code::WrongValue, format!("{value} ; for the domain")),
        (Code::WrongValue, format!("{value} # for the domain")),
        (Code::WrongValue, format!("&lt;{value}&gt;")),
        (Code::WrongValue, format!("&quot;{}&quot;", value.replace('=', "&#61;"))),
        (Code::ValuePrefixMissing, value.replace('=', "%3D")),
        (Code::WrongValue, format!("%22{}%22", value.replace('=', "%3D"))),
        (Code::WrongValue, value.replace('=', "=3D")),
        (Code::WrongValue, letter("aeaqcaab")),
        (Code::WrongValue, letter("aeaqaib")),
        (Code::WrongValue, letter("aeaqqcaib")),
        (Code::WrongValue, letter("aeqacaib")),
        (Code::WrongValue, letter("aeaqca1b")),
        (Code::WrongValue, letter("\u{430}eaqcaib")),
        (Code::WrongValue, letter("oeoqcoib")),
        (Code::ValuePrefixMissing, value.replace('-', "\u{2013}")),
        (Code::ValuePrefixMissing, value.replacen("deed", "d\u{435}ed", 1)),
        (Code::ValuePrefixMissing, value.replacen("deed", "ded", 1)),
        (Code::ValuePrefixMissing, value.replacen("claim", "cIaim", 1)),
        (Code::ValueTruncated, value[..value.len() - 1].to_owned()),
        (Code::ValueTruncated, format!("{}...", &value[..34])),
        (Code::ValueQuoted, format!("\\\"{value}\\\"")),
        (Code::ValueWhitespace, value.replacen('=', "= ", 1)),
        (Code::ValueCase, value.to_uppercase()),
        (Code::WrongValue, other),
        (Code::WrongValue, format!("{prefix}your-token")),
    ]
}

#[test]
fn every_mistake_is_named() {
    let mut lines = vec![];
    for (code, wrong) in mistyped() {
        let told = told(&with(&[b"v=spf1 -all", wrong.as_bytes()]));
        assert_eq!(told.code, code, "{wrong}");
        let shown = deed_claims::printable(wrong.as_bytes());
        assert!(told.message().contains(&format!("`{shown}`")), "what stands there: {}", told.message());
        assert!(
            told.message().contains(&format!("`{}`", expected())),
            "what is expected: {}",
            told.message()
        );
        assert!(told.message().contains("The first difference is at character "), "{}", told.message());
        assert!(
            told.message().ends_with("Name servers that say so: ns1.acme.com, ns2.acme.com."),
            "{}",
            told.message()
        );
        assert!(told.fix().contains(&format!("`{}`", expected())), "{}", told.fix());
        assert_eq!(told.observed.first(), Some(&shown));
        let message = told.message();
        let (_, what) = message.split_once(&format!("expected is `{}`. ", expected())).unwrap();
        lines.push(format!("{} {shown}\n    {what}\n    {}", code.as_str(), told.fix()));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn no_mistake_is_proof() {
    for (_, wrong) in mistyped() {
        let outcome = judge(&challenge(), &with(&[wrong.as_bytes()]));
        assert!(outcome.is_absence(), "{wrong}: {outcome:?}");
    }
}

#[test]
fn servers_that_say_it_are_told_from_those_that_do_not() {
    let wrong = text(&format!("{}.", expected()));
    let servers = vec![
        answer(3, 0, vec![wrong.clone()]),
        answer(2, 3, vec![]),
        answer(1, 0, vec![text("x"), wrong]),
        fault(4, NetworkFault::Timeout),
    ];
    let message = told(&seen(servers)).message();
    let end = "Name servers that say so: ns1.acme.com, ns3.acme.com. Name servers that do not: ns2.acme.com. No usable answer: ns4.acme.com (no answer in 1500 ms).";
    assert!(message.ends_with(end), "{message}");
}

#[test]
fn a_server_whose_addresses_differ_is_told_by_address() {
    let on = |last: u8, values: Vec<Vec<u8>>| {
        let mut answer = answer(last, if values.is_empty() { 3 } else { 0 }, values);
        answer.server = "ns.acme.com".into();
        answer
    };
    let message = told(&seen(vec![on(2, vec![]), on(1, vec![text(&expected())])])).message();
    let end = "is present on ns.acme.com (192.0.2.1), missing on ns.acme.com (192.0.2.2, serial 7).";
    assert!(message.ends_with(end), "{message}");
}

#[test]
fn of_several_values_the_nearest_is_told() {
    let value = expected();
    // From the nearest to the furthest.
    let ranked = [
        format!("\"{value}\""),
        format!("{value} "),
        value.to_uppercase(),
        format!("{value}{value}"),
        format!("_deed.acme.com {value}"),
        value[18..].to_owned(),
        format!("%22{}%22", value.replace('=', "%3D")),
        value[..40].to_owned(),
        value[..30].to_owned(),
        format!("{value}."),
        format!("<{value}>"),
        value.replacen("qc", "qx", 1),
        value.replacen("qc", "xx", 1),
        given::challenge(7).record_value.to_string(),
        given::challenge(9).record_value.to_string(),
        "v=spf1 -all".to_owned(),
    ];
    for (at, nearest) in ranked.iter().enumerate() {
        let mut values: Vec<&[u8]> = ranked[at..].iter().map(String::as_bytes).collect();
        for _ in 0..values.len() {
            values.rotate_left(1);
            let told = told(&with(&values));
            let shown = deed_claims::printable(nearest.as_bytes());
            assert_eq!(told.observed.first(), Some(&shown), "{}", told.message());
        }
    }
}

#[test]
fn every_record_of_a_large_set_is_compared() {
    let many = |last: &str| {
        let all = (0..5000).map(|n| text(&format!("filler {n}"))).chain([text(last)]).collect();
        seen(vec![oversize(answer(1, 0, all))])
    };
    let near = told(&many(&format!("{}.", expected())));
    assert_eq!(near.code, Code::WrongValue);
    assert!(near.message().contains("at character 51: found `.`"), "{}", near.message());
    let none = told(&many("other"));
    assert_eq!(none.code, Code::OversizeAnswer);
    assert!(
        none.message().starts_with("There are 5001 TXT records at `_deed.acme.com`."),
        "{}",
        none.message()
    );
    assert!(none.message().contains(&format!("None has the expected value `{}`", expected())));
    assert!(judge(&challenge(), &many("other")).is_absence(), "all of them were compared");
    let halves = vec![text(&expected()[..20]), text("x"), text(&expected()[20..])];
    assert_eq!(told(&seen(vec![oversize(answer(1, 0, halves))])).code, Code::SplitOverRecords);
}

#[test]
fn the_value_as_the_target_of_a_cname_is_recognised() {
    let value = expected();
    let exists = || vec![answer(1, 0, vec![])];
    for target in [
        value.clone(),
        format!("{value}.acme.com"),
        format!("{value}._deed.acme.com"),
        value.replace('=', "\\="),
        value.replace('=', "\\061"),
        format!("\"{value}\".acme.com"),
        format!("{}.acme.com", value.to_uppercase()),
        format!("{}.acme.com", value.replacen("qc", "qx", 1)),
        format!("{}.acme.com", challenge().token.as_str()),
    ] {
        for (servers, code) in [(denies(), Code::CnameDangling), (exists(), Code::CnameElsewhere)] {
            let told = told(&aliased_to(&target, servers));
            assert_eq!(told.code, code, "{target}");
            assert!(told.message().contains("This is the value: publish it as TXT."), "{}", told.message());
            assert!(
                told.message().contains(&format!("points to `{target}`")),
                "escaped once: {}",
                told.message()
            );
            let fix =
                "Delete the CNAME record at `_deed.acme.com`, and no other. Then add a record: type TXT";
            assert!(told.fix().starts_with(fix), "{}", told.fix());
            assert!(told.fix().ends_with(&format!("value `{value}`.")), "{}", told.fix());
        }
    }
    let plain = told(&aliased_to("acme.dcv.example.net", denies()));
    assert!(!plain.message().contains("This is the value"), "{}", plain.message());
}

#[test]
fn a_cname_behind_an_alias_is_named_where_it_stands() {
    let aliases = vec!["records.acme.net".to_owned(), format!("{}.acme.net", expected())];
    let told = told(&Observation { aliases, ..seen(denies()) });
    assert!(
        told.message().starts_with("The CNAME record at `records.acme.net` points to"),
        "{}",
        told.message()
    );
    assert!(told.fix().contains("type TXT, name `records.acme.net`"), "{}", told.fix());
}

#[test]
fn a_record_beside_a_cname_is_told_to_be_hidden() {
    let beside = |value: String| Observation {
        beside_alias: vec![value.into_bytes()],
        ..aliased_to("host.other.net", denies())
    };
    let right = told(&beside(expected()));
    assert_eq!(right.code, Code::CnameDangling);
    assert!(right.message().contains("beside it a TXT record"), "{}", right.message());
    assert_eq!(right.observed, [expected()]);
    let keep = format!("Keep the TXT record with the value `{}`.", expected());
    assert!(right.fix().starts_with(&keep), "{}", right.fix());
    assert!(right.fix().ends_with("delete this CNAME record, and no other."), "{}", right.fix());
    let wrong = told(&beside("v=spf1 -all".to_owned()));
    let change = format!("Change the value of the TXT record to exactly `{}`.", expected());
    assert!(wrong.fix().starts_with(&change), "{}", wrong.fix());
}

#[test]
fn an_alias_made_by_a_wildcard_is_told_as_such() {
    let of = |alias_origin| Observation {
        findings: Findings { alias_origin, ..Findings::default() },
        aliases: vec!["tenant.vendor.com".into()],
        ..again(shows(), shows())
    };
    let wild = told(&of(AliasOrigin::Wildcard));
    assert_eq!(wild.code, Code::WildcardAnswer);
    assert!(wild.message().contains("a wildcard record such as `*.acme.com`"), "{}", wild.message());
    let unknown = told(&of(AliasOrigin::Unknown));
    assert_eq!(unknown.code, Code::Timeout);
    assert!(
        unknown.message().contains("no answer came for a random name beside it"),
        "{}",
        unknown.message()
    );
}

#[test]
fn never_advises_to_delete_a_wildcard_alias() {
    for servers in [denies(), vec![answer(1, 0, vec![])], vec![answer(1, 0, vec![text("other")])]] {
        let told = told(&by_wildcard(aliased_to("host.other.net", servers)));
        assert!(matches!(told.code, Code::CnameDangling | Code::CnameElsewhere), "{told:?}");
        assert!(told.message().contains("a wildcard record such as `*.acme.com`"), "{}", told.message());
        assert!(told.fix().ends_with("Do not change the wildcard record."), "{}", told.fix());
        assert!(!told.fix().contains("elete"), "{}", told.fix());
    }
}

#[test]
fn contradicting_servers_are_named_with_what_they_contradict() {
    let held = Context { held_by_another: true, ..context() };
    let under = |observation: &Observation| match judge_within(&challenge(), &held, observation) {
        Outcome::NotProven(told) if told.code == Code::InconsistentServers => told.message(),
        other => panic!("{other:?}"),
    };
    let on_the_way = Observation { dissent: vec![answer(9, 0, vec![])], ..again(shows(), shows()) };
    assert!(under(&on_the_way).starts_with("On the way to `_deed.acme.com` some name servers contradict"));
    assert!(under(&on_the_way).ends_with(": ns9.acme.com."));
    let twice = again(shows(), denies());
    assert!(under(&twice).contains("when they were asked twice"), "{}", under(&twice));
    let third = || [shows(), vec![answer(3, 3, vec![])]].concat();
    assert!(
        under(&again(third(), third())).contains("present on ns1.acme.com, ns2.acme.com, missing on ns3")
    );
}

#[test]
fn silent_servers_are_not_to_be_deleted() {
    let held = Context { held_by_another: true, ..context() };
    let silent = |n| fault(n, NetworkFault::Timeout);
    let few = || vec![answer(1, 0, vec![text(&expected())]), silent(2), silent(3)];
    let Outcome::NotProven(told) = judge_within(&challenge(), &held, &again(few(), few())) else { panic!() };
    assert_eq!(told.code, Code::PartiallyLame);
    assert!(!told.fix().contains("delete"), "{}", told.fix());
    assert!(told.message().contains("ns2.acme.com (no answer in 1500 ms)"), "{}", told.message());
}

#[test]
fn a_zone_is_not_to_be_unsigned_while_some_copies_are_right() {
    let signed = |n, of| {
        let mut answer = answer(n, 0, vec![text(&expected())]);
        if let Reply::Message { signatures, .. } = &mut answer.reply {
            *signatures = of;
        }
        answer
    };
    let broken = |other| {
        let servers = vec![signed(1, Signatures::Expired), signed(2, other)];
        told(&validated(validation("self", Security::Bogus, vec![]), seen(servers)))
    };
    let some = broken(Signatures::Current);
    assert!(
        some.message().contains("Name servers with such signatures: ns1.acme.com."),
        "{}",
        some.message()
    );
    assert!(!some.fix().contains("DS record"), "{}", some.fix());
    let all = broken(Signatures::Expired);
    assert!(
        all.fix().ends_with("Delete the DS record at the registrar only if your DNS provider tells you to."),
        "{}",
        all.fix()
    );
}

#[test]
fn names_are_escaped_once_and_foreign_bytes_always() {
    let odd = Observation {
        zone: Some("a\\.b\\255.net".into()),
        aliases: vec!["x\\.y.net".into(), "a\\032b\n\u{e9}.net".into()],
        ..seen(vec![])
    };
    let message = told(&Observation { servers: denies(), ..odd.clone() }).message();
    assert!(message.contains("`a\\032b\\x0a\\xc3\\xa9.net`"), "{message}");
    let message =
        told(&Observation { aliases: vec![], servers: vec![fault(1, NetworkFault::Timeout)], ..odd })
            .message();
    assert!(message.contains("`a\\.b\\255.net`"), "{message}");
}

#[test]
fn a_value_that_is_nearly_right_at_another_place_is_shown() {
    let wrong = text(&format!("{}.", expected()));
    let findings = elsewhere(Place::Apex, "acme.com", &[text("v=spf1 -all"), wrong], &[]);
    let told = told(&Observation { findings, ..seen(denies()) });
    assert_eq!(told.code, Code::AtApex);
    assert!(
        told.message().contains(&format!("at `acme.com`: `{}.`. Expected is", expected())),
        "{}",
        told.message()
    );
}

#[test]
fn values_of_other_claims_behind_aliases_are_no_mistakes() {
    let other = text(&given::challenge(9).record_value);
    let told = told(&aliased_to("acme.dcv.example.net", vec![answer(1, 0, vec![other])]));
    assert_eq!(told.code, Code::CnameElsewhere);
}

/// One edit of the expected value.
fn edited() -> impl Strategy<Value = String> {
    let length = expected().chars().count();
    let character = || {
        prop_oneof![
            any::<char>(),
            prop::char::range(' ', '~'),
            prop::sample::select(vec!['a', 'e', 'q', 'c', 'i', 'b'])
        ]
    };
    let change = (0..length, character(), 0_u8..4).prop_map(move |(at, c, edit)| {
        let mut chars: Vec<char> = expected().chars().collect();
        match edit {
            0 => chars[at] = c,
            1 => _ = chars.remove(at),
            2 => chars.insert(at + usize::from(at + 1 == length && c.is_alphabetic()), c),
            _ => chars.swap(at, (at + 1).min(length - 1)),
        }
        chars.into_iter().collect()
    });
    change.prop_filter("an edit changes something", |wrong: &String| *wrong != expected())
}

/// How a message has to name a character, told independently: as it is, or by its code point.
fn names(text: &str, c: Option<char>) -> bool {
    match c {
        None => text.contains("the end of the value"),
        Some(c) if c.is_ascii_graphic() && c != '`' => text.contains(&format!("`{c}`")),
        Some(c) => text.contains(&format!("U+{:04X}", u32::from(c))),
    }
}

/// A challenge with the longest name and value that there can be.
fn longest() -> Challenge {
    let label = |c: &str, length: usize| c.repeat(length);
    let name = format!("{}.{}.{}.{}.com", label("a", 60), label("b", 60), label("c", 60), label("d", 55));
    let templates = ChallengeTemplates::default();
    let value = format!("{}={{token}}", "v".repeat(190));
    let templates = templates.with(Some("_deed-claim"), Some(&value), None, None).unwrap();
    templates.challenge(Scope::Apex, &name.parse().unwrap(), Token::from_bytes([1; 20]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn one_edit_is_named_with_its_place_and_both_characters(wrong in edited()) {
        let (found, wanted): (Vec<char>, Vec<char>) = (wrong.chars().collect(), expected().chars().collect());
        let at = (0..=found.len()).find(|at| found.get(*at) != wanted.get(*at)).unwrap();
        let told = told(&with(&[wrong.as_bytes()]));
        let place = format!("The first difference is at character {}: found ", at + 1);
        let message = told.message();
        let (_, behind) = message.split_once(&place).expect(&message);
        let (first, second) = behind.split_once(", expected ").unwrap();
        prop_assert!(names(first, found.get(at).copied()), "{}", told.message());
        prop_assert!(names(second, wanted.get(at).copied()), "{}", told.message());
    }

    #[test]
    fn messages_are_short_and_printable_whatever_stands_there(
        before in vec(any::<u8>(), 0..300),
        after in vec(any::<u8>(), 0..600),
        at in 0_usize..200,
        alias in "\\PC{0,300}",
        long in any::<bool>(),
        aliased in any::<bool>(),
    ) {
        let challenge = if long { longest() } else { challenge() };
        let value = challenge.record_value.as_bytes();
        let at = at.min(value.len());
        for wrong in [
            [&before, value, &after].concat(),
            [&value[..at], &before, &value[at..]].concat(),
            [value, &after].concat(),
            [&value[..at], &after].concat(),
            after.clone(),
        ] {
            let aliases = if aliased { vec![alias.clone()] } else { vec![] };
            let observation = Observation { aliases, ..with(&[&wrong, b"x"]) };
            let Outcome::NotProven(told) = judge_within(&challenge, &context(), &observation) else { continue };
            for text in [&told.message(), &told.fix()] {
                prop_assert!(text.len() <= 1000, "{} bytes", text.len());
                prop_assert!(text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{}", text);
            }
            // However long they are, nothing of it is lost.
            if told.message().contains("has the value") && !aliased {
                prop_assert!(told.message().contains(&format!("`{}`", challenge.record_value)), "{}", told.message());
                prop_assert!(told.message().contains("Name servers that say so: ns1.acme.com"), "{}", told.message());
            }
        }
    }
}
