//! Attacks by the operator of a zone: each test counts the queries that reach the victim.
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use deed_diagnosis::Reply;
use deed_probe::ProbeConfig;
use deed_testkit::NetworkNamespace;
use hickory_proto::op::ResponseCode;

use crate::internet::{CheckedZone, Daemon, InternetPlan, at, check, value};
use crate::scripted_server::{ScriptedQuery, ScriptedReply, ScriptedServer, address, cname, ns, txt};
use crate::trap_sockets::TrapSockets;

/// The most queries, and milliseconds, of one check.
const QUERIES: u32 = 60;
const TIME: u32 = 20_000;

#[track_caller]
pub fn assert_bounded(checked: &CheckedZone) {
    assert!(checked.seen.queries <= QUERIES && checked.seen.took_ms <= TIME, "{:#?}", checked.seen);
    assert_ne!(checked.code(), "proven", "{:#?}", checked.seen);
}

/// The delegation of a zone to one server, with its address.
pub fn delegation(block: u8, domain: &str, last: u8) -> String {
    format!("{domain}. NS ns.{domain}.\nns.{domain}. A {}", at(block, last))
}

fn short_timeouts(config: &mut ProbeConfig) {
    config.udp_timeout = Duration::from_millis(400);
    config.tcp_timeout = Duration::from_millis(800);
}

/// A zone lists thirty name servers without glue below the victim's zone: resolving each would query the victim.
#[tokio::test]
async fn limits_queries_for_glueless_name_servers() {
    let mut fan = String::new();
    for i in 0..30 {
        let _ = writeln!(fan, "fan.com. NS ns{i}.sub{i}.victim.com.");
    }
    let internet = InternetPlan::in_block(10).com(&fan).com(&delegation(10, "victim.com", 41)).start();
    let victim = ScriptedServer::listen(internet.at(41), nxdomain).await;
    let checked = check(&internet.prober(), "fan.com").await;
    assert_bounded(&checked);
    // Four names are resolved, and they share what is cached about the victim's zone.
    assert!((1..=16).contains(&victim.received()), "{} questions: {:#?}", victim.received(), checked.seen);
    assert_eq!(checked.code(), "ns_without_address");
}

