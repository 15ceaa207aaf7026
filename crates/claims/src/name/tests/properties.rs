//! Properties that hold for every text.
use proptest::prelude::*;

use super::*;

/// Texts near the border between valid and invalid names, which arbitrary strings seldom reach.
fn near_names() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        "[a-z0-9-]{0,12}",
        "[A-Za-z0-9äßœéÀ-ž_*-]{0,10}",
        "xn--[a-z0-9-]{0,12}",
        "(xn--){1,3}[a-z0-9-]{0,8}",
        "[а-я]{1,8}",
        "[א-ת0-9]{1,6}",
        "[ａ-ｚ０-９]{1,8}",
        "[\u{ad}\u{200b}-\u{200f}\u{2024}\u{2488}-\u{249b}a-c]{0,6}",
        "[\u{a0}\u{3000}\u{feff}\u{2060}\u{202a}]{0,2}[a-c]{1,3}[\u{a0}\u{3000}\u{feff}\u{2060}\u{202a}]{0,2}",
        "0x[0-9a-f]{0,3}",
        "[a-z]{55,70}",
    ];
    let dot = prop_oneof![8 => Just("."), 1 => Just("。"), 1 => Just("｡")];
    proptest::collection::vec((label, dot), 1..8).prop_map(|pieces| {
        let mut text: String = pieces.iter().flat_map(|(label, dot)| [label.as_str(), dot]).collect();
        // About half of them have a trailing dot.
        if text.len().is_multiple_of(2) {
            text.pop();
        }
        text
    })
}

fn check_text(text: &str) -> Result<(), TestCaseError> {
    let printable = |sentence: &str| sentence.bytes().all(|b| (0x20..=0x7e).contains(&b));
    let name = match DomainName::parse(text) {
        Ok(name) => name,
        Err(error) => {
            prop_assert!(printable(&error.to_string()), "{error}");
            return Ok(());
        }
    };
    let canonical = name.as_str();
    prop_assert!(canonical.len() <= MAX_NAME_LEN);
    prop_assert!(name.labels().count() >= 2);
    for label in name.labels() {
        prop_assert!((1..=63).contains(&label.len()));
        prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
        prop_assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
    }
    prop_assert!(canonical.parse::<std::net::IpAddr>().is_err());
    let unicode = name.to_unicode();
    prop_assert!(!unicode.split('.').any(|label| label.starts_with("xn--")));
    prop_assert_eq!(DomainName::parse(canonical), Ok(name.clone()));
    prop_assert_eq!(DomainName::parse(&unicode), Ok(name.clone()));
    if let Some(parent) = name.parent() {
        prop_assert!(name.is_within(&parent));
        prop_assert_eq!(DomainName::parse(parent.as_str()), Ok(parent));
    }
    for policy in [NamePolicy::default(), NamePolicy { allow_special_use: true, ..NamePolicy::default() }] {
        match ClaimableName::new(name.clone(), Scope::Apex, &policy, 14) {
            Ok(claimable) => {
                prop_assert!(claimable.name().is_within(claimable.apex()));
                prop_assert_eq!(claimable.apex().registrable_domain(), Some(claimable.apex().clone()));
                prop_assert_eq!(DomainName::parse(claimable.apex().as_str()), Ok(claimable.apex().clone()));
            }
            Err(error) => prop_assert!(printable(&error.to_string()), "{error}"),
        }
        // The scope of a host is its own name, so it may be a private suffix.
        if let Ok(host) = ClaimableName::new(name.clone(), Scope::Host, &policy, 14) {
            let apex = name.registrable_domain().unwrap_or_else(|| name.clone());
            prop_assert_eq!((host.name(), host.apex()), (&name, &apex));
        }
    }
    Ok(())
}

/// Texts of the characters of canonical names, many of which are no names.
fn plain_texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9-]{1,4}(\\.[a-z0-9-]{1,4}){1,3}",
        1 => "(xn--)?[a-z0-9-]{1,4}\\.(0x)?[0-9a-f]{1,3}",
        1 => "[a-z]{60,65}\\.com",
        1 => "([a-z]{40}\\.){5,6}[a-z]{2,10}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn arbitrary_texts_keep_the_invariants(text in any::<String>()) {
        check_text(&text)?;
    }

    #[test]
    fn texts_near_names_keep_the_invariants(text in near_names()) {
        check_text(&text)?;
    }

    /// The fast path accepts only texts that are names in canonical form.
    #[test]
    fn fast_path_agrees_with_thorough_parsing(text in prop_oneof![plain_texts(), near_names()]) {
        if parse::is_canonical(&text) {
            prop_assert_eq!(parse::parse_thoroughly(&text), Ok(text));
        }
    }
}
