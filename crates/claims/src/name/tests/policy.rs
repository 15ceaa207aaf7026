//! Names that can be claimed under each policy.
use super::*;

fn claimed(text: &str, policy: &NamePolicy) -> Result<String, &'static str> {
    claimed_as(Scope::Apex, text, policy)
}

fn claimed_as(scope: Scope, text: &str, policy: &NamePolicy) -> Result<String, &'static str> {
    let name = text.parse().unwrap();
    ClaimableName::new(name, scope, policy, 14)
        .map(|name| name.apex().to_string())
        .map_err(|error| error.code())
}

#[test]
fn claimable_name_leaves_room_for_the_record_label() {
    let claim = |octets, prefix| {
        ClaimableName::parse(&name_of(octets), Scope::Host, &NamePolicy::default(), prefix)
            .map(|name| name.name().as_str().len())
    };
    assert_eq!(claim(239, 14), Ok(239));
    assert_eq!(claim(253, 0), Ok(253));
    assert_eq!(claim(20, 400), Err(NameError::TooLong { limit: 0 }));
    // The same limit for texts that are valid names and for longer ones.
    for octets in (240..300).chain([1000, 4000, 4100, 10_000]) {
        assert_eq!(claim(octets, 14), Err(NameError::TooLong { limit: 239 }), "{octets}");
    }
}

#[test]
fn private_suffix_is_a_hostname_and_no_domain() {
    let strict = NamePolicy::default();
    for name in ["is-a.dev", "github.io", "pages.dev", "s3.amazonaws.com"] {
        assert_eq!(claimed_as(Scope::Host, name, &strict).as_deref(), Ok(name));
        assert_eq!(claimed(name, &strict), Err("public_suffix"), "{name}");
    }
    for name in ["co.uk", "com.br", "foo.ck", "公司.cn"] {
        assert_eq!(claimed_as(Scope::Host, name, &strict), Err("public_suffix"), "{name}");
    }
    // Names below it follow the usual rules.
    assert_eq!(claimed_as(Scope::Host, "a.me.is-a.dev", &strict).as_deref(), Ok("me.is-a.dev"));
    // The rule for public mailboxes still applies.
    let extra = vec!["is-a.dev".parse().unwrap()];
    let stricter = NamePolicy { extra_consumer_mail: extra, ..strict };
    assert_eq!(claimed_as(Scope::Host, "is-a.dev", &stricter), Err("consumer_mail_domain"));
}

#[test]
fn strict_policy_refuses_names_without_an_owner() {
    let strict = NamePolicy::default();
    for (code, names) in [
        ("public_suffix", "co.uk github.io pages.dev s3.amazonaws.com foo.ck 公司.cn"),
        ("special_use_name", "example.com www.example.net example.org a.example a.test a.invalid"),
        ("special_use_name", "a.local a.localhost a.onion a.alt home.arpa x.home.arpa"),
        ("special_use_name", "6tisch.arpa eap-noob.arpa ipv4only.arpa resolver.arpa service.arpa"),
        ("special_use_name", "10.in-addr.arpa 8.e.f.ip6.arpa as112.arpa"),
        ("special_use_name", "a.internal a.corp a.home a.mail a.lan a.intranet a.private"),
        ("unlisted_tld", "acme.notatld a.b.c.nosuch"),
        ("consumer_mail_domain", "gmail.com GMAIL.com. a.b.gmail.com outlook.com yahoo.co.jp qq.com"),
    ] {
        for name in names.split(' ') {
            assert_eq!(claimed(name, &strict), Err(code), "{name}");
        }
    }
}

#[test]
fn registrable_domain_follows_the_full_list() {
    let strict = NamePolicy::default();
    for (name, apex) in [
        ("acme.com", "acme.com"),
        ("a.b.acme.co.uk", "acme.co.uk"),
        ("foo.github.io", "foo.github.io"),
        ("www.foo.github.io", "foo.github.io"),
        ("www.ck", "www.ck"),
        ("amazonaws.com", "amazonaws.com"),
        ("bucket.s3.amazonaws.com", "bucket.s3.amazonaws.com"),
        ("www.食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("yahoo.github.io", "yahoo.github.io"),
        ("a.b.c.d.e.f.g.h.i.j.k.l.acme.com", "acme.com"),
    ] {
        assert_eq!(claimed(name, &strict).as_deref(), Ok(apex), "{name}");
    }
}

#[test]
fn each_switch_allows_its_own_names_only() {
    let strict = NamePolicy::default();

    let special = NamePolicy { allow_special_use: true, ..strict.clone() };
    for (name, apex) in [
        ("www.example.com", "example.com"),
        ("a.b.test", "b.test"),
        ("a.b.c.internal", "c.internal"),
        ("acme.notatld", "acme.notatld"),
        ("x.home.arpa", "x.home.arpa"),
    ] {
        assert_eq!(claimed(name, &special).as_deref(), Ok(apex), "{name}");
    }
    assert_eq!(claimed("co.uk", &special), Err("public_suffix"));
    assert_eq!(claimed("home.arpa", &special), Err("public_suffix"));
    assert_eq!(claimed("gmail.com", &special), Err("consumer_mail_domain"));

    let private = NamePolicy { allow_private_suffix: true, ..strict.clone() };
    assert_eq!(claimed("github.io", &private).as_deref(), Ok("github.io"));
    assert_eq!(claimed("foo.github.io", &private).as_deref(), Ok("foo.github.io"));
    assert_eq!(claimed("co.uk", &private), Err("public_suffix"));
    assert_eq!(claimed("a.test", &private), Err("special_use_name"));

    let consumer = NamePolicy { allow_consumer_mail: true, ..strict.clone() };
    assert_eq!(claimed("mx.gmail.com", &consumer).as_deref(), Ok("gmail.com"));
    assert_eq!(claimed("a.test", &consumer), Err("special_use_name"));

    let extra = vec!["students.acme.edu".parse().unwrap()];
    let stricter = NamePolicy { extra_consumer_mail: extra, ..strict };
    assert_eq!(claimed("a.students.acme.edu", &stricter), Err("consumer_mail_domain"));
    assert_eq!(claimed("mystudents.acme.edu", &stricter).as_deref(), Ok("acme.edu"));
    assert_eq!(claimed("acme.edu", &stricter).as_deref(), Ok("acme.edu"));
    let open = NamePolicy { allow_consumer_mail: true, ..stricter };
    assert_eq!(claimed("a.students.acme.edu", &open).as_deref(), Ok("acme.edu"));
}

#[test]
fn claimable_name_has_its_apex() {
    let claim = |text: &str| ClaimableName::parse(text, Scope::Apex, &NamePolicy::default(), 14).unwrap();
    assert!(claim("acme.com").is_apex());
    assert!(!claim("www.acme.com").is_apex());
    let (name, apex) = claim("www.acme.com").into_parts();
    assert_eq!((name.as_str(), apex.as_str()), ("www.acme.com", "acme.com"));
}
