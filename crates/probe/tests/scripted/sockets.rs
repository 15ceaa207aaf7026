//! How queries share sockets: ports as the servers see them, connections that are reused.
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use deed_diagnosis::{NetworkFault, Reply, ServerAnswer};
use deed_probe::Prober;
use futures::future::join_all;

use crate::world::{Behaviour, ONE, ScriptedServers, TWO, World, probe, probe_for, values, with_value};

const AT: &str = "_deed.acme.test";
const SERVER: &str = "127.0.0.4";

/// How many queries came from each port.
fn ports(world: &World, tcp: bool) -> HashMap<u16, usize> {
    let mut ports = HashMap::new();
    for seen in world.queries().iter().filter(|s| s.server == SERVER && s.tcp == tcp) {
        *ports.entry(seen.from.port()).or_default() += 1;
    }
    ports
}

async fn alone(prober: &Prober, world: &World) -> ServerAnswer {
    prober.query_one(world.at(SERVER), AT).await
}

fn shows(answer: &ServerAnswer) -> bool {
    matches!(&answer.reply, Reply::Message { values, .. } if values[..] == [b"v".to_vec()])
}

#[tokio::test]
async fn shares_socket_between_sixteen_queries() {
    let world = ScriptedServers::default().zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober();
    let answers = join_all((0..64).map(|_| alone(&prober, &world))).await;
    assert!(answers.iter().all(shows));
    let ports = ports(&world, false);
    assert_eq!((ports.len(), ports.values().max()), (4, Some(&16)), "{ports:?}");
    let ids: HashSet<u16> = world.queries().iter().map(|s| s.message.metadata.id).collect();
    assert!(ids.len() > 48, "ids are random");
}

#[tokio::test]
async fn retires_port_after_256_queries() {
    let world = ScriptedServers::default().zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober();
    for _ in 0..600 {
        assert!(shows(&alone(&prober, &world).await));
    }
    let ports = ports(&world, false);
    assert!(ports.len() >= 3 && ports.values().all(|questions| *questions <= 256), "{ports:?}");
}

#[tokio::test]
async fn matches_replies_out_of_order() {
    let held = Mutex::new(vec![]);
    let world = ScriptedServers::default()
        .with(SERVER, move |s| {
            // All but the last wait for the last, which is answered first.
            let mut held = held.lock().unwrap();
            let name = s.message.queries[0].name.to_ascii().to_lowercase();
            let zones = crate::world::acme(vec![crate::records::txt(name.trim_end_matches('.'), &name)]);
            held.push(zones.answer(&s.message).to_vec().unwrap());
            if held.len() < 10 { Behaviour::Ignore } else { Behaviour::Raw(held.drain(..).rev().collect()) }
        })
        .listen()
        .await;
    let prober = world.prober();
    let names: Vec<String> = (0..10).map(|i| format!("_deed{i}.acme.test")).collect();
    let answers = join_all(names.iter().map(|name| prober.query_one(world.at(SERVER), name))).await;
    for (name, answer) in names.iter().zip(&answers) {
        assert_eq!(values(answer), [format!("{name}.")]);
    }
    assert_eq!(ports(&world, false).len(), 1);
}

#[tokio::test]
async fn refused_datagram_fails_only_queries_to_that_server() {
    let world = ScriptedServers::default().parents(TWO).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober();
    let started = tokio::time::Instant::now();
    let (dead, alive) = tokio::join!(
        join_all((0..20).map(|_| prober.query_one(world.at("127.0.0.5"), AT))),
        join_all((0..20).map(|_| alone(&prober, &world))),
    );
    assert!(alive.iter().all(shows));
    assert!(dead.iter().all(|answer| answer.reply == Reply::Fault(NetworkFault::Unreachable)));
    assert!(started.elapsed() < world.config().udp_timeout, "nobody waited for silence");
}

#[tokio::test]
async fn reuses_connection_after_answer() {
    let world = ScriptedServers::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober();
    for _ in 0..10 {
        let seen = probe_for(&prober, AT, &["v"]).await;
        let again = seen.confirmation.repeated.unwrap();
        assert!(shows(&again[0]), "{again:?}");
    }
    // Not by chance: each stays open for two seconds.
    let ports = ports(&world, true);
    assert!(ports.len() < 10 && ports.values().sum::<usize>() == 10, "{ports:?}");
}

#[tokio::test]
async fn opens_new_connections_when_server_closes_after_answer() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with(SERVER, |s| {
            let answer = with_value("v").answer(&s.message);
            if !s.tcp {
                return answer.into();
            }
            let bytes = answer.to_vec().unwrap();
            // The second query on a connection finds it closed.
            Behaviour::AnswerThenClose(bytes)
        })
        .listen()
        .await;
    let prober = world.prober();
    for _ in 0..5 {
        let seen = probe_for(&prober, AT, &["v"]).await;
        let again = seen.confirmation.repeated.unwrap();
        assert!(shows(&again[0]), "{again:?}");
    }
    assert_eq!(ports(&world, true).len(), 5);
}

#[tokio::test]
async fn opens_new_connection_when_second_query_is_ignored() {
    let asked = Mutex::new(HashSet::new());
    let world = ScriptedServers::default()
        .parents(ONE)
        .with(SERVER, move |s| {
            if s.tcp && !asked.lock().unwrap().insert(s.from) {
                return Behaviour::Ignore;
            }
            with_value("v").answer(&s.message).into()
        })
        .listen()
        .await;
    let prober = world.prober_with(|c| c.tcp_timeout = Duration::from_secs(2));
    let registry = prometheus::Registry::new();
    prober.measure(&registry).unwrap();
    let mut counted = 0;
    for _ in 0..2 {
        let seen = probe_for(&prober, AT, &["v"]).await;
        counted += seen.queries as usize;
        let again = seen.confirmation.repeated.unwrap();
        assert!(shows(&again[0]), "{again:?}");
    }
    assert_eq!(world.queries().len(), counted, "what is asked twice is paid for twice");
    let told = crate::metrics::metric_values(&registry);
    let questions = told.iter().filter(|(series, _)| series.starts_with("queries_total"));
    assert_eq!(questions.map(|(_, count)| *count).sum::<u64>(), counted as u64, "and counted twice");
}

#[tokio::test]
async fn dropped_probe_releases_its_socket() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .zones(SERVER, with_value("v"))
        .with("127.0.0.5", |_| Behaviour::Ignore)
        .listen()
        .await;
    let prober = world.prober_with(|c| c.in_flight = Some(1));
    for over_tcp in [false, true] {
        let silent = prober.query_one(world.at("127.0.0.5"), AT);
        let before = world.query_count("127.0.0.5");
        tokio::select! {
            answer = silent => panic!("{answer:?}"),
            () = async { while world.query_count("127.0.0.5") == before { tokio::task::yield_now().await } } => {}
        }
        let seen = if over_tcp { probe_for(&prober, AT, &["v"]).await } else { probe(&prober, AT).await };
        assert_eq!((values(&seen.servers[0]), seen.failure), (vec!["v".to_owned()], None));
    }
}
