//! Every flaw of a value, and values that are none.
use super::notation::Notation;
use super::*;

const TOKEN: &str = "aeaqcaibaeaqcaibaeaqcaibaeaqcaib";
const VALUE: &str = "deed-domain-claim=aeaqcaibaeaqcaibaeaqcaibaeaqcaib";
const OTHER_TOKEN: &str = "beeqscijbeeqscijbeeqscijbeeqscij";
const RECORD: ExpectedRecord<'static> = ExpectedRecord { name: "_deed.acme.com", value: VALUE, token: TOKEN };

fn flaw(value: impl AsRef<[u8]>) -> Option<Flaw> {
    ExpectedValue::of(RECORD).flaw(&Candidate::of(value.as_ref()))
}

/// The flaw of a value without one of the exact flaws.
fn loose_flaw(value: impl AsRef<[u8]>) -> Option<Flaw> {
    assert_eq!(flaw(&value), None);
    ExpectedValue::of(RECORD).loose_flaw(&Candidate::of(value.as_ref()))
}

#[test]
fn recognises_quotation_marks_of_every_kind() {
    let value = VALUE;
    for (wrong, mark) in [
        (format!("\"{value}\""), '"'),
        (format!("\\\"{value}\\\""), '\\'),
        (format!("'{value}'"), '\''),
        (format!("\u{201c}{value}\u{201d}"), '\u{201c}'),
        (format!("{value}\u{201d}"), '\u{201d}'),
        (format!(" \"{value}\" "), '"'),
        (format!("\"{}\"", value.to_uppercase()), '"'),
        (format!("\"{}\" \"{}\"", &value[..20], &value[20..]), '"'),
    ] {
        assert_eq!(flaw(&wrong), Some(Flaw::Quoted(mark)), "{wrong}");
    }
    let western = [b"\x93".as_slice(), value.as_bytes(), b"\x94"].concat();
    assert_eq!(flaw(western), Some(Flaw::Quoted('\u{201c}')));
}

#[test]
fn recognises_invisible_characters_and_their_place() {
    let value = VALUE;
    let end = value.len() + 1;
    for (wrong, what, place) in [
        (format!(" {value}"), ' ', 1),
        (format!("{value}\r\n"), '\r', end),
        (format!("{value}\n"), '\n', end),
        (format!("{value}\t"), '\t', end),
        (format!("{value}\u{a0}"), '\u{a0}', end),
        (format!("{}\u{200b}{}", &value[..5], &value[5..]), '\u{200b}', 6),
        (format!("\u{feff}{value}"), '\u{feff}', 1),
        (format!("{} {}", &value[..18], &value[18..]), ' ', 19),
        (format!("{} ", value.to_uppercase()), ' ', end),
    ] {
        assert_eq!(flaw(&wrong), Some(Flaw::Space { what, place }), "{wrong:?}");
    }
    let latin = [value.as_bytes(), b"\xa0"].concat();
    assert_eq!(flaw(latin), Some(Flaw::Space { what: '\u{a0}', place: end }));
}

#[test]
fn recognises_a_missing_space() {
    let value = format!("token={TOKEN} expiry=never");
    let expected_value = ExpectedValue::of(ExpectedRecord { value: &value, ..RECORD });
    let without = value.replace(' ', "");
    assert_eq!(
        expected_value.flaw(&Candidate::of(without.as_bytes())),
        Some(Flaw::SpaceMissing { place: 39 })
    );
    let early = value.replace(" expiry=never", "");
    assert_eq!(
        expected_value.flaw(&Candidate::of(early.as_bytes())),
        Some(Flaw::Truncated { kept: 38, beginning: true })
    );
}

#[test]
fn distinguishes_case_from_repetition() {
    let (value, token) = (VALUE, TOKEN);
    assert_eq!(flaw(value.to_uppercase()), Some(Flaw::Case));
    assert_eq!(flaw(format!("{value}{value}")), Some(Flaw::Doubled { times: 2 }));
    assert_eq!(flaw(format!("{value}, {value} {value}")), Some(Flaw::Doubled { times: 3 }));
    assert_eq!(flaw(format!("{value}{token}")), Some(Flaw::TokenDoubled { times: 2 }));
}

#[test]
fn recognises_wrong_prefixes() {
    let (value, token) = (VALUE, TOKEN);
    for (wrong, expected) in [
        (token.to_string(), Flaw::OnlyToken),
        (format!("\"{token}\""), Flaw::OnlyToken),
        (format!("deed-domain-claim={value}"), Flaw::PrefixTwice),
        (format!("deed-site-verification={token}"), Flaw::OtherPrefix),
        (format!("token={token}"), Flaw::OtherPrefix),
        (format!("_deed.acme.com={value}"), Flaw::NamePasted),
        (format!("_deed.acme.com. IN TXT \"{value}\""), Flaw::NamePasted),
        (format!("_deed {value}"), Flaw::NamePasted),
    ] {
        assert_eq!(flaw(&wrong), Some(expected), "{wrong}");
    }
}

