//! What strangers' zones try to make us do, and how little of it we do: counted where it would arrive.
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use deed_claims::Reply;
use deed_probe::ProbeConfig;
use deed_testkit::NetworkNamespace;
use hickory_proto::op::ResponseCode;

use crate::scripted::{Asked, Play, Scripted, address, cname, ns, txt};
use crate::traps::Traps;
use crate::world::{By, Checked, Plan, at, check, value};

/// Most that one check may cost others.
const QUERIES: u32 = 60;
const TIME: u32 = 20_000;

#[track_caller]
pub fn assert_bounded(checked: &Checked) {
    assert!(checked.seen.queries <= QUERIES && checked.seen.took_ms <= TIME, "{:#?}", checked.seen);
    assert_ne!(checked.verdict(), "proven", "{:#?}", checked.seen);
}

/// A zone with one server, and its address.
pub fn delegation(block: u8, domain: &str, last: u8) -> String {
    format!("{domain}. NS ns.{domain}.\nns.{domain}. A {}", at(block, last))
}

fn hasty(config: &mut ProbeConfig) {
    config.udp_timeout = Duration::from_millis(400);
    config.tcp_timeout = Duration::from_millis(800);
}

/// One zone with thirty servers below another, none with an address: each asked for would be a question to the victim.
#[tokio::test]
async fn a_fan_of_name_servers_hardly_reaches_the_victim() {
    let mut fan = String::new();
    for i in 0..30 {
        let _ = writeln!(fan, "fan.com. NS ns{i}.sub{i}.victim.com.");
    }
    let internet = Plan::in_block(10).com(&fan).com(&delegation(10, "victim.com", 41)).start();
    let victim = Scripted::listen(internet.at(41), denial).await;
    let checked = check(&internet.prober(), "fan.com").await;
    assert_bounded(&checked);
    // Four names are resolved, and what is found out about one of them serves the others.
    assert!((1..=16).contains(&victim.arrived()), "{} questions: {:#?}", victim.arrived(), checked.seen);
    assert_eq!(checked.verdict(), "ns_without_address");
}

