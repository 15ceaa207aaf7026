use std::sync::Arc;

use deed_claims::Outcome::Proven;
use deed_claims::app::AppCreated;
use deed_claims::{AppId, Command, DueKind, Event, StreamId, name::DomainName};
use deed_store::{
    Append, Batch, Checkpoints, ClaimQuery, DueItem, EventStore, Metadata, Position, Progress, ReadModels,
    StreamWrite, Subscriber, SubscriberError, Version, load,
};

use super::READ_MODELS;
use crate::fold::FoldError;
use crate::testing::{TTL, World, absent, apex, id, seconds, start};

async fn statuses(world: &World, workspace: u8) -> Vec<String> {
    let query = ClaimQuery {
        workspace_id: format!("ws_{workspace}").parse().unwrap(),
        app_id: None,
        statuses: vec![],
        after: None,
        limit: 10,
    };
    world.store.claims(&query).await.unwrap().rows.into_iter().map(|row| row.status).collect()
}

fn row(claim: u8, kind: DueKind, attempt: u32, after: chrono::TimeDelta) -> DueItem {
    DueItem { stream: apex("acme.com"), claim_id: id(claim), kind, attempt, due_at: start() + after }
}

#[tokio::test]
async fn rows_follow_a_name_from_claim_to_transfer() {
    let week = chrono::TimeDelta::days(7);
    let mut world = World::new().await;
    world.initiate(1, "acme.com", 1).await;
    world.fold(10).await;
    assert_eq!(statuses(&world, 1).await, ["pending"]);
    assert_eq!(world.due().await, [row(1, DueKind::Expire, 0, week)]);

    world.clock.advance(seconds(60));
    world.give(&apex("acme.com"), Command::RequestVerification { claim_id: id(1) }).await.unwrap();
    world.fold(10).await;
    assert_eq!(statuses(&world, 1).await, ["verifying"]);
    // The event itself asks for the first check: its row is for the case that the message is lost.
    let expire = row(1, DueKind::Expire, 0, seconds(60) + week);
    assert_eq!(world.due().await, [row(1, DueKind::Check, 1, seconds(60 + 30)), expire.clone()]);

    world.clock.advance(seconds(5));
    world.check(1, "acme.com", 1, absent(), None).await;
    world.fold(10).await;
    let state = load(&world.store, &apex("acme.com")).await.unwrap().ownership();
    let scheduled = state.claims[&id(1)].pending.unwrap().due_at - start();
    assert!(scheduled > seconds(65 + 20) && scheduled < seconds(65 + 40), "{scheduled}");
    assert_eq!(world.due().await, [row(1, DueKind::Check, 2, scheduled), expire]);

    world.check(1, "acme.com", 2, Proven, None).await;
    world.fold(10).await;
    assert_eq!(statuses(&world, 1).await, ["verified"]);
    let due = world.due().await;
    assert_eq!(due.len(), 1, "a held name does not expire: {due:?}");
    assert_eq!((due[0].kind, due[0].attempt), (DueKind::Check, 3));

    world.watch(2, "acme.com", 2).await;
    world.fold(10).await;
    assert_eq!(statuses(&world, 2).await, ["verifying"]);
    world.check(2, "acme.com", 1, Proven, Some(absent())).await;
    world.fold(10).await;
    assert_eq!(
        (statuses(&world, 1).await, statuses(&world, 2).await),
        (vec!["transferred".into()], vec!["verified".into()])
    );
    let due = world.due().await;
    assert_eq!(
        due.iter().map(|item| item.claim_id).collect::<Vec<_>>(),
        [id(2)],
        "an ended claim has no work"
    );
}

#[tokio::test]
async fn a_folded_state_is_that_of_the_stream() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    world.watch(2, "beta.com", 1).await;
    world.check(2, "beta.com", 1, Proven, None).await;
    world.fold(2).await;
    let streams = [apex("acme.com"), apex("beta.com")];
    for row in world.store.ownerships(&streams).await.unwrap() {
        let loaded = load(&world.store, &row.stream).await.unwrap();
        assert_eq!((row.version, row.state), (loaded.version, loaded.ownership()));
    }
}

