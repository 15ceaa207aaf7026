//! Domains that are not delegated, and networks that are down.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deed_diagnosis::{NetworkFault, Observation, ProbeFailure, Reply, Transport};
use deed_probe::{Probe, Prober, Question};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Record, RecordType};

use crate::records::{Zones, a, ns, soa, txt};
use crate::world::{Behaviour, ONE, ReceivedQuery, ScriptedServers, with_value};

const AT: &str = "_deed.acme.test";

async fn probe_at(prober: &Prober, name: &str, apex: Option<&str>) -> Observation {
    let question = Question {
        name: name.into(),
        looking_for: vec![b"v".to_vec()],
        confirm_absence: true,
        apex: apex.map(str::to_owned),
        route: None,
    };
    prober.probe(question).await
}

fn other_zone() -> Vec<Record> {
    vec![ns("other.test", "ns1.other.test"), a("ns1.other.test", "127.0.0.4")]
}

fn not_delegated(zone: &str) -> ProbeFailure {
    ProbeFailure::NotDelegated(zone.to_owned())
}

#[tokio::test]
async fn confirms_denied_delegation_by_second_lookup() {
    let world = ScriptedServers::default().parents_with(other_zone()).listen().await;
    let prober = world.prober();
    // Also in the next probe: a denial is not cached, since the domain may be registered the next moment.
    for _ in 0..2 {
        let seen = probe_at(&prober, AT, Some("acme.test")).await;
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
async fn reports_tld_denied_by_root() {
    let world = ScriptedServers::default().parents(ONE).listen().await;
    let seen = probe_at(&world.prober(), "_deed.acme.tost", Some("acme.tost")).await;
    assert_eq!(seen.failure, Some(not_delegated(".")));
}

#[tokio::test]
async fn confirms_resolvers_denial_at_parent_servers() {
    let resolver = |s: &ReceivedQuery| -> Behaviour {
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
    let world =
        ScriptedServers::default().zones("127.0.0.3", parent).with("127.0.0.53", resolver).listen().await;
    let at = world.at("127.0.0.53");
    let prober = world.prober_with(|c| {
        c.resolvers = vec![at];
        c.delegation = deed_probe::DelegationSource::FromResolver;
        c.validation = deed_probe::ValidationMode::Off;
        c.ipv6 = deed_probe::Ipv6::Off;
    });
    let seen = probe_at(&prober, AT, Some("acme.test")).await;
    assert_eq!(seen.failure, Some(not_delegated("test")), "{seen:?}");
    assert_eq!(seen.servers[0].server, "ns.test");
}

#[tokio::test]
async fn missing_name_in_domain_is_not_missing_delegation() {
    // Below the domain, and in a parent zone that holds the domain itself.
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", with_value("x")).listen().await;
    let seen = probe_at(&world.prober(), "_deed.www.acme.test", Some("acme.test")).await;
    assert_eq!((seen.failure, seen.zone.as_deref()), (None, Some("acme.test")));
    let world = ScriptedServers::default().parents_with(vec![a("acme.test", "192.0.2.1")]).listen().await;
    let seen = probe_at(&world.prober(), AT, Some("acme.test")).await;
    assert_eq!((seen.failure, seen.zone.as_deref()), (None, Some("test")));
    // Without the apex it is unknown what is denied.
    let world = ScriptedServers::default().parents_with(other_zone()).listen().await;
    assert_eq!(probe_at(&world.prober(), AT, None).await.failure, None);
}

#[tokio::test]
async fn single_lying_parent_server_cannot_deny_domain() {
    let servers = ["127.0.0.3", "127.0.0.5", "127.0.0.6"];
    let root: Vec<Record> = servers
        .iter()
        .enumerate()
        .flat_map(|(i, at)| {
            let name = format!("ns{i}.test");
            [ns("test", &name), a(&name, at)]
        })
        .collect();
    let lying = |s: &ReceivedQuery| -> Behaviour {
        let mut reply = s.message.clone().into_response();
        reply.metadata.authoritative = true;
        reply.metadata.response_code = ResponseCode::NXDomain;
        reply.authorities = vec![soa("test")];
        reply.into()
    };
    let test = || {
        Zones::default().with("test", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")])
    };
    let world = ScriptedServers::default()
        .zones("127.0.0.2", Zones::default().with(".", root))
        .with("127.0.0.3", lying)
        .zones("127.0.0.5", test())
        .zones("127.0.0.6", test())
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    // Whichever server is queried first: each probe starts with another.
    for _ in 0..8 {
        let seen = probe_at(&world.prober(), AT, Some("acme.test")).await;
        assert_eq!(seen.failure, None, "{seen:?}");
        assert_eq!(crate::world::values(&seen.servers[0]), ["v"]);
    }
}

#[tokio::test]
async fn exposes_forged_udp_denial_by_second_lookup() {
    let test = Zones::default()
        .with("test", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let empty = Zones::default().with("test", other_zone());
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = ScriptedServers::default()
        .zones("127.0.0.2", root)
        .with("127.0.0.3", move |s| {
            if s.tcp { test.answer(&s.message).into() } else { empty.answer(&s.message).into() }
        })
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = probe_at(&world.prober(), AT, Some("acme.test")).await;
    assert_eq!(seen.failure, Some(not_delegated("test")));
    assert_eq!(crate::world::values(&seen.confirmation.repeated.unwrap()[0]), ["v"]);
}

#[tokio::test]
async fn tells_silent_zone_from_network_outage() {
    let up = Arc::new(AtomicBool::new(true));
    let root =
        Zones::default().with(".", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let switch = Arc::clone(&up);
    let world = ScriptedServers::default()
        .with("127.0.0.2", move |s| {
            if switch.load(Ordering::Relaxed) { root.answer(&s.message).into() } else { Behaviour::Close }
        })
        .with("127.0.0.4", |_| Behaviour::Close)
        .listen()
        .await;
    let prober = world.impatient_prober();
    // The delegation is found, and then cached, so that no other server answers.
    for asked in [0, 1] {
        let seen = probe_at(&prober, AT, Some("acme.test")).await;
        assert_eq!(seen.failure, None);
        assert!(matches!(seen.servers[0].reply, Reply::Fault(NetworkFault::Timeout)), "{seen:?}");
        let canary = world.queries().iter().filter(|s| s.is(".", RecordType::NS)).count();
        assert_eq!(canary, asked);
    }
    assert!(!prober.canary_failing().await);
    up.store(false, Ordering::Relaxed);
    let prober = world.impatient_prober();
    let seen = probe_at(&prober, AT, Some("acme.test")).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert!(seen.queries > 1, "the canary is counted");
    assert!(prober.canary_failing().await);
}

#[tokio::test(start_paused = true)]
async fn shares_canary_result_for_some_seconds() {
    // No server listens at the root: the system reports it at once, and the clock need not move.
    let config = deed_probe::ProbeConfig {
        port: free_port(),
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        roots: vec![deed_probe::RootHint { name: "root".into(), addr: [127, 0, 0, 9].into() }],
        ..deed_probe::ProbeConfig::default()
    };
    let prober = Prober::new(config).unwrap();
    assert!(!prober.canary_failing().await, "nothing was asked yet");
    let looks = futures::future::join_all((0..8).map(|_| probe_at(&prober, AT, None))).await;
    let counts: Vec<u32> = looks.iter().map(|seen| seen.queries).collect();
    assert!(looks.iter().all(|seen| matches!(seen.failure, Some(ProbeFailure::Canary(_)))), "{looks:?}");
    let least = counts.iter().min().unwrap();
    assert_eq!(counts.iter().filter(|count| *count > least).count(), 1, "one of them asked: {counts:?}");
    assert!(prober.canary_failing().await);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(prober.canary_failing().await, "it was asked anew and fails still");
}

/// A port without a listener.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.9:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn finds_configured_canary_through_its_parents() {
    let down = |s: &ReceivedQuery| s.is("up.test", RecordType::NS);
    let root = Zones::default().with(
        ".",
        vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4"), txt("up.test", "x")],
    );
    let world = ScriptedServers::default()
        .zones("127.0.0.2", root)
        .with("127.0.0.4", |_| Behaviour::Close)
        .listen()
        .await;
    for (canary, stands) in [("up.test", true), ("down.test", false)] {
        let prober = world.impatient_prober_with(|c| c.canary = Some(canary.to_owned()));
        probe_at(&prober, AT, None).await;
        // By now the delegation is cached.
        let seen = probe_at(&prober, AT, None).await;
        assert_eq!(seen.failure.is_none(), stands, "{seen:?}");
    }
    assert!(world.queries().iter().any(down));
}
