//! What servers are spared: one rate for all looks together, and rest after silence. Counted where it arrives.
use std::time::Duration;

use deed_claims::{NetworkFault, ProbeFailure, Reply};
use futures::future::join_all;
use tokio::time::Instant;

use crate::records::{Zones, txt};
use crate::world::{Cast, ONE, Play, World, look, with_value};

const AT: &str = "_deed.acme.test";
const SERVER: &str = "127.0.0.4";

fn is(reply: &Reply, fault: NetworkFault) -> bool {
    *reply == Reply::Fault(fault)
}

#[tokio::test]
async fn a_crowd_of_questions_reaches_a_server_at_its_rate_and_the_rest_is_our_own_trouble() {
    let world = Cast::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| {
        (c.server_rate, c.server_burst) = (10, 5);
        c.budgets.time = Duration::from_secs(1);
    });
    let started = Instant::now();
    let answers = join_all((0..200).map(|_| prober.ask(world.at(SERVER), AT))).await;
    let seconds = started.elapsed().as_secs() + 1;
    let asked = world.asked(SERVER);
    assert!(asked >= 5 && asked as u64 <= 5 + 10 * seconds, "{asked} in {seconds} s");
    let heard = answers.iter().filter(|a| matches!(a.reply, Reply::Message { .. })).count();
    let ours = answers.iter().filter(|a| is(&a.reply, NetworkFault::Internal)).count();
    assert_eq!(heard + ours, 200, "nobody else is to blame");
    assert!(heard >= 5);
}

#[tokio::test]
async fn a_look_that_has_to_wait_too_long_for_its_turn_fails_for_our_reasons() {
    let world = Cast::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| {
        (c.server_rate, c.server_burst) = (1, 1);
        c.budgets.time = Duration::from_millis(900);
    });
    assert_eq!(look(&prober, AT).await.failure, None);
    let seen = look(&prober, AT).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Internal(_))), "{seen:?}");
    assert_eq!((world.asked(SERVER), seen.queries), (1, 0), "and it has not been paid for");
}

#[tokio::test]
async fn a_turn_that_comes_in_time_is_waited_for() {
    let world = Cast::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| (c.server_rate, c.server_burst) = (20, 1));
    let started = Instant::now();
    let answers = join_all((0..5).map(|_| prober.ask(world.at(SERVER), AT))).await;
    assert!(answers.iter().all(|a| matches!(a.reply, Reply::Message { .. })));
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
}

#[tokio::test]
async fn servers_of_our_own_configuration_are_asked_without_a_limit() {
    let world = Cast::default()
        .zones("127.0.0.2", Zones::default().with(".", vec![txt("_deed", "v")]))
        .listen()
        .await;
    let prober = world.prober_with(|c| {
        (c.server_rate, c.server_burst) = (1, 1);
        c.budgets.time = Duration::from_secs(10);
    });
    for seen in join_all((0..30).map(|_| look(&prober, "_deed"))).await {
        assert_eq!((seen.failure, seen.servers.len()), (None, 1));
    }
    assert_eq!(world.asked("127.0.0.2"), 30);
}

/// One server that never answers, one that does.
async fn silent() -> World {
    Cast::default().with("127.0.0.5", |_| Play::Ignore).zones(SERVER, with_value("v")).listen().await
}

fn hasty(world: &World) -> deed_probe::Prober {
    world.hasty_with(|c| {
        (c.server_rate, c.server_burst) = (1000, 1000);
        (c.udp_timeout, c.tcp_timeout) = (Duration::from_millis(500), Duration::from_millis(500));
        c.udp_tries = 1;
    })
}

#[tokio::test]
async fn a_server_that_stays_silent_is_left_alone() {
    let world = silent().await;
    let prober = hasty(&world);
    let (good, dead) = (world.at(SERVER), world.at("127.0.0.5"));
    assert!(matches!(prober.ask(good, AT).await.reply, Reply::Message { .. }));
    for answer in join_all((0..5).map(|_| prober.ask(dead, AT))).await {
        assert!(is(&answer.reply, NetworkFault::Timeout));
    }
    let asked = world.asked("127.0.0.5");
    assert!(
        (10..=15).contains(&asked),
        "{asked}: a datagram, perhaps one without EDNS, and a connection each"
    );
    let started = Instant::now();
    for answer in join_all((0..100).map(|_| prober.ask(dead, AT))).await {
        assert!(is(&answer.reply, NetworkFault::Timeout));
    }
    assert_eq!(world.asked("127.0.0.5"), asked, "nothing was sent");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(matches!(prober.ask(good, AT).await.reply, Reply::Message { .. }), "others are asked as before");
}

#[tokio::test]
async fn silence_says_nothing_of_a_server_while_nobody_is_heard() {
    let world = silent().await;
    let prober = hasty(&world);
    for _ in 0..2 {
        let answers = join_all((0..8).map(|_| prober.ask(world.at("127.0.0.5"), AT))).await;
        assert!(answers.iter().all(|a| is(&a.reply, NetworkFault::Timeout)));
    }
    // A datagram, one without EDNS, and a connection each.
    assert_eq!(world.asked("127.0.0.5"), 48, "it may be our own network");
}

#[tokio::test]
async fn a_server_that_answers_connections_only_is_asked_over_these_at_once() {
    let world = Cast::default()
        .with(SERVER, |s| if s.tcp { with_value("v").answer(&s.message).into() } else { Play::Ignore })
        .listen()
        .await;
    let prober = hasty(&world);
    let datagrams = || world.seen().iter().filter(|s| !s.tcp).count();
    let ask = async |all| {
        let answers = join_all((0..all).map(|_| prober.ask(world.at(SERVER), AT))).await;
        assert!(answers.iter().all(|a| matches!(a.reply, Reply::Message { .. })), "{answers:?}");
        datagrams()
    };
    // The first is not counted: nobody had been heard yet.
    assert_eq!(ask(1).await, 2, "with EDNS and without");
    let sent = ask(5).await;
    assert!((7..=12).contains(&sent), "{sent}");
    for _ in 0..2 {
        assert_eq!(ask(3).await, sent, "no more datagrams");
    }
}
