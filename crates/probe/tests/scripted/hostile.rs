//! Servers that mean harm to the transport itself: what they cost, and that they bring nothing.
use std::time::Duration;

use deed_claims::{NetworkFault, Reply, ServerAnswer};
use deed_probe::Prober;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::records::txt;
use crate::world::{Cast, Play, Seen, World, acme, values, with_value};

const AT: &str = "_deed.acme.test";
const SERVER: &str = "127.0.0.4";

/// A server that has to be asked over a connection.
async fn over_tcp(play: impl Fn(&Seen) -> Play + Send + Sync + 'static) -> World {
    let cut = |s: &Seen| with_value("v").answer(&s.message).truncate();
    Cast::default().with(SERVER, move |s| if s.tcp { play(s) } else { cut(s).into() }).listen().await
}

async fn ask(prober: &Prober, world: &World) -> ServerAnswer {
    prober.ask(world.at(SERVER), AT).await
}

fn fault(answer: &ServerAnswer) -> NetworkFault {
    match answer.reply {
        Reply::Fault(fault) => fault,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_that_drips_ends_at_the_deadline() {
    let world = over_tcp(|s| {
        let answer = with_value("v").answer(&s.message);
        Play::Drip(Box::new(answer), Duration::from_millis(100))
    })
    .await;
    let started = Instant::now();
    let answer = ask(&world.hasty(), &world).await;
    assert_eq!(fault(&answer), NetworkFault::TruncatedNoTcp);
    assert!(started.elapsed() >= Duration::from_millis(600), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_answer_in_small_pieces_is_put_together() {
    let world = over_tcp(|s| {
        let answer = with_value("v").answer(&s.message);
        Play::Drip(Box::new(answer), Duration::from_millis(1))
    })
    .await;
    assert_eq!(values(&ask(&world.prober(), &world).await), ["v"]);
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_no_answer() {
    let world = over_tcp(|_| Play::Silence).await;
    let started = Instant::now();
    assert_eq!(fault(&ask(&world.prober(), &world).await), NetworkFault::TruncatedNoTcp);
    assert!(started.elapsed() < world.config().tcp_timeout, "nobody waits for the rest");
}

#[tokio::test]
async fn a_message_that_is_announced_and_never_comes_ends_at_the_deadline() {
    let world = over_tcp(|_| Play::Stream(vec![0xff, 0xff])).await;
    let started = Instant::now();
    assert_eq!(fault(&ask(&world.hasty(), &world).await), NetworkFault::TruncatedNoTcp);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_second_message_that_nobody_asked_for_ends_the_connection() {
    let world = over_tcp(|s| {
        let forged = with_value("forged").answer(&s.message).to_vec().unwrap();
        let right = with_value("v").answer(&s.message).to_vec().unwrap();
        Play::Raw(vec![right, forged])
    })
    .await;
    let prober = world.prober();
    for _ in 0..3 {
        assert_eq!(values(&ask(&prober, &world).await), ["v"]);
    }
    let connections: std::collections::HashSet<_> =
        world.seen().iter().filter(|s| s.tcp).map(|s| s.from).collect();
    assert_eq!(connections.len(), 3, "none is asked again");
}

#[tokio::test]
async fn an_answer_cut_short_over_a_connection_is_not_asked_for_again() {
    let world = over_tcp(|s| with_value("v").answer(&s.message).truncate().into()).await;
    let answer = ask(&world.prober(), &world).await;
    assert!(matches!(&answer.reply, Reply::Message { truncated: true, .. }), "{answer:?}");
    assert_eq!(world.asked(SERVER), 2);
}

#[tokio::test]
async fn a_datagram_longer_than_we_invite_is_no_answer() {
    let world = Cast::default()
        .with(SERVER, |s| {
            if s.tcp {
                return with_value("v").answer(&s.message).into();
            }
            let long: Vec<_> = (0..40).map(|i| txt(AT, &format!("{i:0>200}"))).collect();
            acme(long).answer(&s.message).into()
        })
        .listen()
        .await;
    let answer = ask(&world.prober(), &world).await;
    assert_eq!(values(&answer), ["v"], "cut off, it is garbage, and a connection settles it");
}

#[tokio::test]
async fn late_answers_are_no_attack() {
    // Each question is answered when the next one comes: too late, and from a port that is in use again.
    let held = std::sync::Mutex::new(None);
    let world = Cast::default()
        .with(SERVER, move |s| {
            if s.tcp {
                return Play::Silence;
            }
            let answer = with_value("v").answer(&s.message).to_vec().unwrap();
            Play::Raw(held.lock().unwrap().replace(answer).into_iter().collect())
        })
        .listen()
        .await;
    let prober = world.hasty_with(|c| {
        c.udp_timeout = Duration::from_millis(20);
        c.udp_tries = 1;
    });
    for _ in 0..80 {
        let answer = ask(&prober, &world).await;
        assert_eq!(fault(&answer), NetworkFault::Timeout, "never malformed");
    }
}

#[tokio::test]
async fn whoever_floods_a_port_from_aside_is_not_heard() {
    let world = Cast::default().with(SERVER, |s| with_value("v").answer(&s.message).into()).listen().await;
    let prober = world.prober();
    assert_eq!(values(&ask(&prober, &world).await), ["v"]);
    // The port is known to us, as it may be to whoever has found it out; the address is not the server's.
    let port = world.seen()[0].from;
    let elsewhere = UdpSocket::bind("127.0.0.98:0").await.unwrap();
    for _ in 0..500 {
        let _ = elsewhere.send_to(b"\0\0\x80\0\0\x01\0\0\0\0\0\0", port).await;
    }
    assert_eq!(values(&ask(&prober, &world).await), ["v"]);
    assert!(world.seen().iter().all(|s| !s.tcp), "no need for a connection");
}