#[tokio::test]
async fn events_that_are_folded_already_change_nothing() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    world.fold(10).await;
    let before = world.store.digest().await.unwrap();
    let from = world.last().await;
    world.initiate(2, "acme.com", 2).await;
    let to = world.last().await;

    // The whole log once more, with one event that is new.
    let events = world.store.read_log(Position(0), 100).await.unwrap();
    let lease = world.lease().await;
    let again = Batch { lease: &lease, from, to, events: &events };
    assert!(matches!(world.projector.consume(again).await, Ok(Progress::Advanced)));
    let after = world.store.digest().await.unwrap();
    assert_ne!(before, after);
    assert_eq!(world.store.checkpoint(READ_MODELS).await.unwrap(), to);
    let row = &world.store.ownerships(&[apex("acme.com")]).await.unwrap()[0];
    let loaded = load(&world.store, &apex("acme.com")).await.unwrap();
    assert_eq!((row.version, &row.state), (loaded.version, &loaded.ownership()));
}

#[tokio::test]
async fn a_hole_in_a_stream_is_not_folded_over() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    let before = world.store.digest().await.unwrap();
    let events = world.store.read_log(Position(1), 100).await.unwrap();
    let lease = world.lease().await;
    let holed = Batch { lease: &lease, from: Position(0), to: Position(2), events: &events };
    let Err(SubscriberError::Retry(error)) = world.projector.consume(holed).await else {
        panic!("the batch was folded");
    };
    let expected = FoldError { stream: apex("acme.com"), folded: Version(0), found: Version(2) };
    assert_eq!(error.downcast_ref(), Some(&expected));
    assert_eq!(world.store.digest().await.unwrap(), before);
    assert_eq!(world.store.checkpoint(READ_MODELS).await.unwrap(), Position(0));
}

#[tokio::test]
async fn whoever_lost_the_lease_folds_nothing() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    let old = world.lease().await;
    world.clock.advance(seconds(60));
    let now = deed_store::Clock::now(&*world.clock);
    world.store.acquire(READ_MODELS, "another", now, TTL).await.unwrap().unwrap();
    let events = world.store.read_log(Position(0), 100).await.unwrap();
    let batch = Batch { lease: &old, from: Position(0), to: Position(2), events: &events };
    assert!(matches!(world.projector.consume(batch).await, Err(SubscriberError::Lost)));
    assert_eq!(statuses(&world, 1).await, Vec::<String>::new());
}

#[tokio::test]
async fn apps_are_rows_and_slugs_are_not() {
    let mut world = World::new().await;
    let app_id = AppId::from_bytes([3; 10]);
    let created = AppCreated {
        app_id: app_id.clone(),
        workspace_id: "ws_1".parse().unwrap(),
        name: Arc::from("Docs"),
        slug: "docs".parse().unwrap(),
        at: start(),
    };
    let taken =
        deed_claims::app::SlugTaken { app_id: app_id.clone(), slug: "docs".parse().unwrap(), at: start() };
    let domain: DomainName = "docs.acme.com".parse().unwrap();
    let added = deed_claims::app::AppDomainAdded {
        app_id: app_id.clone(),
        domain: domain.clone(),
        primary: true,
        at: start(),
    };
    let write = |stream: StreamId, events: Vec<Event>| StreamWrite { stream, expected: Version(0), events };
    let append = Append {
        writes: vec![
            write(StreamId::app(&app_id), vec![created.into(), added.into()]),
            write(StreamId::slug(&"docs".parse().unwrap()), vec![taken.into()]),
        ],
        receipt: None,
        metadata: Metadata::default(),
        at: start(),
    };
    world.store.append(append).await.unwrap();
    world.fold(1).await;
    assert_eq!(world.store.checkpoint(READ_MODELS).await.unwrap(), Position(3));
    let page = world.store.apps_of(&"ws_1".parse().unwrap(), 10, 0).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    assert_eq!((page.rows[0].version, &page.rows[0].app.primary), (Version(2), &Some(domain)));
}