/// Along a chain of aliases, each zone names servers in the victim's that do not exist: every one would be looked for.
#[tokio::test]
async fn name_servers_made_up_at_each_alias_are_given_up_soon() {
    let mut com = String::new();
    for link in 0..8 {
        let _ = writeln!(com, "{}", delegation(22, &format!("link{link}.com"), 41));
        for i in 0..12 {
            let _ = writeln!(com, "link{link}.com. NS ns{i}.sub{link}-{i}.victim.com.");
        }
    }
    let internet = Plan::in_block(22).com(&com).com(&delegation(22, "victim.com", 42)).start();
    let _chain = Scripted::listen(internet.at(41), |asked| {
        let name = asked.name();
        let link = name.strip_prefix("_deed.link").and_then(|rest| rest.strip_suffix(".com"));
        match link.and_then(|link| link.parse::<u8>().ok()) {
            Some(7) => asked.with([txt(&name, "v=spf1 -all")]),
            Some(link) => asked.with([cname(&name, &format!("_deed.link{}.com", link + 1))]),
            None => denial(asked),
        }
    })
    .await;
    let victim = Scripted::listen(internet.at(42), denial).await;
    let checked = check(&internet.prober(), "link0.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.verdict(), "cname_elsewhere", "{:#?}", checked.seen);
    // Those of the first zone; by then it is known what they are worth.
    assert!((1..=16).contains(&victim.arrived()), "{} questions: {:#?}", victim.arrived(), checked.seen);
}

#[tokio::test]
async fn delegations_that_lead_back_to_themselves_end_soon() {
    let internet = Plan::in_block(11)
        .com("self.com. NS ns.self.com.")
        .com("one.com. NS ns.two.com.\ntwo.com. NS ns.one.com.")
        .com("a.com. NS ns.b.com.\nb.com. NS ns.c.com.\nc.com. NS ns.a.com.")
        .start();
    let prober = internet.prober();
    for domain in ["self.com", "one.com", "a.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert!(checked.seen.queries <= 30, "{domain}: {:#?}", checked.seen);
        assert_eq!(checked.verdict(), "ns_without_address", "{domain}: {:#?}", checked.seen);
    }
}

/// Each zone of a server refers to a deeper one on the same server, for ever.
#[tokio::test]
async fn delegations_without_an_end_are_left() {
    let internet = Plan::in_block(12).com(&delegation(12, "deep.com", 41)).start();
    let server = Scripted::listen(internet.at(41), |asked| {
        let name = asked.name();
        // Upwards, sideways and to itself, as the name has it.
        let server = format!("ns.{name}");
        asked.referral(vec![ns(&name, &server)], vec![address(&server, at(12, 41).into())])
    })
    .await;
    let checked = check(&internet.prober(), "deep.com").await;
    assert_bounded(&checked);
    assert!(server.arrived() <= 20, "{}", server.arrived());
}

#[tokio::test]
async fn aliases_in_circles_and_without_an_end_are_left() {
    let internet = Plan::in_block(13)
        .domain("ping.com", &[By::Nsd], "_deed CNAME _deed.pong.com.")
        .domain("pong.com", &[By::Nsd], "_deed CNAME _deed.ping.com.")
        .com(&delegation(13, "chain.com", 41))
        .start();
    let server = Scripted::listen(internet.at(41), |asked| {
        let name = asked.name();
        asked.with([cname(&name, &format!("x{name}"))])
    })
    .await;
    let prober = internet.prober();
    for domain in ["ping.com", "chain.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert_eq!(checked.verdict(), "cname_loop", "{domain}: {:#?}", checked.seen);
        assert!(checked.seen.aliases.len() <= 9);
    }
    assert!(server.arrived() <= 20, "{}", server.arrived());
}

/// Headers that claim 65,535 records in each section, and connections that never say the whole.
#[tokio::test]
async fn claims_of_thousands_of_records_are_no_answer() {
    let internet = Plan::in_block(14)
        .com(&delegation(14, "counts.com", 41))
        .com(&delegation(14, "cut.com", 42))
        .com(&delegation(14, "drip.com", 43))
        .start();
    let claim = |asked: &Asked| {
        let Play::Answer(message) = asked.with([txt(&asked.name(), &value())]) else { unreachable!() };
        let mut bytes = message.to_vec().unwrap();
        bytes[6..12].fill(0xff);
        Play::Raw(bytes)
    };
    let _counts = Scripted::listen(internet.at(41), claim).await;
    // Truncated on both transports.
    let cut = Scripted::listen(internet.at(42), Asked::truncated).await;
    let drip = Scripted::listen(internet.at(43), |asked| {
        if !asked.tcp {
            return asked.truncated();
        }
        let Play::Answer(message) = asked.with([txt(&asked.name(), &value())]) else { unreachable!() };
        Play::Drip(message.to_vec().unwrap(), Duration::from_millis(300))
    })
    .await;
    let prober = internet.prober_with(hasty);
    for domain in ["counts.com", "cut.com", "drip.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert!(checked.outcome.code().is_some_and(|code| !code.is_absence()), "{domain}: {checked:#?}");
    }
    assert!(cut.arrived() <= 12 && drip.arrived() <= 12, "{} and {}", cut.arrived(), drip.arrived());
}

/// Addresses that are not public and that anybody may have.
const REFUSED: [&str; 22] = [
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
/// The same to which nobody can bind a socket, though what is sent there arrives somewhere: at all of this machine's
/// addresses, at a group, at one of the addresses above.
const REFUSED_TOO: [&str; 5] = ["0.0.0.0", "224.0.0.251", "255.255.255.255", "::ffff:127.66.6.6", "fe80::1"];
/// Public ones, at which questions do arrive.
const PUBLIC: [&str; 2] = ["9.9.9.9", "2620:fe::fe"];

/// Each of them as glue. In a network where every address is this machine's, a trap stands at each.
#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_refused() {
    const NAME: &str = "attacks::nothing_is_sent_to_an_address_that_is_refused";
    let Some(_network) = NetworkNamespace::enter(NAME) else { return };
    // Not every machine has IPv6.
    let has_v6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    let parse = |list: &[&str]| -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).filter(|ip: &IpAddr| has_v6 || ip.is_ipv4()).collect()
    };
    let (refused, public) = (parse(&REFUSED), parse(&PUBLIC));
    let all = [refused.clone(), parse(&REFUSED_TOO), public.clone()].concat();
    let mut com = String::new();
    for (i, ip) in all.iter().enumerate() {
        let rtype = if ip.is_ipv6() { "AAAA" } else { "A" };
        let _ = writeln!(com, "n{i}.com. NS ns.n{i}.com.\nns.n{i}.com. {rtype} {ip}");
    }
    let internet = Plan::in_block(15).com(&com).start();
    let traps = Traps::set(internet.port, &[refused.clone(), public.clone()].concat());
    let prober = internet.prober_with(|config| {
        hasty(config);
        config.ipv6 = deed_probe::Ipv6::On;
        // No server of this internet is elsewhere.
        config.allow_networks = vec!["127.53.15.0/24".parse().unwrap()];
    });
    for (i, ip) in all.iter().enumerate() {
        let checked = check(&prober, &format!("n{i}.com")).await;
        let caught = traps.caught();
        assert_bounded(&checked);
        if public.contains(ip) {
            assert!(!caught.is_empty() && caught.iter().all(|at| at.ip() == *ip), "{ip}: {caught:?}");
            continue;
        }
        assert_eq!(caught, [], "{ip}: {:#?}", checked.seen);
        assert_eq!(checked.verdict(), "blocked_address", "{ip}: {:#?}", checked.seen);
        assert!(checked.seen.servers.iter().all(|s| s.reply == Reply::Blocked), "{ip}: {:#?}", checked.seen);
    }
    traps.assert_sharp(&refused);
    traps.assert_sharp(&parse(&["0.0.0.0", "224.0.0.251", "::ffff:127.0.0.1"]));
}

/// Alone on the path of datagrams, a forger is always first; the connection reaches the server itself.
#[tokio::test]
async fn a_forger_of_datagrams_proves_nothing() {
    let internet = Plan::in_block(16)
        .com(&delegation(16, "forged.com", 41))
        .com(&delegation(16, "hidden.com", 42))
        .start();
    let forged = |asked: &Asked| {
        if asked.tcp { denial(asked) } else { asked.with([txt(&asked.name(), &value())]) }
    };
    let hidden = |asked: &Asked| {
        if asked.tcp { asked.with([txt(&asked.name(), &value())]) } else { denial(asked) }
    };
    let _one = Scripted::listen(internet.at(41), forged).await;
    let _other = Scripted::listen(internet.at(42), hidden).await;
    let checked = check(&internet.prober(), "forged.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.verdict(), "inconsistent_servers", "{checked:#?}");
    // The other way round nothing can be taken away that somebody has.
    let mut question = crate::world::question("hidden.com");
    question.confirm_absence = true;
    let seen = internet.prober().probe(question).await;
    let outcome = deed_claims::judge(&crate::world::challenge("hidden.com"), &seen);
    assert!(!outcome.is_absence(), "{outcome:?} {seen:#?}");
}

pub fn denial(asked: &Asked) -> Play {
    let mut answer = asked.answer();
    answer.metadata.response_code = ResponseCode::NXDomain;
    let name = asked.name();
    let owner: Vec<&str> = name.split('.').collect();
    let owner = owner[owner.len().saturating_sub(2)..].join(".");
    answer.authorities.push(crate::scripted::soa(&owner));
    Play::Answer(answer)
}

/// Resolvers open to everybody, and servers with a copy of nobody knows what: they speak without authority.
#[tokio::test]
async fn hearsay_proves_nothing() {
    let internet =
        Plan::in_block(20).com(&delegation(20, "heard.com", 41)).com(&delegation(20, "gone.com", 42)).start();
    let hearsay = |play: Play| {
        let Play::Answer(mut message) = play else { unreachable!() };
        message.metadata.authoritative = false;
        Play::Answer(message)
    };
    let _heard =
        Scripted::listen(internet.at(41), move |asked| hearsay(asked.with([txt(&asked.name(), &value())])))
            .await;
    let _gone = Scripted::listen(internet.at(42), move |asked| hearsay(denial(asked))).await;
    let prober = internet.prober();
    for domain in ["heard.com", "gone.com"] {
        let checked = check(&prober, domain).await;
        assert_bounded(&checked);
        assert_eq!(checked.verdict(), "lame_delegation", "{domain}: {:#?}", checked.seen);
        assert!(!checked.outcome.is_absence());
    }
}

/// Eight servers and eight aliases, each of which is asked for at each of the servers: more than a check may ask.
#[tokio::test]
async fn what_costs_more_than_a_check_may_ask_is_left_there() {
    let mut com = String::new();
    for i in 0..8 {
        let _ = writeln!(com, "dear.com. NS ns{i}.dear.com.\nns{i}.dear.com. A {}", at(21, 41 + i));
    }
    let internet = Plan::in_block(21).com(&com).start();
    let mut servers = vec![];
    for i in 0..8 {
        let server = Scripted::listen(internet.at(41 + i), |asked| {
            let name = asked.name();
            // The value is there, for whoever goes all the way.
            let passed = name.bytes().take_while(|byte| *byte == b'x').count();
            let end = passed == 8;
            asked.with([if end { txt(&name, &value()) } else { cname(&name, &format!("x{name}")) }])
        });
        servers.push(server.await);
    }
    let checked = check(&internet.prober(), "dear.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.verdict(), "budget_exhausted", "{:#?}", checked.seen);
    let arrived: usize = servers.iter().map(Scripted::arrived).sum();
    assert!(arrived < 60 && checked.seen.queries == QUERIES, "{arrived}: {:#?}", checked.seen);
}

/// Thirteen servers that never answer: the check ends in time and says that nobody answered.
#[tokio::test]
async fn silent_servers_cost_the_time_that_is_set() {
    let mut com = String::new();
    for i in 0..13 {
        let _ = writeln!(com, "silent.com. NS ns{i}.silent.com.\nns{i}.silent.com. A {}", at(18, 41 + i));
    }
    let internet = Plan::in_block(18).com(&com).start();
    let mut servers = vec![];
    for i in 0..13 {
        servers.push(Scripted::listen(internet.at(41 + i), |_| Play::Silence).await);
    }
    let prober = internet.prober_with(|config| {
        let usual = ProbeConfig::default();
        (config.udp_timeout, config.tcp_timeout) = (usual.udp_timeout, usual.tcp_timeout);
    });
    let checked = check(&prober, "silent.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.verdict(), "timeout");
    let asked = servers.iter().filter(|server| server.arrived() > 0).count();
    assert_eq!(asked, 8, "{:#?}", checked.seen);
    let most = servers.iter().map(Scripted::arrived).max();
    assert!(most <= Some(6), "at most three sends for each transport, {most:?} arrived");
}
