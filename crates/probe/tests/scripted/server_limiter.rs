//! Limits per server: one rate for all probes together, and a breaker after time-outs. Counted at the server.
use std::time::Duration;

use deed_diagnosis::{NetworkFault, ProbeFailure, Reply};
use futures::future::join_all;
use tokio::time::Instant;

use crate::records::{Zones, txt};
use crate::world::{Behaviour, ONE, ScriptedServers, World, probe, with_value};

const AT: &str = "_deed.acme.test";
const SERVER: &str = "127.0.0.4";

fn is(reply: &Reply, fault: NetworkFault) -> bool {
    *reply == Reply::Fault(fault)
}

#[tokio::test]
async fn limits_query_rate_per_server() {
    let world = ScriptedServers::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| {
        (c.server_rate, c.server_burst) = (10, 5);
        c.budgets.time = Duration::from_secs(1);
    });
    let started = Instant::now();
    let answers = join_all((0..200).map(|_| prober.query_one(world.at(SERVER), AT))).await;
    let seconds = started.elapsed().as_secs() + 1;
    let asked = world.query_count(SERVER);
    assert!(asked >= 5 && asked as u64 <= 5 + 10 * seconds, "{asked} in {seconds} s");
    let heard = answers.iter().filter(|a| matches!(a.reply, Reply::Message { .. })).count();
    let ours = answers.iter().filter(|a| is(&a.reply, NetworkFault::Internal)).count();
    assert_eq!(heard + ours, 200, "nobody else is to blame");
    assert!(heard >= 5);
}

#[tokio::test]
async fn fails_internally_when_rate_limit_exceeds_time() {
    let world = ScriptedServers::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| {
        (c.server_rate, c.server_burst) = (1, 1);
        c.budgets.time = Duration::from_millis(900);
    });
    assert_eq!(probe(&prober, AT).await.failure, None);
    let seen = probe(&prober, AT).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Internal(_))), "{seen:?}");
    assert_eq!((world.query_count(SERVER), seen.queries), (1, 0), "and it has not been paid for");
}

#[tokio::test]
async fn waits_for_slot_in_time() {
    let world = ScriptedServers::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| (c.server_rate, c.server_burst) = (20, 1));
    let started = Instant::now();
    let answers = join_all((0..5).map(|_| prober.query_one(world.at(SERVER), AT))).await;
    assert!(answers.iter().all(|a| matches!(a.reply, Reply::Message { .. })));
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
}

#[tokio::test]
async fn does_not_limit_configured_servers() {
    let world = ScriptedServers::default()
        .zones("127.0.0.2", Zones::default().with(".", vec![txt("_deed", "v")]))
        .listen()
        .await;
    let prober = world.prober_with(|c| {
        (c.server_rate, c.server_burst) = (1, 1);
        c.budgets.time = Duration::from_secs(10);
    });
    for seen in join_all((0..30).map(|_| probe(&prober, "_deed"))).await {
        assert_eq!((seen.failure, seen.servers.len()), (None, 1));
    }
    assert_eq!(world.query_count("127.0.0.2"), 30);
}

/// One server that never answers, one that does.
async fn silent() -> World {
    ScriptedServers::default()
        .with("127.0.0.5", |_| Behaviour::Ignore)
        .zones(SERVER, with_value("v"))
        .listen()
        .await
}

fn limited_prober(world: &World) -> deed_probe::Prober {
    world.impatient_prober_with(|c| {
        (c.server_rate, c.server_burst) = (1000, 1000);
        (c.udp_timeout, c.tcp_timeout) = (Duration::from_millis(500), Duration::from_millis(500));
        c.udp_tries = 1;
    })
}

#[tokio::test]
async fn stops_querying_silent_server() {
    let world = silent().await;
    let prober = limited_prober(&world);
    let (good, dead) = (world.at(SERVER), world.at("127.0.0.5"));
    assert!(matches!(prober.query_one(good, AT).await.reply, Reply::Message { .. }));
    for answer in join_all((0..5).map(|_| prober.query_one(dead, AT))).await {
        assert!(is(&answer.reply, NetworkFault::Timeout));
    }
    let asked = world.query_count("127.0.0.5");
    assert!(
        (10..=15).contains(&asked),
        "{asked}: a datagram, perhaps one without EDNS, and a connection each"
    );
    let started = Instant::now();
    for answer in join_all((0..100).map(|_| prober.query_one(dead, AT))).await {
        assert!(is(&answer.reply, NetworkFault::Timeout));
    }
    assert_eq!(world.query_count("127.0.0.5"), asked, "nothing was sent");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(
        matches!(prober.query_one(good, AT).await.reply, Reply::Message { .. }),
        "others are asked as before"
    );
}

#[tokio::test]
async fn keeps_breaker_closed_while_network_may_be_down() {
    let world = silent().await;
    let prober = limited_prober(&world);
    for _ in 0..2 {
        let answers = join_all((0..8).map(|_| prober.query_one(world.at("127.0.0.5"), AT))).await;
        assert!(answers.iter().all(|a| is(&a.reply, NetworkFault::Timeout)));
    }
    // One datagram with EDNS, one without, and a connection each.
    assert_eq!(world.query_count("127.0.0.5"), 48, "it may be our own network");
}

#[tokio::test]
async fn skips_udp_for_server_known_to_answer_tcp_only() {
    let world = ScriptedServers::default()
        .with(SERVER, |s| if s.tcp { with_value("v").answer(&s.message).into() } else { Behaviour::Ignore })
        .listen()
        .await;
    let prober = limited_prober(&world);
    let datagrams = || world.queries().iter().filter(|s| !s.tcp).count();
    let ask = async |all| {
        let answers = join_all((0..all).map(|_| prober.query_one(world.at(SERVER), AT))).await;
        assert!(answers.iter().all(|a| matches!(a.reply, Reply::Message { .. })), "{answers:?}");
        datagrams()
    };
    // The first is not counted: no server had answered before.
    assert_eq!(ask(1).await, 2, "with EDNS and without");
    let sent = ask(5).await;
    assert!((7..=12).contains(&sent), "{sent}");
    for _ in 0..2 {
        assert_eq!(ask(3).await, sent, "no more datagrams");
    }
}
