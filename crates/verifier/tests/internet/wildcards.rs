//! Aliases that a wildcard record makes: no record of its own stands at the name, and the wildcard must stay.
use deed_claims::{AliasOrigin, Outcome};

use crate::world::{By, Plan, check};

#[tokio::test]
async fn wildcard_alias_is_not_taken_for_an_own_one() {
    let internet = Plan::in_block(25)
        .domain("wild.com", &[By::Nsd], "* CNAME www.host.com.")
        .domain("own.com", &[By::Nsd], "_deed CNAME www.host.com.")
        .domain("host.com", &[By::Nsd], "www A 192.0.2.1")
        .start();
    let prober = internet.prober();
    for (domain, origin, advice) in [
        ("wild.com", AliasOrigin::Wildcard, "Do not change the wildcard record."),
        ("own.com", AliasOrigin::Name, "delete it, and no other"),
    ] {
        let checked = check(&prober, domain).await;
        assert_eq!((checked.verdict(), checked.seen.findings.alias_origin), ("cname_elsewhere", origin));
        let Outcome::NotProven(diagnosis) = checked.outcome else { panic!("{domain} is proven") };
        assert!(diagnosis.fix.contains(advice), "{domain}: {}", diagnosis.fix);
    }
}
