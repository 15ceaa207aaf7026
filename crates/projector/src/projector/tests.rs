//! Tests of the projector: rows, gaps, leases.
use std::sync::Arc;

use deed_claims::app::AppCreated;
use deed_claims::{AppId, Command, DueKind, Event, Ownership, StreamId, name::DomainName};
use deed_diagnosis::Outcome::Proven;
use deed_store::{
    Append, Batch, Checkpoints, ClaimQuery, DueItem, EventStore, Metadata, Position, Progress, ReadModels,
    StreamWrite, Subscriber, SubscriberError, Version, load,
};

use super::READ_MODELS;
use crate::fold::FoldError;
use crate::testing::{ProjectorFixture, TTL, absent, apex, id, seconds, start};

async fn statuses(fixture: &ProjectorFixture, workspace: u8) -> Vec<String> {
    let query = ClaimQuery {
        workspace_id: format!("ws_{workspace}").parse().unwrap(),
        app_id: None,
        statuses: vec![],
        after: None,
        limit: 10,
    };
    fixture.store.claims(&query).await.unwrap().rows.into_iter().map(|row| row.status).collect()
}

fn due_row(claim: u8, kind: DueKind, attempt: u32, after: chrono::TimeDelta) -> DueItem {
    DueItem { stream: apex("acme.com"), claim_id: id(claim), kind, attempt, due_at: start() + after }
}

#[tokio::test]
async fn projects_rows_from_claim_to_transfer() {
    let week = chrono::TimeDelta::days(7);
    let mut fixture = ProjectorFixture::new().await;
    fixture.initiate(1, "acme.com", 1).await;
    fixture.fold(10).await;
    assert_eq!(statuses(&fixture, 1).await, ["pending"]);
    assert_eq!(fixture.due_work().await, [due_row(1, DueKind::Expire, 0, week)]);

    fixture.clock.advance(seconds(60));
    fixture.execute(&apex("acme.com"), Command::RequestVerification { claim_id: id(1) }).await.unwrap();
    fixture.fold(10).await;
    assert_eq!(statuses(&fixture, 1).await, ["verifying"]);
    // The event itself requests the first check; the row is for the case that its message is lost.
    let expire = due_row(1, DueKind::Expire, 0, seconds(60) + week);
    assert_eq!(fixture.due_work().await, [due_row(1, DueKind::Check, 1, seconds(60 + 30)), expire.clone()]);

    fixture.clock.advance(seconds(5));
    fixture.check(1, "acme.com", 1, absent(), None).await;
    fixture.fold(10).await;
    let state = load::<Ownership>(&fixture.store, &apex("acme.com")).await.unwrap().state;
    let scheduled = state.claims[&id(1)].pending.unwrap().due_at - start();
    assert!(scheduled > seconds(65 + 20) && scheduled < seconds(65 + 40), "{scheduled}");
    assert_eq!(fixture.due_work().await, [due_row(1, DueKind::Check, 2, scheduled), expire]);

    fixture.check(1, "acme.com", 2, Proven, None).await;
    fixture.fold(10).await;
    assert_eq!(statuses(&fixture, 1).await, ["verified"]);
    let due = fixture.due_work().await;
    assert_eq!(due.len(), 1, "a held name does not expire: {due:?}");
    assert_eq!((due[0].kind, due[0].attempt), (DueKind::Check, 3));

    fixture.start_verifying(2, "acme.com", 2).await;
    fixture.fold(10).await;
    assert_eq!(statuses(&fixture, 2).await, ["verifying"]);
    fixture.check(2, "acme.com", 1, Proven, Some(absent())).await;
    fixture.fold(10).await;
    assert_eq!(
        (statuses(&fixture, 1).await, statuses(&fixture, 2).await),
        (vec!["transferred".into()], vec!["verified".into()])
    );
    let due = fixture.due_work().await;
    assert_eq!(
        due.iter().map(|item| item.claim_id).collect::<Vec<_>>(),
        [id(2)],
        "an ended claim has no work"
    );
}

#[tokio::test]
async fn folded_row_equals_stream_state() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.start_verifying(2, "beta.com", 1).await;
    fixture.check(2, "beta.com", 1, Proven, None).await;
    fixture.fold(2).await;
    let streams = [apex("acme.com"), apex("beta.com")];
    for row in fixture.store.ownerships(&streams).await.unwrap() {
        let loaded = load::<Ownership>(&fixture.store, &row.stream).await.unwrap();
        assert_eq!((row.version, row.state), (loaded.version, loaded.state));
    }
}

#[tokio::test]
async fn ignores_events_already_folded() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.fold(10).await;
    let before = fixture.store.digest().await.unwrap();
    let from = fixture.last_position().await;
    fixture.initiate(2, "acme.com", 2).await;
    let to = fixture.last_position().await;

    // The whole log again, with one new event.
    let events = fixture.store.read_log(Position(0), 100).await.unwrap();
    let lease = fixture.lease().await;
    let again = Batch { lease: &lease, from, to, events: &events };
    assert!(matches!(fixture.projector.consume(again).await, Ok(Progress::Advanced)));
    let after = fixture.store.digest().await.unwrap();
    assert_ne!(before, after);
    assert_eq!(fixture.store.checkpoint(READ_MODELS).await.unwrap(), to);
    let row = &fixture.store.ownerships(&[apex("acme.com")]).await.unwrap()[0];
    let loaded = load::<Ownership>(&fixture.store, &apex("acme.com")).await.unwrap();
    assert_eq!((row.version, &row.state), (loaded.version, &loaded.state));
}

#[tokio::test]
async fn rejects_gap_in_stream() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    let before = fixture.store.digest().await.unwrap();
    let events = fixture.store.read_log(Position(1), 100).await.unwrap();
    let lease = fixture.lease().await;
    let holed = Batch { lease: &lease, from: Position(0), to: Position(2), events: &events };
    let Err(SubscriberError::Retry(error)) = fixture.projector.consume(holed).await else {
        panic!("the batch was folded");
    };
    let expected = FoldError { stream: apex("acme.com"), folded: Version(0), found: Version(2) };
    assert_eq!(error.downcast_ref(), Some(&expected));
    assert_eq!(fixture.store.digest().await.unwrap(), before);
    assert_eq!(fixture.store.checkpoint(READ_MODELS).await.unwrap(), Position(0));
}

#[tokio::test]
async fn writes_nothing_after_losing_lease() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    let old = fixture.lease().await;
    fixture.clock.advance(seconds(60));
    let now = deed_claims::Clock::now(&*fixture.clock);
    fixture.store.acquire(READ_MODELS, "another", now, TTL).await.unwrap().unwrap();
    let events = fixture.store.read_log(Position(0), 100).await.unwrap();
    let batch = Batch { lease: &old, from: Position(0), to: Position(2), events: &events };
    assert!(matches!(fixture.projector.consume(batch).await, Err(SubscriberError::Lost)));
    assert_eq!(statuses(&fixture, 1).await, Vec::<String>::new());
}

#[tokio::test]
async fn projects_apps_but_not_slugs() {
    let mut fixture = ProjectorFixture::new().await;
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
    fixture.store.append(append).await.unwrap();
    fixture.fold(1).await;
    assert_eq!(fixture.store.checkpoint(READ_MODELS).await.unwrap(), Position(3));
    let page = fixture.store.apps_of(&"ws_1".parse().unwrap(), 10, 0).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    assert_eq!((page.rows[0].version, &page.rows[0].app.primary), (Version(2), &Some(domain)));
}
