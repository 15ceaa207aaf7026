//! The suite: metrics of a store.
use std::collections::BTreeMap;

use prometheus::{Registry, TextEncoder};

use super::StoreUnderTest;
use super::samples::{apex, append, append_all, cancelled, requested, write};
use crate::{AppendError, AppendMetrics, Connections, Position};

/// The series that begin with `deed_append`, without that prefix.
pub(super) fn append_series(registry: &Registry) -> BTreeMap<String, f64> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("deed_append")?.rsplit_once(' '));
    lines.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// Appends by result, and written events by kind. Every series exists with 0 before.
pub async fn counts_appends_by_result<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, registry) = (under_test.events(), Registry::new());
    under_test.measure(AppendMetrics::register(&registry).unwrap());
    let before = append_series(&registry);
    assert!(before.values().all(|value| *value == 0.0), "{before:?}");
    assert_eq!(before.keys().filter(|series| series.starts_with("ed_events_total")).count(), 23);

    let (one, two) = (apex("one.com"), apex("two.com"));
    store.append(append(&one, 0, vec![requested(1, 1, 0), requested(1, 2, 1)])).await.unwrap();
    let both = vec![write(&one, 2, vec![cancelled(1, 2)]), write(&two, 0, vec![requested(2, 1, 0)])];
    store.append(append_all(both)).await.unwrap();
    let conflict = store.append(append(&two, 0, vec![requested(2, 2, 1)])).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { .. })), "{conflict:?}");
    let after = append_series(&registry);
    for (series, value) in [
        ("s_total{result=\"appended\"}", 2.0),
        ("s_total{result=\"conflict\"}", 1.0),
        ("s_total{result=\"unavailable\"}", 0.0),
        ("_duration_seconds_count", 3.0),
        ("_batch_size_count", 3.0),
        ("_batch_size_bucket{le=\"1\"}", 3.0),
        ("ed_events_total{event=\"VerificationRequested\"}", 3.0),
        ("ed_events_total{event=\"ClaimCancelled\"}", 1.0),
    ] {
        assert_eq!(after.get(series), Some(&value), "{series} in {after:#?}");
    }
    let events: f64 = after.iter().filter(|(series, _)| series.starts_with("ed_events")).map(|e| e.1).sum();
    assert!((3.5..4.5).contains(&events), "{events} events: nothing else was written");
}

/// The maximum, and none in use while there is no call.
pub async fn reports_connections_in_use<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, registry) = (under_test.events(), Registry::new());
    store.read_log(Position(0), 1).await.unwrap();
    super::within(async {
        // A connection is returned to the pool after the call.
        while under_test.connections().used > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let Connections { idle, max, .. } = under_test.connections();
    assert!((1..=max).contains(&idle), "{idle} idle, {max} at most");
    Connections::register(&registry, move || Connections { used: 1, idle: 2, max }).unwrap();
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for series in ["deed_store_connections{state=\"used\"} 1", "deed_store_connections{state=\"idle\"} 2"] {
        assert!(text.contains(series), "{text}");
    }
    assert!(text.contains(&format!("deed_store_connections_max {max}\n")), "{text}");
}
