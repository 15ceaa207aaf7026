//! Parsing of names: every canonical form and every refusal.
use super::*;
use crate::Scope;

mod policy;
mod properties;

fn parsed(text: &str) -> String {
    match DomainName::parse(text) {
        Ok(name) => name.to_string(),
        Err(error) => panic!("{text:?} is refused: {error}"),
    }
}

fn refused(text: &str) -> NameError {
    match DomainName::parse(text) {
        Ok(name) => panic!("{text:?} is taken for {name}"),
        Err(error) => error,
    }
}

/// A name of exactly `octets` octets below `.com`, all labels within the limit.
fn name_of(octets: usize) -> String {
    let below = octets - ".com".len();
    let mut labels = "a".repeat(below).into_bytes();
    for dot in (60..below - 1).step_by(60) {
        labels[dot] = b'.';
    }
    String::from_utf8(labels).unwrap() + ".com"
}

#[test]
fn each_name_has_one_canonical_form() {
    for (text, canonical) in [
        ("acme.com", "acme.com"),
        ("ACME.Com", "acme.com"),
        (" \tacme.com\r\n", "acme.com"),
        ("acme.com.", "acme.com"),
        ("acme.com。", "acme.com"),
        ("acme。com", "acme.com"),
        ("a-b.c-d.com", "a-b.c-d.com"),
        ("1.2.3.com", "1.2.3.com"),
        ("0x7f.com", "0x7f.com"),
        ("4.0xyz", "4.0xyz"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("MÜNCHEN.DE", "xn--mnchen-3ya.de"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de"),
        // The same letter, precomposed and decomposed.
        ("mu\u{308}nchen.de", "xn--mnchen-3ya.de"),
        // Non-transitional processing keeps ß.
        ("faß.de", "xn--fa-hia.de"),
        // The mapping drops or folds these.
        ("exa\u{ad}mple.de", "example.de"),
        ("ａｃｍｅ．ｃｏｍ", "acme.com"),
        ("\u{212a}.com", "k.com"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
    ] {
        assert_eq!(parsed(text), canonical, "{text:?}");
    }
}

#[test]
fn shows_international_names_in_both_forms() {
    for (text, unicode) in [
        ("xn--mnchen-3ya.de", "münchen.de"),
        ("FASS.de", "fass.de"),
        ("faß.de", "faß.de"),
        ("acme.com", "acme.com"),
        ("www.xn--e1afmkfd.xn--p1ai", "www.пример.рф"),
        ("אב.co.il", "אב.co.il"),
    ] {
        let name: DomainName = text.parse().unwrap();
        assert_eq!(name.to_unicode(), unicode);
        assert_eq!(name.to_unicode().parse(), Ok(name));
    }
}

#[track_caller]
fn all_refused(code: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(refused(text).code(), code, "{text:?}");
    }
}

#[test]
fn refuses_empty_names() {
    all_refused("name_empty", &["", " ", "\t\n", ".", " . ", "。", "\u{ad}", "\u{200b}.", "\u{a0}\u{3000}"]);
}

/// White space by Unicode, and other invisible characters.
const BLANKS: &str = "\t\n\u{b}\u{c}\r \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
                      \u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{200b}\u{feff}\u{2060}\
                      \u{200e}\u{200f}\u{61c}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";

#[test]
fn trims_blanks_around_a_name() {
    for blank in BLANKS.chars().chain(['\u{ad}']) {
        for text in [
            format!("{blank}acme.com"),
            format!("acme.com{blank}"),
            format!(" {blank}{blank}acme.com.{blank} "),
            format!("{blank}ACME.com{blank}"),
        ] {
            assert_eq!(parsed(&text), "acme.com", "{text:?}");
        }
        assert_eq!(parsed(&format!("{blank}münchen.de{blank}")), "xn--mnchen-3ya.de", "{blank:?}");
    }
    assert_eq!(parsed(&format!("{BLANKS}acme.com{BLANKS}")), "acme.com");
    assert_eq!(parsed(&format!("{}acme.com", "\u{a0}".repeat(5000))), "acme.com");
}

#[test]
fn names_a_blank_within_a_name_and_its_place() {
    for blank in BLANKS.chars() {
        let text = format!("\u{a0}ac{blank}me.com ");
        let NameError::BadLabel { fault, .. } = refused(&text) else { panic!("{text:?}") };
        assert_eq!(fault, LabelFault::Blank { character: blank, position: 3 });
        all_refused("bad_label", &[&format!("acme.com{blank}."), &format!("acme{blank}.com")]);
    }
    for (text, sentence) in [
        ("ac me.com", "`ac me.com` cannot be used in a domain name: character 3 is a space (U+0020)"),
        (
            "bü\u{a0}cher.de",
            "`b\\u{fc}\\u{a0}cher.de` cannot be used in a domain name: character 3 is a no-break space (U+00A0)",
        ),
        (
            "acme.com other.com",
            "`acme.com other.com` cannot be used in a domain name: character 9 is a space (U+0020)",
        ),
        (
            "a\0.com",
            "`a\\u{0}.com` cannot be used in a domain name: character 2 is a control character (U+0000)",
        ),
    ] {
        assert_eq!(refused(text).to_string(), sentence);
    }
}

#[test]
fn refuses_addresses_in_every_notation() {
    all_refused("ip_literal", &["192.0.2.1", "192.0.2.1.", "1.2.3", "127.1", "2130706433", "acme.123"]);
    all_refused("ip_literal", &["0x7f.1", "0X7F000001", "0x7f.0X1", "a.0x"]);
    // Other faults do not matter.
    all_refused("ip_literal", &["1..2", "a_b.1", "-.0x7f"]);
    // These are addresses only after the mapping.
    all_refused("ip_literal", &["１９２.０.２.１", "192。0。2。1", "192.0.2.\u{ad}1"]);
    all_refused(
        "ip_literal",
        &["::1", "[::1]", "2001:db8::1", "[2001:db8::1]", "::ffff:192.0.2.1", "fe80::1%eth0"],
    );
}

#[test]
fn refuses_urls_and_wildcards() {
    all_refused(
        "url",
        &["https://acme.com", "acme.com/path", "acme.com:443", "me@acme.com", "ex%41mple.com"],
    );
    all_refused("url", &["a\\b.com", "[acme.com]", "[::1]:53", "acme.com?q", "acme.com#top", "192.0.2.0/24"]);
    all_refused("url", &["https://*.acme.com"]);
    all_refused("wildcard", &["*.acme.com", "*", "a*.com"]);
}

#[test]
fn refuses_a_single_label() {
    all_refused("single_label", &["acme", "com.", "localhost", "XN--P1AI", "рф"]);
}

#[test]
fn refuses_labels_that_are_no_host_names() {
    all_refused(
        "bad_label",
        &["a b.com", "a\u{0}.com", "a\n.com", "a\u{a0}b.com", "\u{0}acme.com", "a\u{7f}.com"],
    );
    all_refused("bad_label", &["a..com", ".acme.com", "acme.com..", "..", "acme.com。.", "\u{ad}.com"]);
    all_refused(
        "bad_label",
        &["-a.com", "a-.com", "ab--cd.com", "_dmarc.acme.com", "a_b.com", "acme!.com", "a,b.com"],
    );
    all_refused("bad_label", &["xn--.com", "xn--acme-.com", "xn--a.com", "xn--zn7c.com", "XN--A.com"]);
    all_refused(
        "bad_label",
        &["a\u{200d}b.com", "a\u{202e}b.com", "0à.א", "⒈com.de", "☃\u{fffd}.com", "＊.com"],
    );
}

#[test]
fn refuses_a_label_that_decodes_to_an_encoded_label() {
    for text in ["xn--xn---epa.com", "xn--Xn---epa.com", "XN--XN---EPA.com", "xn--xn--acme-xyz.com"] {
        let label = Excerpt::of(text.strip_suffix(".com").unwrap());
        assert_eq!(refused(text), NameError::BadLabel { label, fault: LabelFault::Encoding });
    }
}

#[test]
fn names_the_label_and_its_fault() {
    for (text, shown, rule) in [
        ("acme..com", "acme..com", LabelFault::Empty),
        ("www.-acme.com", "-acme", LabelFault::Hyphens),
        ("www.ac--me.com", "ac--me", LabelFault::Hyphens),
        ("_deed.acme.com", "_deed", LabelFault::Underscore),
        ("ac me.com", "ac me.com", LabelFault::Blank { character: ' ', position: 3 }),
        ("www.xn--a.com", "xn--a", LabelFault::Encoding),
        ("www.a!.com", "a!", LabelFault::Characters),
        ("0à.א", "0\\u{e0}.\\u{5d0}", LabelFault::Direction),
    ] {
        let NameError::BadLabel { label, fault } = refused(text) else { panic!("{text:?}") };
        assert_eq!((label.as_str(), fault), (shown, rule), "{text:?}");
    }
}

#[test]
fn limits_labels_to_63_octets_and_names_to_253() {
    let label = |octets: usize| format!("{}.com", "a".repeat(octets));
    assert_eq!(parsed(&label(63)), label(63));
    assert!(matches!(refused(&label(64)), NameError::BadLabel { fault: LabelFault::TooLong, .. }));
    // 58 letters in the text, 66 octets in the A-label.
    assert!(matches!(refused(&label(57).replacen('a', "ü", 2)), NameError::BadLabel { .. }));

    assert_eq!(name_of(253).len(), 253);
    assert_eq!(parsed(&name_of(253)), name_of(253));
    assert_eq!(parsed(&format!("{}.", name_of(253))), name_of(253));
    assert_eq!(refused(&name_of(254)), NameError::TooLong { limit: 253 });
    assert_eq!(refused(&"a.".repeat(5000)), NameError::TooLong { limit: 253 });
    // The same with a label that is too long as well.
    assert_eq!(refused(&label(300)), NameError::TooLong { limit: 253 });

    // Padding that the mapping drops does not count, up to the limit of the text.
    let padded = |count| "ac".to_owned() + &"\u{ad}".repeat(count) + "me.com";
    assert_eq!(parsed(&padded(300)), "acme.com");
    assert_eq!(refused(&padded(5000)), NameError::TooLong { limit: 253 });
}

#[test]
fn names_form_a_tree() {
    let name = |text: &str| text.parse::<DomainName>().unwrap();
    let host = name("a.b.acme.com");
    assert_eq!(host.labels().collect::<Vec<_>>(), ["a", "b", "acme", "com"]);
    assert_eq!(host.parent(), Some(name("b.acme.com")));
    assert_eq!(name("acme.com").parent(), None);
    assert!(host.is_within(&name("acme.com")));
    assert!(host.is_within(&host));
    assert!(!name("acme.com").is_within(&host));
    assert!(!name("myacme.com").is_within(&name("acme.com")));
    assert_eq!(host.registrable_domain(), Some(name("acme.com")));
    assert_eq!(name("acme.com").registrable_domain(), Some(name("acme.com")));
    assert_eq!(name("github.io").registrable_domain(), None);
    assert_eq!(name("a.b.test").registrable_domain(), Some(name("b.test")));
}

#[test]
fn validates_names_in_json() {
    let name: DomainName = serde_json::from_str(r#""M\u00dcNCHEN.de.""#).unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), r#""xn--mnchen-3ya.de""#);
    let error = serde_json::from_str::<DomainName>(r#""a b.com""#).unwrap_err();
    assert!(error.to_string().contains("is a space"), "{error}");
}

#[test]
fn every_refusal_has_its_sentence() {
    let strict = NamePolicy::default();
    let refusal = |text: &str| match text.parse() {
        Err(error) => error,
        Ok(name) => ClaimableName::new(name, Scope::Apex, &strict, 14).unwrap_err(),
    };
    let (long, longer) = (name_of(250), name_of(254));
    for (text, sentence) in [
        ("", "the domain name is empty"),
        (
            &*long,
            "the domain name is too long: it may have 239 characters, counted in its ASCII form, because the name of the \
             validation record has up to 14 more and 253 is the most that the DNS allows (RFC 1035, section 2.3.4)",
        ),
        (
            &*longer,
            "the domain name is too long: it may have 253 characters, counted in its ASCII form (RFC 1035, section 2.3.4)",
        ),
        (
            "a!.com",
            "`a!` cannot be used in a domain name: it has a character that is not allowed in domain names",
        ),
        ("192.0.2.1", "`192.0.2.1` is an IP address, not a domain name"),
        ("acme", "`acme` has a single part: give a full domain name such as `acme.com`"),
        ("*.acme.com", "`*.acme.com` is a wildcard: give the domain name without the asterisk"),
        (
            "https://acme.com",
            "`https://acme.com` is not a plain domain name: leave out the scheme, port, path and mailbox",
        ),
        (
            "co.uk",
            "`co.uk` is a public suffix, under which anybody can register names: nobody can claim it as a whole",
        ),
        (
            "a.test",
            "`a.test` lies in `test`, which is set aside for special use and is not in the public DNS",
        ),
        ("acme.nosuch", "`nosuch` is not a known top-level domain"),
        ("a.gmail.com", "`gmail.com` belongs to a provider of public mailboxes and cannot be claimed"),
    ] {
        assert_eq!(refusal(text).to_string(), sentence);
    }
}
