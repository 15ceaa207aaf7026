//! Conformance: metrics.

use std::{collections::BTreeMap, sync::Arc};

use prometheus::{Registry, TextEncoder};

use super::{BusUnderTest, WORK, limits, message, next, publish, topology, within, work};
use crate::{Bus, PublishOutcome, Replay, Requirement, metrics};

/// Every series with its value; of histograms, the count only.
fn scrape(registry: &Registry) -> BTreeMap<String, u64> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let lines = text.lines().filter(|line| {
        line.starts_with("deed_") && !line.contains("_seconds_bucket") && !line.contains("_seconds_sum")
    });
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_default();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn publishes(series: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let nonzero = series.iter().filter(|(series, count)| series.starts_with("deed_publish") && **count > 0);
    nonzero.map(|(series, count)| (series.trim_start_matches("deed_publish"), *count)).collect()
}

/// Publishes are counted by destination and result; every series exists with 0 from the start.
pub async fn counts_publishes_by_destination_and_result(under_test: &impl BusUnderTest) {
    let bus: Arc<dyn Bus> = under_test.start(topology(), limits()).await;
    let registry = Registry::new();
    metrics::register(&registry, &bus).unwrap();
    let before = scrape(&registry);
    assert_eq!(publishes(&before), []);
    assert_eq!(before.keys().filter(|series| series.starts_with("deed_publishes_total")).count(), 16);
    assert_eq!((before["deed_bus_connected"], before["deed_bus_blocked"]), (1, 0));
    assert_eq!(before["deed_bus_consumers"], 0);

    publish(&*bus, vec![work(&"1"), work(&"2")]).await;
    let unroutable = message("3", "not.bound", Requirement::Mandatory);
    let event = message("4", "not.bound", Requirement::Optional);
    let outcomes = within(bus.publisher().publish(vec![unroutable, event])).await.unwrap();
    assert_eq!(outcomes, [PublishOutcome::Unroutable, PublishOutcome::Confirmed]);
    let mut consumer = bus.consumer(WORK).await.unwrap();
    next(&mut consumer).await.dead_letter("cannot read it").await.unwrap();
    next(&mut consumer).await.acknowledge().await.unwrap();
    assert_eq!(scrape(&registry)["deed_bus_consumers"], 1);
    assert_eq!(within(bus.dead_letters().replay(Replay::All)).await.unwrap(), 1);
    bus.close().await;
    within(bus.publisher().publish(vec![work(&"5")])).await.unwrap_err();
    let after = scrape(&registry);
    let expected = [
        ("_duration_seconds_count{destination=\"conformance\"}", 1),
        ("_duration_seconds_count{destination=\"dead\"}", 1),
        ("_duration_seconds_count{destination=\"work\"}", 3),
        ("es_total{destination=\"conformance\",result=\"confirmed\"}", 1),
        ("es_total{destination=\"conformance\",result=\"returned\"}", 1),
        ("es_total{destination=\"dead\",result=\"confirmed\"}", 1),
        ("es_total{destination=\"work\",result=\"confirmed\"}", 3),
        ("es_total{destination=\"work\",result=\"failed\"}", 1),
    ];
    assert_eq!(publishes(&after), expected);
}
