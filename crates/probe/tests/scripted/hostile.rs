//! Servers that attack the transport itself: what they cost, and that they gain nothing.
use std::time::Duration;

use deed_diagnosis::{NetworkFault, Reply, ServerAnswer};
use deed_probe::Prober;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::records::txt;
use crate::world::{Behaviour, ReceivedQuery, ScriptedServers, World, acme, values, with_value};

const AT: &str = "_deed.acme.test";
const SERVER: &str = "127.0.0.4";

/// A server that has to be queried over TCP.
async fn over_tcp(play: impl Fn(&ReceivedQuery) -> Behaviour + Send + Sync + 'static) -> World {
    let cut = |s: &ReceivedQuery| with_value("v").answer(&s.message).truncate();
    ScriptedServers::default()
        .with(SERVER, move |s| if s.tcp { play(s) } else { cut(s).into() })
        .listen()
        .await
}

async fn ask(prober: &Prober, world: &World) -> ServerAnswer {
    prober.query_one(world.at(SERVER), AT).await
}

fn fault(answer: &ServerAnswer) -> NetworkFault {
    match answer.reply {
        Reply::Fault(fault) => fault,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn ends_dripping_answer_at_deadline() {
    let world = over_tcp(|s| {
        let answer = with_value("v").answer(&s.message);
        Behaviour::Drip(Box::new(answer), Duration::from_millis(100))
    })
    .await;
    let started = Instant::now();
    let answer = ask(&world.impatient_prober(), &world).await;
    assert_eq!(fault(&answer), NetworkFault::TruncatedNoTcp);
    assert!(started.elapsed() >= Duration::from_millis(600), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn reassembles_answer_from_small_pieces() {
    let world = over_tcp(|s| {
        let answer = with_value("v").answer(&s.message);
        Behaviour::Drip(Box::new(answer), Duration::from_millis(1))
    })
    .await;
    assert_eq!(values(&ask(&world.prober(), &world).await), ["v"]);
}

#[tokio::test]
async fn closed_connection_is_no_answer() {
    let world = over_tcp(|_| Behaviour::Close).await;
    let started = Instant::now();
    assert_eq!(fault(&ask(&world.prober(), &world).await), NetworkFault::TruncatedNoTcp);
    assert!(started.elapsed() < world.config().tcp_timeout, "nobody waits for the rest");
}

#[tokio::test]
async fn ends_incomplete_tcp_message_at_deadline() {
    let world = over_tcp(|_| Behaviour::RawStream(vec![0xff, 0xff])).await;
    let started = Instant::now();
    assert_eq!(fault(&ask(&world.impatient_prober(), &world).await), NetworkFault::TruncatedNoTcp);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn closes_connection_on_unsolicited_message() {
    let world = over_tcp(|s| {
        let forged = with_value("forged").answer(&s.message).to_vec().unwrap();
        let right = with_value("v").answer(&s.message).to_vec().unwrap();
        Behaviour::Raw(vec![right, forged])
    })
    .await;
    let prober = world.prober();
    for _ in 0..3 {
        assert_eq!(values(&ask(&prober, &world).await), ["v"]);
    }
    let connections: std::collections::HashSet<_> =
        world.queries().iter().filter(|s| s.tcp).map(|s| s.from).collect();
    assert_eq!(connections.len(), 3, "none is asked again");
}

#[tokio::test]
async fn does_not_retry_truncated_tcp_answer() {
    let world = over_tcp(|s| with_value("v").answer(&s.message).truncate().into()).await;
    let answer = ask(&world.prober(), &world).await;
    assert!(matches!(&answer.reply, Reply::Message { truncated: true, .. }), "{answer:?}");
    assert_eq!(world.query_count(SERVER), 2);
}

#[tokio::test]
async fn oversized_datagram_is_no_answer() {
    let world = ScriptedServers::default()
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
async fn late_answers_do_not_count_as_attack() {
    // Each query is answered when the next one arrives: too late, and to a port that is in use again.
    let held = std::sync::Mutex::new(None);
    let world = ScriptedServers::default()
        .with(SERVER, move |s| {
            if s.tcp {
                return Behaviour::Close;
            }
            let answer = with_value("v").answer(&s.message).to_vec().unwrap();
            Behaviour::Raw(held.lock().unwrap().replace(answer).into_iter().collect())
        })
        .listen()
        .await;
    let prober = world.impatient_prober_with(|c| {
        c.udp_timeout = Duration::from_millis(20);
        c.udp_tries = 1;
    });
    for _ in 0..80 {
        let answer = ask(&prober, &world).await;
        assert_eq!(fault(&answer), NetworkFault::Timeout, "never malformed");
    }
}

#[tokio::test]
async fn ignores_off_path_flood() {
    let world =
        ScriptedServers::default().with(SERVER, |s| with_value("v").answer(&s.message).into()).listen().await;
    let prober = world.prober();
    assert_eq!(values(&ask(&prober, &world).await), ["v"]);
    // The test knows the port, as an attacker might; the source address is not the server's.
    let port = world.queries()[0].from;
    let elsewhere = UdpSocket::bind("127.0.0.98:0").await.unwrap();
    for _ in 0..500 {
        let _ = elsewhere.send_to(b"\0\0\x80\0\0\x01\0\0\0\0\0\0", port).await;
    }
    assert_eq!(values(&ask(&prober, &world).await), ["v"]);
    assert!(world.queries().iter().all(|s| !s.tcp), "no need for a connection");
}
