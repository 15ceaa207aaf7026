//! Messages and fixes for near matches and other mistakes: the value found, the value expected, and their difference.

mod given;

use deed_diagnosis::{
    AliasOrigin, Code, Context, Diagnosis, ExpectedRecord, Findings, NetworkFault, Observation, Outcome,
    Place, Reply, Security, Signatures, judge, judge_within,
};
use given::{
    aliased_to, answer, by_wildcard, bytes, context, denying, elsewhere, fault, observed, observed_twice,
    oversize, record, showing, showing_values, validated, validation,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn diagnose(observation: &Observation) -> Diagnosis {
    diagnose_for(record(), observation)
}

fn diagnose_for(expected: ExpectedRecord<'_>, observation: &Observation) -> Diagnosis {
    match judge_within(expected, &context(), observation) {
        Outcome::Proven => panic!("proven"),
        Outcome::NotProven(diagnosis) => diagnosis,
    }
}

/// The expected value.
fn expected() -> String {
    record().value.to_string()
}

/// Mistakes that people make with a value, and the code of each.
fn mistyped() -> Vec<(Code, String)> {
    let value = expected();
    let (prefix, token) = value.split_at(18);
    let letter = |wrong: &str| format!("{prefix}{}", token.replacen("aeaqcaib", wrong, 1));
    let other = given::numbered(9).value.to_string();
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
fn names_every_mistake() {
    let mut lines = vec![];
    for (code, wrong) in mistyped() {
        let diagnosis = diagnose(&showing_values(&[b"v=spf1 -all", wrong.as_bytes()]));
        assert_eq!(diagnosis.code, code, "{wrong}");
        let shown = deed_diagnosis::printable(wrong.as_bytes());
        assert!(
            diagnosis.message().contains(&format!("`{shown}`")),
            "the value found: {}",
            diagnosis.message()
        );
        assert!(
            diagnosis.message().contains(&format!("`{}`", expected())),
            "the value expected: {}",
            diagnosis.message()
        );
        assert!(
            diagnosis.message().contains("The first difference is at character "),
            "{}",
            diagnosis.message()
        );
        assert!(
            diagnosis.message().ends_with("Name servers that say so: ns1.acme.com, ns2.acme.com."),
            "{}",
            diagnosis.message()
        );
        assert!(diagnosis.fix().contains(&format!("`{}`", expected())), "{}", diagnosis.fix());
        assert_eq!(diagnosis.observed.first(), Some(&shown));
        let message = diagnosis.message();
        let (_, what) = message.split_once(&format!("expected is `{}`. ", expected())).unwrap();
        lines.push(format!("{} {shown}\n    {what}\n    {}", code.as_str(), diagnosis.fix()));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn mistake_is_never_proof() {
    for (_, wrong) in mistyped() {
        let outcome = judge(record(), &showing_values(&[wrong.as_bytes()]));
        assert!(outcome.is_absence(), "{wrong}: {outcome:?}");
    }
}

#[test]
fn lists_servers_with_and_without_the_value() {
    let wrong = bytes(&format!("{}.", expected()));
    let servers = vec![
        answer(3, 0, vec![wrong.clone()]),
        answer(2, 3, vec![]),
        answer(1, 0, vec![bytes("x"), wrong]),
        fault(4, NetworkFault::Timeout),
    ];
    let message = diagnose(&observed(servers)).message();
    let end = "Name servers that say so: ns1.acme.com, ns3.acme.com. Name servers that do not: ns2.acme.com. No usable answer: ns4.acme.com (no answer in 1500 ms).";
    assert!(message.ends_with(end), "{message}");
}

#[test]
fn names_the_addresses_of_a_contradictory_server() {
    let on = |last: u8, values: Vec<Vec<u8>>| {
        let mut answer = answer(last, if values.is_empty() { 3 } else { 0 }, values);
        answer.server = "ns.acme.com".into();
        answer
    };
    let message = diagnose(&observed(vec![on(2, vec![]), on(1, vec![bytes(&expected())])])).message();
    let end = "is present on ns.acme.com (192.0.2.1), missing on ns.acme.com (192.0.2.2, serial 7).";
    assert!(message.ends_with(end), "{message}");
}

#[test]
fn reports_the_nearest_of_several_values() {
    let value = expected();
    // The nearest first.
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
        given::numbered(7).value.to_string(),
        given::numbered(9).value.to_string(),
        "v=spf1 -all".to_owned(),
    ];
    for (at, nearest) in ranked.iter().enumerate() {
        let mut values: Vec<&[u8]> = ranked[at..].iter().map(String::as_bytes).collect();
        for _ in 0..values.len() {
            values.rotate_left(1);
            let diagnosis = diagnose(&showing_values(&values));
            let shown = deed_diagnosis::printable(nearest.as_bytes());
            assert_eq!(diagnosis.observed.first(), Some(&shown), "{}", diagnosis.message());
        }
    }
}

#[test]
fn compares_every_record_of_a_large_set() {
    let many = |last: &str| {
        let all = (0..5000).map(|n| bytes(&format!("filler {n}"))).chain([bytes(last)]).collect();
        observed(vec![oversize(answer(1, 0, all))])
    };
    let near = diagnose(&many(&format!("{}.", expected())));
    assert_eq!(near.code, Code::WrongValue);
    assert!(near.message().contains("at character 51: found `.`"), "{}", near.message());
    let none = diagnose(&many("other"));
    assert_eq!(none.code, Code::OversizeAnswer);
    assert!(
        none.message().starts_with("There are 5001 TXT records at `_deed.acme.com`."),
        "{}",
        none.message()
    );
    assert!(none.message().contains(&format!("None has the expected value `{}`", expected())));
    assert!(judge(record(), &many("other")).is_absence(), "all of them were compared");
    let halves = vec![bytes(&expected()[..20]), bytes("x"), bytes(&expected()[20..])];
    assert_eq!(diagnose(&observed(vec![oversize(answer(1, 0, halves))])).code, Code::SplitOverRecords);
}

#[test]
fn recognises_the_value_as_a_cname_target() {
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
        format!("{}.acme.com", record().token),
    ] {
        for (servers, code) in [(denying(), Code::CnameDangling), (exists(), Code::CnameElsewhere)] {
            let diagnosis = diagnose(&aliased_to(&target, servers));
            assert_eq!(diagnosis.code, code, "{target}");
            assert!(
                diagnosis.message().contains("This is the value: publish it as TXT."),
                "{}",
                diagnosis.message()
            );
            assert!(
                diagnosis.message().contains(&format!("points to `{target}`")),
                "escaped once: {}",
                diagnosis.message()
            );
            let fix =
                "Delete the CNAME record at `_deed.acme.com`, and no other. Then add a record: type TXT";
            assert!(diagnosis.fix().starts_with(fix), "{}", diagnosis.fix());
            assert!(diagnosis.fix().ends_with(&format!("value `{value}`.")), "{}", diagnosis.fix());
        }
    }
    let plain = diagnose(&aliased_to("acme.dcv.example.net", denying()));
    assert!(!plain.message().contains("This is the value"), "{}", plain.message());
}

#[test]
fn names_the_owner_of_a_cname_behind_an_alias() {
    let aliases = vec!["records.acme.net".to_owned(), format!("{}.acme.net", expected())];
    let diagnosis = diagnose(&Observation { aliases, ..observed(denying()) });
    assert!(
        diagnosis.message().starts_with("The CNAME record at `records.acme.net` points to"),
        "{}",
        diagnosis.message()
    );
    assert!(diagnosis.fix().contains("type TXT, name `records.acme.net`"), "{}", diagnosis.fix());
}

#[test]
fn explains_a_record_beside_a_cname() {
    let beside = |value: String| Observation {
        beside_alias: vec![value.into_bytes()],
        ..aliased_to("host.other.net", denying())
    };
    let right = diagnose(&beside(expected()));
    assert_eq!(right.code, Code::CnameDangling);
    assert!(right.message().contains("beside it a TXT record"), "{}", right.message());
    assert_eq!(right.observed, [expected()]);
    let keep = format!("Keep the TXT record with the value `{}`.", expected());
    assert!(right.fix().starts_with(&keep), "{}", right.fix());
    assert!(right.fix().contains("delete this CNAME record, and no other."), "{}", right.fix());
    let wrong = diagnose(&beside("v=spf1 -all".to_owned()));
    let change = format!("Change the value of the TXT record to exactly `{}`.", expected());
    assert!(wrong.fix().starts_with(&change), "{}", wrong.fix());
}

#[test]
fn explains_an_alias_from_a_wildcard() {
    let of = |alias_origin| Observation {
        findings: Findings { alias_origin, ..Findings::default() },
        aliases: vec!["tenant.vendor.com".into()],
        ..observed_twice(showing(), showing())
    };
    let wild = diagnose(&of(AliasOrigin::Wildcard));
    assert_eq!(wild.code, Code::WildcardAnswer);
    assert!(wild.message().contains("a wildcard record such as `*.acme.com`"), "{}", wild.message());
    let unknown = diagnose(&of(AliasOrigin::Unknown));
    assert_eq!(unknown.code, Code::Timeout);
    assert!(
        unknown.message().contains("no answer came for a random name beside it"),
        "{}",
        unknown.message()
    );
}

#[test]
fn never_advises_to_delete_a_wildcard_alias() {
    for servers in [denying(), vec![answer(1, 0, vec![])], vec![answer(1, 0, vec![bytes("other")])]] {
        let diagnosis = diagnose(&by_wildcard(aliased_to("host.other.net", servers)));
        assert!(matches!(diagnosis.code, Code::CnameDangling | Code::CnameElsewhere), "{diagnosis:?}");
        assert!(
            diagnosis.message().contains("a wildcard record such as `*.acme.com`"),
            "{}",
            diagnosis.message()
        );
        assert!(diagnosis.fix().ends_with("Do not change the wildcard record."), "{}", diagnosis.fix());
        assert!(!diagnosis.fix().contains("elete"), "{}", diagnosis.fix());
    }
}

#[test]
fn names_contradicting_servers() {
    let held = Context { held_by_another: true, ..context() };
    let under = |observation: &Observation| match judge_within(record(), &held, observation) {
        Outcome::NotProven(diagnosis) if diagnosis.code == Code::InconsistentServers => diagnosis.message(),
        other => panic!("{other:?}"),
    };
    let on_the_way =
        Observation { dissent: vec![answer(9, 0, vec![])], ..observed_twice(showing(), showing()) };
    assert!(under(&on_the_way).starts_with("On the way to `_deed.acme.com` some name servers contradict"));
    assert!(under(&on_the_way).ends_with(": ns9.acme.com."));
    let twice = observed_twice(showing(), denying());
    assert!(under(&twice).contains("when they were asked twice"), "{}", under(&twice));
    let third = || [showing(), vec![answer(3, 3, vec![])]].concat();
    assert!(
        under(&observed_twice(third(), third()))
            .contains("present on ns1.acme.com, ns2.acme.com, missing on ns3")
    );
}

#[test]
fn never_advises_to_delete_silent_servers() {
    let held = Context { held_by_another: true, ..context() };
    let silent = |n| fault(n, NetworkFault::Timeout);
    let few = || vec![answer(1, 0, vec![bytes(&expected())]), silent(2), silent(3)];
    let Outcome::NotProven(diagnosis) = judge_within(record(), &held, &observed_twice(few(), few())) else {
        panic!()
    };
    assert_eq!(diagnosis.code, Code::PartiallyLame);
    assert!(!diagnosis.fix().contains("delete"), "{}", diagnosis.fix());
    assert!(diagnosis.message().contains("ns2.acme.com (no answer in 1500 ms)"), "{}", diagnosis.message());
}

#[test]
fn keeps_the_zone_signed_while_some_copies_are_valid() {
    let signed = |n, of| {
        let mut answer = answer(n, 0, vec![bytes(&expected())]);
        if let Reply::Message { signatures, .. } = &mut answer.reply {
            *signatures = of;
        }
        answer
    };
    let broken = |other| {
        let servers = vec![signed(1, Signatures::Expired), signed(2, other)];
        diagnose(&validated(validation("self", Security::Bogus, vec![]), observed(servers)))
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
fn escapes_names_once_and_foreign_bytes_always() {
    let odd = Observation {
        zone: Some("a\\.b\\255.net".into()),
        aliases: vec!["x\\.y.net".into(), "a\\032b\n\u{e9}.net".into()],
        ..observed(vec![])
    };
    let message = diagnose(&Observation { servers: denying(), ..odd.clone() }).message();
    assert!(message.contains("`a\\032b\\x0a\\xc3\\xa9.net`"), "{message}");
    let message =
        diagnose(&Observation { aliases: vec![], servers: vec![fault(1, NetworkFault::Timeout)], ..odd })
            .message();
    assert!(message.contains("`a\\.b\\255.net`"), "{message}");
}

#[test]
fn shows_a_near_match_at_another_place() {
    let wrong = bytes(&format!("{}.", expected()));
    let findings = elsewhere(Place::Apex, "acme.com", &[bytes("v=spf1 -all"), wrong], &[]);
    let diagnosis = diagnose(&Observation { findings, ..observed(denying()) });
    assert_eq!(diagnosis.code, Code::AtApex);
    assert!(
        diagnosis.message().contains(&format!("at `acme.com`: `{}.`. Expected is", expected())),
        "{}",
        diagnosis.message()
    );
}

#[test]
fn ignores_values_of_other_claims_behind_aliases() {
    let other = bytes(given::numbered(9).value);
    let diagnosis = diagnose(&aliased_to("acme.dcv.example.net", vec![answer(1, 0, vec![other])]));
    assert_eq!(diagnosis.code, Code::CnameElsewhere);
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

/// Whether a message names a character, as it is or by its code point.
fn names(text: &str, c: Option<char>) -> bool {
    match c {
        None => text.contains("the end of the value"),
        Some(c) if c.is_ascii_graphic() && c != '`' => text.contains(&format!("`{c}`")),
        Some(c) => text.contains(&format!("U+{:04X}", u32::from(c))),
    }
}

/// The longest name and value that there can be.
fn longest() -> (String, String) {
    let label = |c: &str, length: usize| c.repeat(length);
    let domain = format!("{}.{}.{}.{}.com", label("a", 60), label("b", 60), label("c", 60), label("d", 55));
    (format!("_deed-claim.{domain}"), format!("{}={}", "v".repeat(190), record().token))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn names_a_single_edit_with_place_and_characters(wrong in edited()) {
        let (found, wanted): (Vec<char>, Vec<char>) = (wrong.chars().collect(), expected().chars().collect());
        let at = (0..=found.len()).find(|at| found.get(*at) != wanted.get(*at)).unwrap();
        let diagnosis = diagnose(&showing_values(&[wrong.as_bytes()]));
        let place = format!("The first difference is at character {}: found ", at + 1);
        let message = diagnosis.message();
        let (_, behind) = message.split_once(&place).expect(&message);
        let (first, second) = behind.split_once(", expected ").unwrap();
        prop_assert!(names(first, found.get(at).copied()), "{}", diagnosis.message());
        prop_assert!(names(second, wanted.get(at).copied()), "{}", diagnosis.message());
    }

    #[test]
    fn messages_are_short_and_printable(
        before in vec(any::<u8>(), 0..300),
        after in vec(any::<u8>(), 0..600),
        at in 0_usize..200,
        alias in "\\PC{0,300}",
        long in any::<bool>(),
        aliased in any::<bool>(),
    ) {
        let (name, value) = longest();
        let record = if long { ExpectedRecord { name: &name, value: &value, ..record() } } else { record() };
        let value = record.value.as_bytes();
        let at = at.min(value.len());
        for wrong in [
            [&before, value, &after].concat(),
            [&value[..at], &before, &value[at..]].concat(),
            [value, &after].concat(),
            [&value[..at], &after].concat(),
            after.clone(),
        ] {
            let aliases = if aliased { vec![alias.clone()] } else { vec![] };
            let observation = Observation { aliases, ..showing_values(&[&wrong, b"x"]) };
            let Outcome::NotProven(diagnosis) = judge_within(record, &context(), &observation) else { continue };
            for text in [&diagnosis.message(), &diagnosis.fix()] {
                prop_assert!(text.len() <= 1000, "{} bytes", text.len());
                prop_assert!(text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{}", text);
            }
            // Even of the longest value nothing is lost.
            if diagnosis.message().contains("has the value") && !aliased {
                prop_assert!(diagnosis.message().contains(&format!("`{}`", record.value)), "{}", diagnosis.message());
                prop_assert!(diagnosis.message().contains("Name servers that say so: ns1.acme.com"), "{}", diagnosis.message());
            }
        }
    }
}
