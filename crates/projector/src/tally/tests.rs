use std::time::Duration;

use deed_claims::Outcome::Proven;
use deed_claims::{Code, Command};
use deed_store::{Batch, Checkpoints as _, EventStore as _, Progress, ReadModels as _, Subscriber as _};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::{World, absent, apex, id, not_proven, projector_told, seconds};
use crate::{IfHeld, READ_MODELS, RebuildConfig, RebuildError, rebuild};

fn series(expected: &[(&str, &str)]) -> Vec<String> {
    expected.iter().map(|(series, value)| format!("deed_{series} {value}")).collect()
}

#[tokio::test]
async fn what_becomes_of_claims_is_counted_by_its_kind() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    world.clock.advance(seconds(70));
    world.check(1, "acme.com", 1, absent(), None).await;
    world.clock.advance(seconds(50));
    world.check(1, "acme.com", 2, Proven, None).await;
    // Takes the name at once, since the holder's record is gone.
    world.watch(2, "acme.com", 2).await;
    world.clock.advance(seconds(3));
    world.check(2, "acme.com", 1, Proven, Some(absent())).await;
    // Meets a holder whose record stands, and never gets further.
    world.watch(3, "acme.com", 3).await;
    world.check(3, "acme.com", 1, Proven, Some(Proven)).await;
    // Given up, refused, and given up before anybody looked.
    world.watch(4, "beta.com", 1).await;
    world.check(4, "beta.com", 1, not_proven(Code::NameRefused), None).await;
    world.initiate(5, "gamma.com", 1).await;
    world.give(&apex("gamma.com"), Command::Cancel { claim_id: id(5) }).await.unwrap();
    world.watch(6, "delta.com", 1).await;
    world.check(6, "delta.com", 1, absent(), None).await;
    world.clock.advance(seconds(40 * 86_400));
    world.give(&apex("delta.com"), Command::Expire { claim_id: id(6) }).await.unwrap();
    assert_eq!(world.counted(), Vec::<String>::new(), "nothing is counted before it is folded");
    for batch in [3, 100] {
        world.fold(batch).await;
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
        assert_eq!(world.counted(), expected, "and nothing twice");
    }
    world.give(&apex("acme.com"), Command::Release { claim_id: id(2) }).await.unwrap();
    world.fold(100).await;
    let counted = world.counted();
    for line in [
        "deed_claims_ended_total{code=\"none\",end=\"released\"} 1",
        "deed_contests_resolved_total{resolution=\"granted\"} 1",
        "deed_claims_verified_total{scope=\"apex\"} 3",
    ] {
        assert!(counted.iter().any(|counted| counted == line), "{line} is missing in {counted:#?}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_not_counted() {
    let mut world = World::new().await;
    world.initiate(1, "acme.com", 1).await;
    let old = world.lease().await;
    world.clock.advance(seconds(60));
    world.store.acquire(READ_MODELS, "another", world.clock.now(), Duration::from_mins(1)).await.unwrap();
    let events = world.store.read_log(Position(0), 10).await.unwrap();
    let batch = Batch { lease: &old, from: Position(0), to: Position(1), events: &events };
    assert!(world.projector.consume(batch).await.is_err());
    assert_eq!(world.counted(), Vec::<String>::new());
}

#[tokio::test]
async fn a_rebuild_counts_nothing_again_broken_off_or_not() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    world.watch(2, "beta.com", 1).await;
    world.fold(100).await;
    let counted = world.counted();
    assert_eq!(counted, ["deed_claims_initiated_total{scope=\"apex\"} 2"]);

    let config = RebuildConfig {
        owner: "test".to_owned(),
        batch: 2,
        lease_ttl: Duration::from_secs(1),
        if_held: IfHeld::Wait,
    };
    let (checkpoints, clock) = (world.checkpoints(), world.ticking());
    let stop = CancellationToken::new();
    rebuild(&world.store, &checkpoints, &clock, &mut world.projector, &config, &stop).await.unwrap();
    world.initiate(3, "gamma.com", 1).await;
    world.fold(100).await;
    assert_eq!(world.counted(), ["deed_claims_initiated_total{scope=\"apex\"} 3"], "what is new is counted");

    // Another process begins to fold anew and ends before it has come far.
    let lease = world.lease().await;
    mark(&*checkpoints, &*clock, ("gone", Duration::from_secs(1)), world.last().await).await.unwrap();
    world.store.reset(&lease).await.unwrap();
    world.store.release(&lease).await.unwrap();
    world.initiate(4, "delta.com", 1).await;
    // Whoever goes on is a process that has counted nothing yet.
    let registry = Registry::new();
    world.projector = projector_told(&world.store, &registry);
    world.projector.count_claims(world.checkpoints());
    world.registry = registry;
    world.fold(2).await;
    assert_eq!(world.counted(), ["deed_claims_initiated_total{scope=\"apex\"} 1"]);
    assert_eq!(world.store.checkpoint(READ_MODELS).await.unwrap(), world.last().await);
}

#[tokio::test]
async fn a_rebuild_that_is_stopped_has_marked_how_far_the_log_was() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    world.fold(100).await;
    let config = RebuildConfig {
        owner: "test".to_owned(),
        batch: 1,
        lease_ttl: Duration::from_secs(1),
        if_held: IfHeld::Wait,
    };
    let (checkpoints, clock) = (world.checkpoints(), world.ticking());
    // The lease of the mark is another's, who died with it: whoever has that of the read models may mark all the same.
    world.store.acquire(REBUILT, "gone", clock.now(), Duration::from_secs(1)).await.unwrap().unwrap();
    let stop = CancellationToken::new();
    let done = rebuild(&world.store, &checkpoints, &clock, &mut world.projector, &config, &stop).await;
    assert!(!matches!(done, Err(RebuildError::Lost)), "{done:?}");
    assert_eq!(world.store.checkpoint(REBUILT).await.unwrap(), world.last().await);
    let lease = world.lease().await;
    let events = world.store.read_log(Position(0), 1).await.unwrap();
    world.store.reset(&lease).await.unwrap();
    let batch = Batch { lease: &lease, from: Position(0), to: Position(1), events: &events };
    assert!(matches!(world.projector.consume(batch).await, Ok(Progress::Advanced)));
    assert_eq!(world.counted(), ["deed_claims_initiated_total{scope=\"apex\"} 1"]);
}
