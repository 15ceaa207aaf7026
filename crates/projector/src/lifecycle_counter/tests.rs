//! Tests of the lifecycle counter, also across rebuilds.
use std::time::Duration;

use deed_claims::Command;
use deed_diagnosis::{Code, Outcome::Proven};
use deed_store::{Batch, Checkpoints as _, EventStore as _, Progress, ReadModels as _, Subscriber as _};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::{ProjectorFixture, absent, apex, id, not_proven, projector_with_metrics, seconds};
use crate::{IfHeld, READ_MODELS, RebuildConfig, RebuildError, rebuild};

fn series(expected: &[(&str, &str)]) -> Vec<String> {
    expected.iter().map(|(series, value)| format!("deed_{series} {value}")).collect()
}

#[tokio::test]
async fn counts_lifecycle_events_by_kind() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.clock.advance(seconds(70));
    fixture.check(1, "acme.com", 1, absent(), None).await;
    fixture.clock.advance(seconds(50));
    fixture.check(1, "acme.com", 2, Proven, None).await;
    // Claim 2 takes the name at once, since the holder's record is gone.
    fixture.start_verifying(2, "acme.com", 2).await;
    fixture.clock.advance(seconds(3));
    fixture.check(2, "acme.com", 1, Proven, Some(absent())).await;
    // Claim 3 opens a contest, since the holder's record is still published.
    fixture.start_verifying(3, "acme.com", 3).await;
    fixture.check(3, "acme.com", 1, Proven, Some(Proven)).await;
    // Claim 4 is refused, claim 5 is cancelled without a check, and claim 6 expires.
    fixture.start_verifying(4, "beta.com", 1).await;
    fixture.check(4, "beta.com", 1, not_proven(Code::NameRefused), None).await;
    fixture.initiate(5, "gamma.com", 1).await;
    fixture.execute(&apex("gamma.com"), Command::Cancel { claim_id: id(5) }).await.unwrap();
    fixture.start_verifying(6, "delta.com", 1).await;
    fixture.check(6, "delta.com", 1, absent(), None).await;
    fixture.clock.advance(seconds(40 * 86_400));
    fixture.execute(&apex("delta.com"), Command::Expire { claim_id: id(6) }).await.unwrap();
    assert_eq!(fixture.claim_metrics(), Vec::<String>::new(), "nothing is counted before it is folded");
    for batch in [3, 100] {
        fixture.fold(batch).await;
        let expected = series(&[
            ("claims_ended_total{code=\"name_refused\",end=\"refused\"}", "1"),
            ("claims_ended_total{code=\"none\",end=\"cancelled\"}", "1"),
            ("claims_ended_total{code=\"none\",end=\"transferred\"}", "1"),
            ("claims_ended_total{code=\"record_not_found\",end=\"expired\"}", "1"),
            ("claims_initiated_total{scope=\"apex\"}", "6"),
            ("claims_verified_total{scope=\"apex\"}", "3"),
            ("contests_opened_total", "1"),
            ("time_to_verify_seconds_sum{scope=\"apex\"}", "123"),
        ]);
        assert_eq!(fixture.claim_metrics(), expected, "and nothing twice");
    }
    fixture.execute(&apex("acme.com"), Command::Release { claim_id: id(2) }).await.unwrap();
    fixture.fold(100).await;
    let counted = fixture.claim_metrics();
    for line in [
        "deed_claims_ended_total{code=\"none\",end=\"released\"} 1",
        "deed_contests_resolved_total{resolution=\"granted\"} 1",
        "deed_claims_verified_total{scope=\"apex\"} 3",
    ] {
        assert!(counted.iter().any(|counted| counted == line), "{line} is missing in {counted:#?}");
    }
}

