//! Aliases that come from a wildcard record: the advice must keep the wildcard.
use deed_diagnosis::{AliasOrigin, Outcome};

use crate::internet::{Daemon, InternetPlan, check};

#[tokio::test]
async fn tells_wildcard_alias_from_own_alias() {
    let internet = InternetPlan::in_block(25)
        .domain("wild.com", &[Daemon::Nsd], "* CNAME www.host.com.")
        .domain("own.com", &[Daemon::Nsd], "_deed CNAME www.host.com.")
        .domain("host.com", &[Daemon::Nsd], "www A 192.0.2.1")
        .start();
    let prober = internet.prober();
    for (domain, origin, advice) in [
        ("wild.com", AliasOrigin::Wildcard, "Do not change the wildcard record."),
        ("own.com", AliasOrigin::Name, "delete this CNAME record, and no other"),
    ] {
        let checked = check(&prober, domain).await;
        assert_eq!((checked.code(), checked.seen.findings.alias_origin), ("cname_elsewhere", origin));
        let Outcome::NotProven(diagnosis) = checked.outcome else { panic!("{domain} is proven") };
        assert!(diagnosis.fix().contains(advice), "{domain}: {}", diagnosis.fix());
    }
}
