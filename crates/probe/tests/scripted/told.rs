//! What the prober tells about itself.
use std::collections::BTreeMap;
use std::time::Duration;

use deed_claims::{NetworkFault, Reply};
use futures::future::join_all;
use prometheus::{Registry, TextEncoder};

use crate::world::{Cast, ONE, Play, look, with_value};

const AT: &str = "_deed.acme.test";
const SERVER: &str = "127.0.0.4";
const DEAD: &str = "127.0.0.5";

/// Every series of the prober's with a whole value, by its name without what all begin with.
pub fn told(registry: &Registry) -> BTreeMap<String, u64> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("deed_dns_")?.rsplit_once(' '));
    let whole = lines.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
    whole.collect()
}

fn went(told: &BTreeMap<String, u64>, transport: &str, result: &str) -> u64 {
    told[&format!("queries_total{{result=\"{result}\",transport=\"{transport}\"}}")]
}

#[tokio::test]
async fn questions_are_counted_by_how_they_went_and_who_is_left_alone_is_told() {
    let world = Cast::default().with(DEAD, |_| Play::Ignore).zones(SERVER, with_value("v")).listen().await;
    let prober = world.hasty_with(|c| {
        (c.server_rate, c.server_burst) = (1000, 1000);
        (c.udp_timeout, c.tcp_timeout) = (Duration::from_millis(500), Duration::from_millis(500));
        c.udp_tries = 1;
        c.in_flight = Some(40);
    });
    let registry = Registry::new();
    prober.measure(&registry).unwrap();
    let before = told(&registry);
    let is_zero = |(series, value): (&String, &u64)| *value == 0 || series == "sockets_max";
    assert!(before.iter().all(is_zero), "{before:?}");
    assert_eq!((before["sockets_max"], before.len() > 20), (40, true), "{before:?}");

    assert!(matches!(prober.ask(world.at(SERVER), AT).await.reply, Reply::Message { .. }));
    let one = told(&registry);
    assert_eq!((went(&one, "udp", "answered"), went(&one, "tcp", "answered")), (1, 0));
    assert_eq!((one["query_duration_seconds_count{transport=\"udp\"}"], one["servers_spared"]), (1, 0));
    assert_eq!(one["sockets"], 1, "it is kept for a while");

    for answer in join_all((0..5).map(|_| prober.ask(world.at(DEAD), AT))).await {
        assert_eq!(answer.reply, Reply::Fault(NetworkFault::Timeout));
    }
    let five = told(&registry);
    let silences = went(&five, "udp", "timeout") + went(&five, "tcp", "timeout");
    assert_eq!(silences, world.asked(DEAD) as u64, "{five:?}");
    assert!(silences >= 10, "{five:?}");
    assert!(went(&five, "tcp", "timeout") >= 5, "{five:?}");
    assert_eq!(five["servers_spared"], 1);
    // What is not even sent is not counted.
    prober.ask(world.at(DEAD), AT).await;
    assert_eq!(
        told(&registry)["query_duration_seconds_count{transport=\"udp\"}"],
        1 + went(&five, "udp", "timeout")
    );
    drop(prober);
    assert_eq!(told(&registry)["sockets_max"], 0, "the registry keeps no prober alive");
}

#[tokio::test]
async fn an_address_that_may_not_be_asked_is_counted() {
    let world = Cast::default().parents(ONE).zones(SERVER, with_value("v")).listen().await;
    let prober = world.prober_with(|c| c.refuse_networks = vec![format!("{SERVER}/32").parse().unwrap()]);
    let registry = Registry::new();
    prober.measure(&registry).unwrap();
    let seen = look(&prober, AT).await;
    assert!(seen.servers.iter().all(|server| server.reply == Reply::Blocked), "{seen:?}");
    assert_eq!(world.asked(SERVER), 0);
    assert!(told(&registry)["addresses_refused_total"] >= 1);
}
