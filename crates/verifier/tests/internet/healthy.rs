//! Records as they should be, in every way that is right.
use futures::future::join_all;

use crate::world::{By, Plan, check, value};

#[tokio::test]
async fn a_right_record_is_proven_wherever_it_is_served() {
    let value = value();
    let exact = format!("_deed TXT \"{value}\"");
    let (first, second) = value.split_at(10);
    let long = format!("_deed TXT \"{}\"\n_deed TXT \"v=spf1 -all\"\n{exact}", "x".repeat(255));
    let mut plan = Plan::in_block(2);
    for (name, by) in [
        ("nsd.com", &[By::Nsd][..]),
        ("bind.com", &[By::Bind]),
        ("knot.com", &[By::Knot]),
        ("pdns.com", &[By::PowerDns]),
        ("four.com", &[By::Nsd, By::Bind, By::Knot, By::PowerDns]),
    ] {
        plan = plan.domain(name, by, &exact);
    }
    let internet = plan
        .domain("strings.com", &[By::Nsd], &format!("_deed TXT \"{first}\" \"\" \"{second}\""))
        .domain("beside.com", &[By::Bind], &long)
        .domain("alias.com", &[By::Nsd], &format!("_deed CNAME proof\nproof TXT \"{value}\""))
        .domain("away.com", &[By::Nsd], "_deed CNAME _deed.knot.com.")
        .guest_domain("moved.com", "nsd.com", By::Nsd, "@ DNAME knot.com.")
        .domain("star.com", &[By::Nsd], &format!("* TXT \"{value}\""))
        .signed_domain("signed.com", By::Knot, &exact)
        .signed_domain("live.com", By::PowerDns, &exact)
        .split_domain("most.com", &[(By::Nsd, 2, &exact), (By::Bind, 2, &exact), (By::Knot, 1, "")])
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
        assert_eq!(checked.verdict(), "proven", "{domain}: {checked:#?}");
        assert!(checked.seen.queries <= 60);
    }
    let servers = &checked[4].seen.servers;
    assert_eq!(servers.len(), 4, "all servers of a zone are asked: {servers:#?}");
}
