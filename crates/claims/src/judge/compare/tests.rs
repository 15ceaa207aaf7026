use super::*;
use crate::{ChallengeTemplates, Scope, Token};

fn challenge() -> Challenge {
    ChallengeTemplates::default().challenge(
        Scope::Apex,
        &"acme.com".parse().unwrap(),
        Token::from_bytes([1; 20]),
    )
}

fn flaw(value: impl AsRef<[u8]>) -> Option<Flaw> {
    Wanted::of(&challenge()).flaw(value.as_ref())
}

#[test]
fn quotation_marks_of_every_kind_are_seen() {
    let value = challenge().record_value;
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
fn characters_that_nobody_sees_are_named_with_their_place() {
    let value = challenge().record_value;
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
    assert_eq!(name_of('\u{200b}'), "a zero-width space (U+200B)");
}

#[test]
fn a_space_that_the_value_needs_is_missed() {
    let templates =
        ChallengeTemplates::default().with(None, Some("token={token} expiry=never"), None, None).unwrap();
    let challenge =
        templates.challenge(Scope::Apex, &"acme.com".parse().unwrap(), Token::from_bytes([1; 20]));
    let wanted = Wanted::of(&challenge);
    let without = challenge.record_value.replace(' ', "");
    assert_eq!(wanted.flaw(without.as_bytes()), Some(Flaw::SpaceMissing { place: 39 }));
    let early = challenge.record_value.replace(" expiry=never", "");
    assert_eq!(wanted.flaw(early.as_bytes()), Some(Flaw::Truncated { kept: 38, beginning: true }));
}

#[test]
fn case_and_repetition_are_told_apart() {
    let (value, token) = (challenge().record_value, challenge().token);
    assert_eq!(flaw(value.to_uppercase()), Some(Flaw::Case));
    assert_eq!(flaw(format!("{value}{value}")), Some(Flaw::Doubled { times: 2 }));
    assert_eq!(flaw(format!("{value}, {value} {value}")), Some(Flaw::Doubled { times: 3 }));
    assert_eq!(flaw(format!("{value}{token}")), Some(Flaw::TokenDoubled { times: 2 }));
}

#[test]
fn what_stands_before_the_random_part_is_looked_at() {
    let (value, token) = (challenge().record_value, challenge().token);
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
fn pieces_are_recognised_from_eight_random_letters_on() {
    let (value, token) = (challenge().record_value, challenge().token.to_string());
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
fn values_of_others_and_longer_ones_are_simply_wrong() {
    let value = challenge().record_value;
    let other = Token::from_bytes([9; 20]);
    for wrong in [format!("x{value}"), format!("{value}x"), format!("deed-domain-claim={other}")] {
        assert_eq!(flaw(&wrong), None, "{wrong}");
    }
}

#[test]
fn two_records_make_the_value_in_either_order() {
    let challenge = challenge();
    let (wanted, value) = (Wanted::of(&challenge), challenge.record_value.as_bytes());
    let (first, rest) = value.split_at(30);
    let split = Some(Flaw::Split { first: 30 });
    assert_eq!(wanted.joined(&[first.to_vec(), rest.to_vec()]), split);
    assert_eq!(wanted.joined(&[b"other".to_vec(), rest.to_vec(), first.to_vec()]), split);
    assert_eq!(
        wanted.joined(&[format!("\"{}\"", &challenge.record_value[..30]).into_bytes(), rest.to_vec()]),
        split
    );
    assert_eq!(wanted.joined(&[first.to_vec(), first.to_vec()]), None);
    assert_eq!(wanted.joined(&[first.to_vec()]), None);
}

#[test]
fn a_value_given_as_a_whole_is_compared_in_the_same_way() {
    let given = Challenge {
        record_name: "_gh.acme.com".into(),
        record_value: "code=0123456789abcdef".into(),
        token: Token::from_bytes([0; 20]),
    };
    let wanted = Wanted::of(&given);
    assert_eq!(wanted.flaw(b"0123456789abcdef"), Some(Flaw::OnlyToken));
    assert_eq!(wanted.flaw(b"code=01234567"), Some(Flaw::Truncated { kept: 13, beginning: true }));
}
