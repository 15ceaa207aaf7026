//! Domains of providers of public mailboxes: a claimant of one of them never owns it.
use super::{DomainName, suffix::Section};

/// Brands that are refused under every suffix of the ICANN section, since their owners have most of them.
const BRANDS: &[&str] = &["gmail", "googlemail", "hotmail", "yahoo"];

/// Registrable domains, sorted.
const DOMAINS: &[&str] = &[
    "126.com",
    "139.com",
    "163.com",
    "21cn.com",
    "aim.com",
    "alice.it",
    "aliyun.com",
    "aol.com",
    "aol.de",
    "arcor.de",
    "att.net",
    "bellsouth.net",
    "bigpond.com",
    "bk.ru",
    "bluewin.ch",
    "blueyonder.co.uk",
    "bol.com.br",
    "btinternet.com",
    "charter.net",
    "comcast.net",
    "cox.net",
    "daum.net",
    "earthlink.net",
    "email.com",
    "fastmail.com",
    "fastmail.fm",
    "free.fr",
    "freenet.de",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.fr",
    "gmx.net",
    "gmx.us",
    "hanmail.net",
    "hey.com",
    "hushmail.com",
    "icloud.com",
    "inbox.lv",
    "inbox.ru",
    "interia.pl",
    "juno.com",
    "laposte.net",
    "libero.it",
    "list.ru",
    "live.ca",
    "live.cn",
    "live.co.uk",
    "live.com",
    "live.com.au",
    "live.com.mx",
    "live.de",
    "live.fr",
    "live.it",
    "live.nl",
    "mac.com",
    "mail.com",
    "mail.de",
    "mail.ru",
    "mailbox.org",
    "me.com",
    "msn.com",
    "naver.com",
    "o2.pl",
    "onet.pl",
    "orange.fr",
    "outlook.com",
    "outlook.com.br",
    "outlook.de",
    "outlook.es",
    "outlook.fr",
    "outlook.it",
    "outlook.jp",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.ch",
    "protonmail.com",
    "qq.com",
    "rambler.ru",
    "rediffmail.com",
    "rocketmail.com",
    "sapo.pt",
    "sbcglobal.net",
    "seznam.cz",
    "sfr.fr",
    "sina.cn",
    "sina.com",
    "sohu.com",
    "sympatico.ca",
    "t-online.de",
    "talktalk.net",
    "terra.com.br",
    "tiscali.it",
    "tuta.com",
    "tuta.io",
    "tutanota.com",
    "tutanota.de",
    "ukr.net",
    "uol.com.br",
    "verizon.net",
    "virgilio.it",
    "virginmedia.com",
    "wanadoo.fr",
    "web.de",
    "wp.pl",
    "ya.ru",
    "yandex.com",
    "yandex.ru",
    "yeah.net",
    "ymail.com",
    "zoho.com",
    "zohomail.com",
];

/// Whether a registrable domain is a provider's; `section` is that of the suffix above it.
pub(super) fn is_providers(apex: &DomainName, section: Section) -> bool {
    let brand = || apex.labels().next().is_some_and(|first| BRANDS.contains(&first));
    // Below a private suffix a brand belongs to any user of it: `yahoo.github.io`.
    DOMAINS.binary_search(&apex.as_str()).is_ok() || (section == Section::Icann && brand())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::suffix::{SuffixLookup, lookup};

    #[test]
    fn list_is_sorted_and_has_registrable_domains() {
        assert!(DOMAINS.is_sorted_by(|a, b| a < b));
        for text in DOMAINS {
            let domain: DomainName = text.parse().unwrap();
            assert_eq!(domain.as_str(), *text);
            let SuffixLookup::Registrable { apex, section } = lookup(&domain) else {
                panic!("{text} is not registrable");
            };
            assert_eq!(apex, domain);
            assert!(is_providers(&apex, section));
        }
    }

    #[test]
    fn brands_count_under_every_registry() {
        let providers = |name: &str, section| is_providers(&name.parse().unwrap(), section);
        assert!(providers("yahoo.co.jp", Section::Icann));
        assert!(providers("hotmail.fr", Section::Icann));
        assert!(!providers("yahoo.github.io", Section::Private));
        assert!(!providers("yahoo-fans.com", Section::Icann));
    }
}
