//! Domains that are not delegated, and networks that are not there.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deed_claims::{NetworkFault, Observation, ProbeFailure, Reply, Transport};
use deed_probe::{Look, Prober, Question};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Record, RecordType};

use crate::records::{Zones, a, ns, soa, txt};
use crate::world::{Cast, ONE, Play, Seen, with_value};

const AT: &str = "_deed.acme.test";

async fn look_at(prober: &Prober, name: &str, apex: Option<&str>) -> Observation {
    let question = Question {
        name: name.into(),
        looking_for: vec![b"v".to_vec()],
        confirm_absence: true,
        apex: apex.map(str::to_owned),
        route: None,
    };
    prober.look(question).await
}

fn other_zone() -> Vec<Record> {
    vec![ns("other.test", "ns1.other.test"), a("ns1.other.test", "127.0.0.4")]
}

fn not_delegated(zone: &str) -> ProbeFailure {
    ProbeFailure::NotDelegated(zone.to_owned())
}

#[tokio::test]
async fn a_domain_that_its_parent_denies_is_not_delegated_and_that_is_asked_twice() {
    let world = Cast::default().parents_with(other_zone()).listen().await;
    let prober = world.prober();
    // Also when it is asked again: a denial is not remembered, since the domain may be registered the next moment.
    for _ in 0..2 {
        let seen = look_at(&prober, AT, Some("acme.test")).await;
        assert_eq!((seen.failure.clone(), seen.zone.as_deref()), (Some(not_delegated("test")), Some("test")));
        let row = &seen.servers[0];
        let Reply::Message { rcode: 3, authoritative: true, soa: Some(soa), .. } = &row.reply else {
            panic!("{seen:?}")
        };
        assert_eq!((row.server.as_str(), soa.owner.as_str()), ("ns.test", "test"));
        let again = seen.confirmation.repeated.as_deref().unwrap();
        assert!(matches!(again[0].reply, Reply::Message { rcode: 3, soa: Some(_), .. }), "{again:?}");
        assert_eq!((again.len(), again[0].transport), (1, Transport::Tcp));
    }
}

#[tokio::test]
async fn a_top_level_domain_that_does_not_exist_is_denied_by_the_root() {
    let world = Cast::default().parents(ONE).listen().await;
    let seen = look_at(&world.prober(), "_deed.acme.tost", Some("acme.tost")).await;
    assert_eq!(seen.failure, Some(not_delegated(".")));
}

#[tokio::test]
async fn what_a_resolver_denies_is_asked_of_the_parents_servers() {
    let resolver = |s: &Seen| -> Play {
        let zone = Zones::default()
            .with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3"), txt("test", "x")]);
        if s.is("test", RecordType::NS) {
            let mut reply = s.message.clone().into_response();
            reply.edns = None;
            reply.answers = vec![ns("test", "ns.test")];
            return reply.into();
        }
        if s.is("acme.test", RecordType::NS) {
            return Zones::default().with("test", other_zone()).answer(&s.message).into();
        }
        let mut reply = zone.answer(&s.message);
        reply.answers = vec![a("ns.test", "127.0.0.3")];
        reply.authorities.clear();
        reply.into()
    };
    let parent = Zones::default().with("test", other_zone());
    let world = Cast::default().zones("127.0.0.3", parent).with("127.0.0.53", resolver).listen().await;
    let at = world.at("127.0.0.53");
    let prober = world.prober_with(|c| {
        c.resolvers = vec![at];
        c.delegation = deed_probe::DelegationSource::FromResolver;
        c.validation = deed_probe::ValidationMode::Off;
        c.ipv6 = deed_probe::Ipv6::Off;
    });
    let seen = look_at(&prober, AT, Some("acme.test")).await;
    assert_eq!(seen.failure, Some(not_delegated("test")), "{seen:?}");
    assert_eq!(seen.servers[0].server, "ns.test");
}

#[tokio::test]
async fn names_that_are_missing_within_a_domain_are_just_missing() {
    // Below the domain, and in a parent zone that holds the domain itself.
    let world = Cast::default().parents(ONE).zones("127.0.0.4", with_value("x")).listen().await;
    let seen = look_at(&world.prober(), "_deed.www.acme.test", Some("acme.test")).await;
    assert_eq!((seen.failure, seen.zone.as_deref()), (None, Some("acme.test")));
    let world = Cast::default().parents_with(vec![a("acme.test", "192.0.2.1")]).listen().await;
    let seen = look_at(&world.prober(), AT, Some("acme.test")).await;
    assert_eq!((seen.failure, seen.zone.as_deref()), (None, Some("test")));
    // Without the domain nobody knows what is denied.
    let world = Cast::default().parents_with(other_zone()).listen().await;
    assert_eq!(look_at(&world.prober(), AT, None).await.failure, None);
}

