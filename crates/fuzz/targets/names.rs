//! Parses names: one canonical form or a refusal, never a panic.
#![no_main]

use deed_claims::name::{ClaimableName, DomainName, NamePolicy};
use deed_claims::{ChallengeTemplates, Scope, Token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let name = match DomainName::parse(text) {
        Ok(name) => name,
        Err(refused) => {
            let words = refused.to_string();
            assert!(!words.is_empty() && words.len() < 1000, "{words}");
            return;
        }
    };
    let canonical = name.as_str();
    assert!(canonical.len() <= 253 && canonical.contains('.'), "{canonical}");
    assert!(canonical.split('.').all(|label| (1..=63).contains(&label.len())), "{canonical}");
    let letters = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    assert!(canonical.bytes().all(letters), "{canonical}");
    assert_eq!(DomainName::parse(canonical).as_ref(), Ok(&name), "a canonical form is its own");
    let shown = name.to_unicode();
    assert_eq!(DomainName::parse(&shown).as_ref(), Ok(&name), "{shown:?} leads back");
    claim(name);
});

fn claim(name: DomainName) {
    let templates = ChallengeTemplates::default();
    let registrable = name.registrable_domain();
    let policy = NamePolicy::default();
    for scope in [Scope::Apex, Scope::Host] {
        let Ok(claimable) = ClaimableName::new(name.clone(), scope, &policy, templates.longest_prefix())
        else {
            continue;
        };
        // A private suffix can be claimed as a hostname, although it has no registrable domain.
        let apex = registrable.as_ref().or(Some(&name).filter(|_| scope == Scope::Host));
        assert_eq!(apex, Some(claimable.apex()));
        assert!(claimable.name().is_within(claimable.apex()));
        let at = if scope == Scope::Apex { claimable.apex() } else { claimable.name() };
        let challenge = templates.challenge(scope, at, Token::from_bytes([7; 20]));
        assert!(challenge.record_name.len() <= 253, "{}", challenge.record_name);
    }
}