#[tokio::test]
async fn counts_nothing_when_write_fails() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.initiate(1, "acme.com", 1).await;
    let old = fixture.lease().await;
    fixture.clock.advance(seconds(60));
    fixture.store.acquire(READ_MODELS, "another", fixture.clock.now(), Duration::from_mins(1)).await.unwrap();
    let events = fixture.store.read_log(Position(0), 10).await.unwrap();
    let batch = Batch { lease: &old, from: Position(0), to: Position(1), events: &events };
    assert!(fixture.projector.consume(batch).await.is_err());
    assert_eq!(fixture.claim_metrics(), Vec::<String>::new());
}

#[tokio::test]
async fn rebuild_counts_no_event_twice() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.start_verifying(2, "beta.com", 1).await;
    fixture.fold(100).await;
    let counted = fixture.claim_metrics();
    assert_eq!(counted, ["deed_claims_initiated_total{scope=\"apex\"} 2"]);

    let config = RebuildConfig {
        owner: "test".to_owned(),
        batch: 2,
        lease_ttl: Duration::from_secs(1),
        if_held: IfHeld::Wait,
    };
    let (checkpoints, clock) = (fixture.checkpoints(), fixture.clock_port());
    let stop = CancellationToken::new();
    rebuild(&fixture.store, &checkpoints, &clock, &mut fixture.projector, &config, &stop).await.unwrap();
    fixture.initiate(3, "gamma.com", 1).await;
    fixture.fold(100).await;
    assert_eq!(
        fixture.claim_metrics(),
        ["deed_claims_initiated_total{scope=\"apex\"} 3"],
        "what is new is counted"
    );

    // Another process begins a rebuild and ends before it has folded anything.
    let lease = fixture.lease().await;
    store_counted_until(
        &*checkpoints,
        &*clock,
        ("gone", Duration::from_secs(1)),
        fixture.last_position().await,
    )
    .await
    .unwrap();
    fixture.store.reset(&lease).await.unwrap();
    fixture.store.release(&lease).await.unwrap();
    fixture.initiate(4, "delta.com", 1).await;
    // The next projector runs in a new process, whose counters are 0.
    let registry = Registry::new();
    fixture.projector = projector_with_metrics(&fixture.store, &registry);
    fixture.projector.count_claims(fixture.checkpoints());
    fixture.registry = registry;
    fixture.fold(2).await;
    assert_eq!(fixture.claim_metrics(), ["deed_claims_initiated_total{scope=\"apex\"} 1"]);
    assert_eq!(fixture.store.checkpoint(READ_MODELS).await.unwrap(), fixture.last_position().await);
}

#[tokio::test]
async fn interrupted_rebuild_stores_counted_position() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.fold(100).await;
    let config = RebuildConfig {
        owner: "test".to_owned(),
        batch: 1,
        lease_ttl: Duration::from_secs(1),
        if_held: IfHeld::Wait,
    };
    let (checkpoints, clock) = (fixture.checkpoints(), fixture.clock_port());
    // A dead process still has the lease of the stored position; the holder of the read models' lease takes it over.
    fixture.store.acquire(COUNTED_UNTIL, "gone", clock.now(), Duration::from_secs(1)).await.unwrap().unwrap();
    let stop = CancellationToken::new();
    let done = rebuild(&fixture.store, &checkpoints, &clock, &mut fixture.projector, &config, &stop).await;
    assert!(!matches!(done, Err(RebuildError::Lost)), "{done:?}");
    assert_eq!(fixture.store.checkpoint(COUNTED_UNTIL).await.unwrap(), fixture.last_position().await);
    let lease = fixture.lease().await;
    let events = fixture.store.read_log(Position(0), 1).await.unwrap();
    fixture.store.reset(&lease).await.unwrap();
    let batch = Batch { lease: &lease, from: Position(0), to: Position(1), events: &events };
    assert!(matches!(fixture.projector.consume(batch).await, Ok(Progress::Advanced)));
    assert_eq!(fixture.claim_metrics(), ["deed_claims_initiated_total{scope=\"apex\"} 1"]);
}