#[tokio::test]
async fn one_server_of_the_parent_that_lies_does_not_take_a_domain_away() {
    let servers = ["127.0.0.3", "127.0.0.5", "127.0.0.6"];
    let root: Vec<Record> = servers
        .iter()
        .enumerate()
        .flat_map(|(i, at)| {
            let name = format!("ns{i}.test");
            [ns("test", &name), a(&name, at)]
        })
        .collect();
    let lying = |s: &Seen| -> Play {
        let mut reply = s.message.clone().into_response();
        reply.metadata.authoritative = true;
        reply.metadata.response_code = ResponseCode::NXDomain;
        reply.authorities = vec![soa("test")];
        reply.into()
    };
    let test = || {
        Zones::default().with("test", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")])
    };
    let world = Cast::default()
        .zones("127.0.0.2", Zones::default().with(".", root))
        .with("127.0.0.3", lying)
        .zones("127.0.0.5", test())
        .zones("127.0.0.6", test())
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    // Whichever is asked first: each look begins with another.
    for _ in 0..8 {
        let seen = look_at(&world.prober(), AT, Some("acme.test")).await;
        assert_eq!(seen.failure, None, "{seen:?}");
        assert_eq!(crate::world::values(&seen.servers[0]), ["v"]);
    }
}

#[tokio::test]
async fn a_denial_that_only_datagrams_told_is_seen_in_the_repetition() {
    let test = Zones::default()
        .with("test", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let empty = Zones::default().with("test", other_zone());
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = Cast::default()
        .zones("127.0.0.2", root)
        .with("127.0.0.3", move |s| {
            if s.tcp { test.answer(&s.message).into() } else { empty.answer(&s.message).into() }
        })
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = look_at(&world.prober(), AT, Some("acme.test")).await;
    assert_eq!(seen.failure, Some(not_delegated("test")));
    assert_eq!(crate::world::values(&seen.confirmation.repeated.unwrap()[0]), ["v"]);
}

#[tokio::test]
async fn a_zone_that_is_silent_is_told_from_a_network_that_is() {
    let up = Arc::new(AtomicBool::new(true));
    let root =
        Zones::default().with(".", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let switch = Arc::clone(&up);
    let world = Cast::default()
        .with("127.0.0.2", move |s| {
            if switch.load(Ordering::Relaxed) { root.answer(&s.message).into() } else { Play::Silence }
        })
        .with("127.0.0.4", |_| Play::Silence)
        .listen()
        .await;
    let prober = world.hasty();
    // The delegation is found, and then remembered, so that nobody else is heard.
    for asked in [0, 1] {
        let seen = look_at(&prober, AT, Some("acme.test")).await;
        assert_eq!(seen.failure, None);
        assert!(matches!(seen.servers[0].reply, Reply::Fault(NetworkFault::Timeout)), "{seen:?}");
        let canary = world.seen().iter().filter(|s| s.is(".", RecordType::NS)).count();
        assert_eq!(canary, asked);
    }
    assert!(!prober.canary_failing().await);
    up.store(false, Ordering::Relaxed);
    let prober = world.hasty();
    let seen = look_at(&prober, AT, Some("acme.test")).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert!(seen.queries > 1, "the canary is counted");
    assert!(prober.canary_failing().await);
}

#[tokio::test(start_paused = true)]
async fn the_canary_is_asked_once_for_a_crowd_and_again_after_some_seconds() {
    // Nothing listens at the root: the system says so at once, and the clock need not move.
    let config = deed_probe::ProbeConfig {
        port: free_port(),
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        roots: vec![deed_probe::RootHint { name: "root".into(), addr: [127, 0, 0, 9].into() }],
        ..deed_probe::ProbeConfig::default()
    };
    let prober = Prober::new(config).unwrap();
    assert!(!prober.canary_failing().await, "nothing was asked yet");
    let looks = futures::future::join_all((0..8).map(|_| look_at(&prober, AT, None))).await;
    let counts: Vec<u32> = looks.iter().map(|seen| seen.queries).collect();
    assert!(looks.iter().all(|seen| matches!(seen.failure, Some(ProbeFailure::Canary(_)))), "{looks:?}");
    let least = counts.iter().min().unwrap();
    assert_eq!(counts.iter().filter(|count| *count > least).count(), 1, "one of them asked: {counts:?}");
    assert!(prober.canary_failing().await);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(prober.canary_failing().await, "it was asked anew and fails still");
}

/// A port at which nothing listens.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.9:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn another_canary_is_asked_for_through_its_parents() {
    let down = |s: &Seen| s.is("up.test", RecordType::NS);
    let root = Zones::default().with(
        ".",
        vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4"), txt("up.test", "x")],
    );
    let world = Cast::default().zones("127.0.0.2", root).with("127.0.0.4", |_| Play::Silence).listen().await;
    for (canary, stands) in [("up.test", true), ("down.test", false)] {
        let prober = world.hasty_with(|c| c.canary = Some(canary.to_owned()));
        look_at(&prober, AT, None).await;
        // By now the delegation is remembered.
        let seen = look_at(&prober, AT, None).await;
        assert_eq!(seen.failure.is_none(), stands, "{seen:?}");
    }
    assert!(world.seen().iter().any(down));
}