/// Each zone in a chain of aliases lists name servers that do not exist, all below the victim's zone.
#[tokio::test]
async fn limits_queries_along_alias_chain() {
    let mut com = String::new();
    for link in 0..8 {
        let _ = writeln!(com, "{}", delegation(22, &format!("link{link}.com"), 41));
        for i in 0..12 {
            let _ = writeln!(com, "link{link}.com. NS ns{i}.sub{link}-{i}.victim.com.");
        }
    }
    let internet = InternetPlan::in_block(22).com(&com).com(&delegation(22, "victim.com", 42)).start();
    let _chain = ScriptedServer::listen(internet.at(41), |query| {
        let name = query.name();
        let link = name.strip_prefix("_deed.link").and_then(|rest| rest.strip_suffix(".com"));
        match link.and_then(|link| link.parse::<u8>().ok()) {
            Some(7) => query.with([txt(&name, "v=spf1 -all")]),
            Some(link) => query.with([cname(&name, &format!("_deed.link{}.com", link + 1))]),
            None => nxdomain(query),
        }
    })
    .await;
    let victim = ScriptedServer::listen(internet.at(42), nxdomain).await;
    let checked = check(&internet.prober(), "link0.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.code(), "cname_elsewhere", "{:#?}", checked.seen);
    // Only the name servers of the first zone are resolved; the failures count for the next zones.
    assert!((1..=16).contains(&victim.received()), "{} questions: {:#?}", victim.received(), checked.seen);
}

#[tokio::test]
async fn stops_at_delegation_loops() {
    let internet = InternetPlan::in_block(11)
        .com("self.com. NS ns.self.com.")
        .com("one.com. NS ns.two.com.\ntwo.com. NS ns.one.com.")
        .com("a.com. NS ns.b.com.\nb.com. NS ns.c.com.\nc.com. NS ns.a.com.")
        .start();
    let prober = internet.prober();
    for domain in ["self.com", "one.com", "a.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert!(checked.seen.queries <= 30, "{domain}: {:#?}", checked.seen);
        assert_eq!(checked.code(), "ns_without_address", "{domain}: {:#?}", checked.seen);
    }
}

/// A server refers each query to a zone below, on the same server, without end.
#[tokio::test]
async fn stops_at_endless_delegations() {
    let internet = InternetPlan::in_block(12).com(&delegation(12, "deep.com", 41)).start();
    let server = ScriptedServer::listen(internet.at(41), |query| {
        let name = query.name();
        let server = format!("ns.{name}");
        query.referral(vec![ns(&name, &server)], vec![address(&server, at(12, 41).into())])
    })
    .await;
    let checked = check(&internet.prober(), "deep.com").await;
    assert_bounded(&checked);
    assert!(server.received() <= 20, "{}", server.received());
}

#[tokio::test]
async fn stops_at_alias_loops_and_endless_aliases() {
    let internet = InternetPlan::in_block(13)
        .domain("ping.com", &[Daemon::Nsd], "_deed CNAME _deed.pong.com.")
        .domain("pong.com", &[Daemon::Nsd], "_deed CNAME _deed.ping.com.")
        .com(&delegation(13, "chain.com", 41))
        .start();
    let server = ScriptedServer::listen(internet.at(41), |query| {
        let name = query.name();
        query.with([cname(&name, &format!("x{name}"))])
    })
    .await;
    let prober = internet.prober();
    for domain in ["ping.com", "chain.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert_eq!(checked.code(), "cname_loop", "{domain}: {:#?}", checked.seen);
        assert!(checked.seen.aliases.len() <= 9);
    }
    assert!(server.received() <= 20, "{}", server.received());
}

/// Headers that announce 65,535 records in each section, answers truncated over TCP too, and slow connections.
#[tokio::test]
async fn rejects_wrong_record_counts_and_cut_answers() {
    let internet = InternetPlan::in_block(14)
        .com(&delegation(14, "counts.com", 41))
        .com(&delegation(14, "cut.com", 42))
        .com(&delegation(14, "drip.com", 43))
        .start();
    let claim = |query: &ScriptedQuery| {
        let ScriptedReply::Answer(message) = query.with([txt(&query.name(), &value())]) else {
            unreachable!()
        };
        let mut bytes = message.to_vec().unwrap();
        bytes[6..12].fill(0xff);
        ScriptedReply::Raw(bytes)
    };
    let _counts = ScriptedServer::listen(internet.at(41), claim).await;
    // Truncated over UDP and TCP.
    let cut = ScriptedServer::listen(internet.at(42), ScriptedQuery::truncated).await;
    let drip = ScriptedServer::listen(internet.at(43), |query| {
        if !query.tcp {
            return query.truncated();
        }
        let ScriptedReply::Answer(message) = query.with([txt(&query.name(), &value())]) else {
            unreachable!()
        };
        ScriptedReply::Drip(message.to_vec().unwrap(), Duration::from_millis(300))
    })
    .await;
    let prober = internet.prober_with(short_timeouts);
    for domain in ["counts.com", "cut.com", "drip.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert!(checked.outcome.code().is_some_and(|code| !code.is_absence()), "{domain}: {checked:#?}");
    }
    assert!(cut.received() <= 12 && drip.received() <= 12, "{} and {}", cut.received(), drip.received());
}

/// Addresses that are not public, to which a socket can be bound.
const BLOCKED: [&str; 22] = [
    "127.66.6.6",
    "127.0.0.1",
    "10.1.2.3",
    "172.16.1.1",
    "172.31.255.254",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "::1",
    "64:ff9b::7f42:606",
    "100::1",
    "2001:db8::1",
    "2002:7f42:606::1",
    "fd00:ec2::254",
    "fec0::1",
];
/// Addresses that are not public, to which no socket can be bound, although datagrams to them arrive: at all local
/// addresses, at a multicast group, or at one of the addresses above.
const BLOCKED_UNBINDABLE: [&str; 5] =
    ["0.0.0.0", "224.0.0.251", "255.255.255.255", "::ffff:127.66.6.6", "fe80::1"];
/// Public addresses, at which queries have to arrive.
const PUBLIC: [&str; 2] = ["9.9.9.9", "2620:fe::fe"];

/// Each address is given as glue. In a network namespace where every address is local, a socket listens at each.
#[tokio::test]
async fn sends_nothing_to_blocked_addresses() {
    const NAME: &str = "attacks::sends_nothing_to_blocked_addresses";
    let Some(_network) = NetworkNamespace::enter(NAME) else { return };
    // IPv6 may be missing on the machine.
    let has_v6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    let parse = |list: &[&str]| -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).filter(|ip: &IpAddr| has_v6 || ip.is_ipv4()).collect()
    };
    let (blocked, public) = (parse(&BLOCKED), parse(&PUBLIC));
    let all = [blocked.clone(), parse(&BLOCKED_UNBINDABLE), public.clone()].concat();
    let mut com = String::new();
    for (i, ip) in all.iter().enumerate() {
        let rtype = if ip.is_ipv6() { "AAAA" } else { "A" };
        let _ = writeln!(com, "n{i}.com. NS ns.n{i}.com.\nns.n{i}.com. {rtype} {ip}");
    }
    let internet = InternetPlan::in_block(15).com(&com).start();
    let traps = TrapSockets::bind(internet.port, &[blocked.clone(), public.clone()].concat());
    let prober = internet.prober_with(|config| {
        short_timeouts(config);
        config.ipv6 = deed_probe::Ipv6::On;
        // All servers of this test are in this network.
        config.allow_networks = vec!["127.53.15.0/24".parse().unwrap()];
    });
    for (i, ip) in all.iter().enumerate() {
        let checked = check(&prober, &format!("n{i}.com")).await;
        let received = traps.received();
        assert_bounded(&checked);
        if public.contains(ip) {
            assert!(!received.is_empty() && received.iter().all(|at| at.ip() == *ip), "{ip}: {received:?}");
            continue;
        }
        assert_eq!(received, [], "{ip}: {:#?}", checked.seen);
        assert_eq!(checked.code(), "blocked_address", "{ip}: {:#?}", checked.seen);
        assert!(checked.seen.servers.iter().all(|s| s.reply == Reply::Blocked), "{ip}: {:#?}", checked.seen);
    }
    traps.assert_receiving(&blocked);
    traps.assert_receiving(&parse(&["0.0.0.0", "224.0.0.251", "::ffff:127.0.0.1"]));
}

/// An attacker on the path answers every datagram; TCP connections reach the real server.
#[tokio::test]
async fn forged_datagrams_prove_nothing() {
    let internet = InternetPlan::in_block(16)
        .com(&delegation(16, "forged.com", 41))
        .com(&delegation(16, "hidden.com", 42))
        .start();
    let forged = |query: &ScriptedQuery| {
        if query.tcp { nxdomain(query) } else { query.with([txt(&query.name(), &value())]) }
    };
    let hidden = |query: &ScriptedQuery| {
        if query.tcp { query.with([txt(&query.name(), &value())]) } else { nxdomain(query) }
    };
    let _one = ScriptedServer::listen(internet.at(41), forged).await;
    let _other = ScriptedServer::listen(internet.at(42), hidden).await;
    let checked = check(&internet.prober(), "forged.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.code(), "inconsistent_servers", "{checked:#?}");
    // A forged NXDOMAIN does not cost a holder its name.
    let mut question = crate::internet::question("hidden.com");
    question.confirm_absence = true;
    let seen = internet.prober().probe(question).await;
    let outcome = deed_diagnosis::judge(&crate::internet::challenge("hidden.com"), &seen);
    assert!(!outcome.is_absence(), "{outcome:?} {seen:#?}");
}

pub fn nxdomain(query: &ScriptedQuery) -> ScriptedReply {
    let mut answer = query.answer();
    answer.metadata.response_code = ResponseCode::NXDomain;
    let name = query.name();
    let owner: Vec<&str> = name.split('.').collect();
    let owner = owner[owner.len().saturating_sub(2)..].join(".");
    answer.authorities.push(crate::scripted_server::soa(&owner));
    ScriptedReply::Answer(answer)
}

/// Answers without the AA flag, as open resolvers and stale secondaries give them.
#[tokio::test]
async fn non_authoritative_answers_prove_nothing() {
    let internet = InternetPlan::in_block(20)
        .com(&delegation(20, "heard.com", 41))
        .com(&delegation(20, "gone.com", 42))
        .start();
    let without_authority = |reply: ScriptedReply| {
        let ScriptedReply::Answer(mut message) = reply else { unreachable!() };
        message.metadata.authoritative = false;
        ScriptedReply::Answer(message)
    };
    let _heard = ScriptedServer::listen(internet.at(41), move |query| {
        without_authority(query.with([txt(&query.name(), &value())]))
    })
    .await;
    let _gone =
        ScriptedServer::listen(internet.at(42), move |query| without_authority(nxdomain(query))).await;
    let prober = internet.prober();
    for domain in ["heard.com", "gone.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert_eq!(checked.code(), "lame_delegation", "{domain}: {:#?}", checked.seen);
        assert!(!checked.outcome.is_absence());
    }
}

/// Eight servers and eight aliases, each looked up at each server: more queries than the budget of a check.
#[tokio::test]
async fn stops_at_query_budget() {
    let mut com = String::new();
    for i in 0..8 {
        let _ = writeln!(com, "dear.com. NS ns{i}.dear.com.\nns{i}.dear.com. A {}", at(21, 41 + i));
    }
    let internet = InternetPlan::in_block(21).com(&com).start();
    let mut servers = vec![];
    for i in 0..8 {
        let server = ScriptedServer::listen(internet.at(41 + i), |query| {
            let name = query.name();
            // The value is at the end of the chain.
            let passed = name.bytes().take_while(|byte| *byte == b'x').count();
            let end = passed == 8;
            query.with([if end { txt(&name, &value()) } else { cname(&name, &format!("x{name}")) }])
        });
        servers.push(server.await);
    }
    let checked = check(&internet.prober(), "dear.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.code(), "budget_exhausted", "{:#?}", checked.seen);
    let received: usize = servers.iter().map(ScriptedServer::received).sum();
    assert!(received < 60 && checked.seen.queries == QUERIES, "{received}: {:#?}", checked.seen);
}

/// Thirteen servers that never answer: the check ends in time with the code `timeout`.
#[tokio::test]
async fn silent_servers_cost_bounded_time() {
    let mut com = String::new();
    for i in 0..13 {
        let _ = writeln!(com, "silent.com. NS ns{i}.silent.com.\nns{i}.silent.com. A {}", at(18, 41 + i));
    }
    let internet = InternetPlan::in_block(18).com(&com).start();
    let mut servers = vec![];
    for i in 0..13 {
        servers.push(ScriptedServer::listen(internet.at(41 + i), |_| ScriptedReply::NoReply).await);
    }
    let prober = internet.prober_with(|config| {
        let usual = ProbeConfig::default();
        (config.udp_timeout, config.tcp_timeout) = (usual.udp_timeout, usual.tcp_timeout);
    });
    let checked = check(&prober, "silent.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.code(), "timeout");
    let queried = servers.iter().filter(|server| server.received() > 0).count();
    assert_eq!(queried, 8, "{:#?}", checked.seen);
    let most = servers.iter().map(ScriptedServer::received).max();
    assert!(most <= Some(6), "at most three sends for each transport, {most:?} arrived");
}