#[test]
fn recognises_pieces_with_eight_token_letters() {
    let (value, token) = (VALUE, TOKEN);
    for (piece, kept, beginning) in [
        (&value[..30], 30, true),
        ("deed-domain-claim=", 18, true),
        (&value[5..], value.len() - 5, false),
        (&token[..8], 8, false),
        (&token[3..20], 17, false),
    ] {
        assert_eq!(flaw(piece), Some(Flaw::Truncated { kept, beginning }), "{piece}");
    }
    for stranger in ["", "d", "deed-domain", &token[..7], "v=spf1 -all", "domain-claim="] {
        assert_eq!(flaw(stranger), None, "{stranger}");
    }
}

#[test]
fn recognises_values_cut_by_a_web_page() {
    let value = VALUE;
    for wrong in [format!("{}...", &value[..30]), format!("{}\u{2026}", &value[..30])] {
        assert_eq!(flaw(&wrong), Some(Flaw::Truncated { kept: 30, beginning: true }), "{wrong}");
    }
}

#[test]
fn recognises_escape_codes() {
    let value = VALUE;
    let token = TOKEN;
    let prefix = |with: &str| format!("deed-domain-claim{with}{token}");
    for (wrong, notation, code, in_prefix) in [
        (prefix("%3D"), Notation::Url, "%3D", true),
        (prefix("%3d"), Notation::Url, "%3d", true),
        (prefix("%253D"), Notation::Url, "%25", true),
        (prefix("&#61;"), Notation::Html, "&#61;", true),
        (prefix("&equals;"), Notation::Html, "&equals;", true),
        (prefix("=3D"), Notation::Mail, "=3D", false),
        (prefix("\\061"), Notation::ZoneFile, "\\061", true),
        (prefix("%3D") + ".", Notation::Url, "%3D", false),
        (format!("%22{}%22", value.replace('-', "%2D")), Notation::Url, "%22", false),
        (format!("%22{}%22", prefix("%3D")), Notation::Url, "%22", false),
    ] {
        let code = code.to_owned();
        assert_eq!(flaw(&wrong), Some(Flaw::Encoded { notation, code, in_prefix }), "{wrong}");
    }
}

#[test]
fn recognises_text_around_the_value() {
    let value = VALUE;
    for (before, after) in [
        ("", "."),
        ("", ";"),
        ("", ".example.com."),
        ("", ".acme.com"),
        ("<", ">"),
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("x", ""),
        ("", "x"),
        ("", "  ; expires never"),
        ("", " # for the domain"),
        ("TXT ", ""),
        ("TXT=", ""),
        ("\"TXT ", "\""),
        ("IN TXT \"", "\""),
        ("3600 IN TXT ", ""),
        ("3600 ", ""),
        ("@ IN TXT \"", "\""),
        ("Value: ", ""),
        ("&lt;", "&gt;"),
        ("%22", "%22%20comment"),
        ("\u{2014} ", " \u{2014}"),
    ] {
        let around = Some(Flaw::Surrounded { before: before.to_owned(), after: after.to_owned() });
        assert_eq!(loose_flaw(format!("{before}{value}{after}")), around);
        assert_eq!(loose_flaw(format!("{before}{}{after}", value.to_uppercase())), around);
    }
}

#[test]
fn finds_one_wrong_letter_in_the_token() {
    let value = VALUE.to_owned();
    assert_eq!(&value[18..26], "aeaqcaib");
    let with = |letters: &str| format!("{}{letters}{}", &value[..18], &value[26..]);
    for (wrong, edit, place, found, expected) in [
        (with("aeaqcxib"), Edit::Changed, 24, Some('x'), Some('a')),
        (with("aeaqcab"), Edit::Missing, 25, Some('b'), Some('i')),
        (with("aeaqcaxib"), Edit::Extra, 25, Some('x'), Some('i')),
        (with("aeaqcaiib"), Edit::Extra, 26, Some('i'), Some('b')),
        (with("aeaqciab"), Edit::Swapped, 24, Some('i'), Some('a')),
        (with("aeaqca1b"), Edit::Changed, 25, Some('1'), Some('i')),
        (with("aeaqcalb"), Edit::Changed, 25, Some('l'), Some('i')),
        (with("\u{430}eaqcaib"), Edit::Changed, 19, Some('\u{430}'), Some('a')),
        (with("ae\u{430}qcaib"), Edit::Changed, 21, Some('\u{430}'), Some('a')),
    ] {
        assert_eq!(loose_flaw(&wrong), Some(Flaw::Mistyped { edits: 1, edit: Some(edit) }), "{wrong}");
        let difference = ExpectedValue::of(RECORD).difference(wrong.as_bytes());
        assert_eq!(difference, Some(Difference { place, found, expected }), "{wrong}");
    }
}

