//! The prober's metrics.
use std::collections::BTreeMap;
use std::time::Duration;

use deed_diagnosis::{NetworkFault, Reply};
use futures::future::join_all;
use prometheus::{Registry, TextEncoder};

use crate::world::{Behaviour, ONE, ScriptedServers, probe, with_value};

const AT: &str = "_deed.acme.test";
const SERVER: &str = "127.0.0.4";
const DEAD: &str = "127.0.0.5";

/// Every integer sample of the prober's metrics, by its name without the common prefix.
pub fn metric_values(registry: &Registry) -> BTreeMap<String, u64> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("deed_dns_")?.rsplit_once(' '));
    let whole = lines.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
    whole.collect()
}

fn query_total(values: &BTreeMap<String, u64>, transport: &str, result: &str) -> u64 {
    values[&format!("queries_total{{result=\"{result}\",transport=\"{transport}\"}}")]
}

#[tokio::test]
async fn counts_queries_by_result_and_open_breakers() {
    let world = ScriptedServers::default()
        .with(DEAD, |_| Behaviour::Ignore)
        .zones(SERVER, with_value("v"))
        .listen()
        .await;
    let prober = world.impatient_prober_with(|c| {
        (c.server_rate, c.server_burst) = (1000, 1000);
        (c.udp_timeout, c.tcp_timeout) = (Duration::from_millis(500), Duration::from_millis(500));
        c.udp_tries = 1;
        c.in_flight = Some(40);
    });
    let registry = Registry::new();
    prober.measure(&registry).unwrap();
    let before = metric_values(&registry);
    let is_zero = |(series, value): (&String, &u64)| *value == 0 || series == "sockets_max";
    assert!(before.iter().all(is_zero), "{before:?}");
    assert_eq!((before["sockets_max"], before.len() > 20), (40, true), "{before:?}");

    assert!(matches!(prober.query_one(world.at(SERVER), AT).await.reply, Reply::Message { .. }));
    let one = metric_values(&registry);
    assert_eq!((query_total(&one, "udp", "answered"), query_total(&one, "tcp", "answered")), (1, 0));
    assert_eq!((one["query_duration_seconds_count{transport=\"udp\"}"], one["servers_spared"]), (1, 0));
    assert_eq!(one["sockets"], 1, "it is kept for a while");

    for answer in join_all((0..5).map(|_| prober.query_one(world.at(DEAD), AT))).await {
        assert_eq!(answer.reply, Reply::Fault(NetworkFault::Timeout));
    }
    let five = metric_values(&registry);
    let silences = query_total(&five, "udp", "timeout") + query_total(&five, "tcp", "timeout");
    assert_eq!(silences, world.query_count(DEAD) as u64, "{five:?}");
    assert!(silences >= 10, "{five:?}");
    assert!(query_total(&five, "tcp", "timeout") >= 5, "{five:?}");
    assert_eq!(five["servers_spared"], 1);
    // A query that is not sent is not counted.
    prober.query_one(world.at(DEAD), AT).await;
    assert_eq!(
        metric_values(&registry)["query_duration_seconds_count{transport=\"udp\"}"],
        1 + query_total(&five, "udp", "timeout")
    );
    drop(prober);
    assert_eq!(metric_values(&registry)["sockets_max"], 0, "the registry keeps no prober alive");
}

#[tokio::test]
async fn counts_refused_addresses() {
    let world = ScriptedServers::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| c.refuse_networks = vec![format!("{SERVER}/32").parse().unwrap()]);
    let registry = Registry::new();
    prober.measure(&registry).unwrap();
    let seen = probe(&prober, AT).await;
    assert!(seen.servers.iter().all(|server| server.reply == Reply::Blocked), "{seen:?}");
    assert_eq!(world.query_count(SERVER), 0);
    assert!(metric_values(&registry)["addresses_refused_total"] >= 1);
}
