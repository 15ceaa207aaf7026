//! Valid records, published in every allowed way.
use futures::future::join_all;

use crate::internet::{Daemon, InternetPlan, check, value};

#[tokio::test]
async fn proves_valid_record_on_every_server() {
    let value = value();
    let exact = format!("_deed TXT \"{value}\"");
    let (first, second) = value.split_at(10);
    let long = format!("_deed TXT \"{}\"\n_deed TXT \"v=spf1 -all\"\n{exact}", "x".repeat(255));
    let mut plan = InternetPlan::in_block(2);
    for (name, daemons) in [
        ("nsd.com", &[Daemon::Nsd][..]),
        ("bind.com", &[Daemon::Bind]),
        ("knot.com", &[Daemon::Knot]),
        ("pdns.com", &[Daemon::PowerDns]),
        ("four.com", &[Daemon::Nsd, Daemon::Bind, Daemon::Knot, Daemon::PowerDns]),
    ] {
        plan = plan.domain(name, daemons, &exact);
    }
    let internet = plan
        .domain("strings.com", &[Daemon::Nsd], &format!("_deed TXT \"{first}\" \"\" \"{second}\""))
        .domain("beside.com", &[Daemon::Bind], &long)
        .domain("alias.com", &[Daemon::Nsd], &format!("_deed CNAME proof\nproof TXT \"{value}\""))
        .domain("away.com", &[Daemon::Nsd], "_deed CNAME _deed.knot.com.")
        .hosted_domain("moved.com", "nsd.com", Daemon::Nsd, "@ DNAME knot.com.")
        .domain("star.com", &[Daemon::Nsd], &format!("* TXT \"{value}\""))
        .signed_domain("signed.com", Daemon::Knot, &exact)
        .signed_domain("live.com", Daemon::PowerDns, &exact)
        .diverging_domain(
            "most.com",
            &[(Daemon::Nsd, 2, &exact), (Daemon::Bind, 2, &exact), (Daemon::Knot, 1, "")],
        )
        .start();
    let prober = internet.prober();
    let domains = [
        "nsd.com",
        "bind.com",
        "knot.com",
        "pdns.com",
        "four.com",
        "strings.com",
        "beside.com",
        "alias.com",
        "away.com",
        "moved.com",
        "star.com",
        "signed.com",
        "live.com",
        "most.com",
    ];
    let checked = join_all(domains.map(|domain| check(&prober, domain))).await;
    for (domain, checked) in domains.iter().zip(&checked) {
        assert_eq!(checked.code(), "proven", "{domain}: {checked:#?}");
        assert!(checked.seen.queries <= 60);
    }
    let servers = &checked[4].seen.servers;
    assert_eq!(servers.len(), 4, "all servers of a zone are asked: {servers:#?}");
}