#[test]
fn counts_wrong_letters_up_to_a_quarter() {
    let value = VALUE.to_owned();
    let wrong = |count: usize| format!("{}{}", &value[..50 - count], "8".repeat(count));
    for edits in 2..=8 {
        assert_eq!(loose_flaw(wrong(edits)), Some(Flaw::Mistyped { edits, edit: None }));
    }
    assert_eq!(loose_flaw(wrong(9)), None);
    // Quotation marks, white space and case are not counted.
    let marked = format!("\"{} \"", value.to_uppercase().replacen("QC", "QX", 1));
    assert_eq!(loose_flaw(marked), Some(Flaw::Mistyped { edits: 1, edit: None }));
    let dotted = format!("{}.", value.replacen("qc", "qx", 1));
    assert_eq!(loose_flaw(dotted), Some(Flaw::Mistyped { edits: 2, edit: None }));
}

#[test]
fn recognises_another_claims_value_by_its_prefix() {
    let expected_value = ExpectedValue::of(RECORD);
    let other = OTHER_TOKEN;
    for (value, as_long) in [
        (format!("deed-domain-claim={other}"), true),
        (format!("\"DEED-DOMAIN-CLAIM={other}\""), true),
        ("deed-domain-claim=your-token-here".to_owned(), false),
    ] {
        assert_eq!(loose_flaw(&value), None, "{value}");
        assert_eq!(
            expected_value.other_token(&Candidate::of(value.as_bytes())),
            Some(Flaw::OtherToken { as_long }),
            "{value}"
        );
    }
    for stranger in ["", "deed-domain-claim=", "v=spf1 -all", "deed-site-verification=x"] {
        assert_eq!(expected_value.other_token(&Candidate::of(stranger.as_bytes())), None, "{stranger}");
    }
}

#[test]
fn recognises_the_value_in_a_name() {
    let (expected_value, value, token) = (ExpectedValue::of(RECORD), VALUE, TOKEN);
    for name in [
        value.to_owned(),
        value.to_uppercase(),
        format!("{value}.acme.com"),
        format!("{value}._deed.acme.com"),
        format!("{value}.com"),
        format!("{value}.example.net"),
        value.replace('=', "\\="),
        value.replace('=', "\\061"),
        format!("\"{value}\".acme.com"),
        format!("\\\"{value}\\\".acme.com"),
        format!("{token}.acme.com"),
        format!("txt\\032{value}.acme.com"),
        format!("{}.acme.com", value.replacen("qc", "qx", 1)),
    ] {
        assert!(expected_value.is_spelled_as_name(&name), "{name}");
    }
    let other = OTHER_TOKEN;
    for name in
        ["acme.com", "_deed.acme.com", "deed-domain-claim.acme.com", "", ".", &format!("{other}.dcv.net")]
    {
        assert!(!expected_value.is_spelled_as_name(name), "{name}");
    }
}

#[test]
fn ignores_short_values_in_names() {
    let given =
        ExpectedRecord { name: "_gh.acme.com", value: "verify", token: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
    let expected_value = ExpectedValue::of(given);
    assert!(
        expected_value.is_spelled_as_name("verify.acme.com") && expected_value.is_spelled_as_name("verify")
    );
    for name in ["verify.vendor.net", "verifx.acme.com", "my-verify.acme.com"] {
        assert!(!expected_value.is_spelled_as_name(name), "{name}");
    }
}

#[test]
fn joins_two_records_in_either_order() {
    let (expected_value, value) = (ExpectedValue::of(RECORD), VALUE.as_bytes());
    let (first, rest) = value.split_at(30);
    let halves = |values: &[&[u8]]| {
        let values: Vec<Vec<u8>> = values.iter().map(|value| value.to_vec()).collect();
        expected_value.halves(&values).map(|halves| halves.map(<[u8]>::to_vec))
    };
    let both = Some([first.to_vec(), rest.to_vec()]);
    assert_eq!(halves(&[first, rest]), both);
    assert_eq!(halves(&[b"other", rest, first]), both);
    let quoted = format!("\"{}\"", &VALUE[..30]).into_bytes();
    assert_eq!(halves(&[&quoted, rest]), Some([quoted.clone(), rest.to_vec()]));
    // Where two fit, the order does not matter.
    assert_eq!(halves(&[&quoted, rest, first]), halves(&[first, &quoted, rest]));
    assert_eq!(halves(&[first, first]), None);
    assert_eq!(halves(&[first]), None);
}

#[test]
fn recognises_flaws_of_a_value_without_template() {
    let given = ExpectedRecord {
        name: "_gh.acme.com",
        value: "code=0123456789abcdef",
        token: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    let expected_value = ExpectedValue::of(given);
    assert_eq!(expected_value.flaw(&Candidate::of(b"0123456789abcdef")), Some(Flaw::OnlyToken));
    assert_eq!(
        expected_value.flaw(&Candidate::of(b"code=01234567")),
        Some(Flaw::Truncated { kept: 13, beginning: true })
    );
}
