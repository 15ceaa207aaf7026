//! The suite: applying changes to the read models, resetting them, and their digest.
use deed_claims::{Event, StreamId};

use super::samples::{
    apex, app_changes, app_created, app_deleted, app_id, at, by_app, by_workspace, cancelled, changes,
    checked, granted, host, initiated, requested, together, workspace,
};
use super::{PROJECTION, StoreUnderTest, hold, superseded};
use crate::{Changes, ClaimQuery, Lease, LeaseError, Position, ReadModels};

fn acme() -> Vec<Event> {
    let mut events = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)];
    events.extend(granted(1, by_workspace(1), 2));
    events.extend([initiated(2, "acme.com", by_workspace(2), 3), requested(2, 1, 4)]);
    events
}

fn docs() -> Vec<Event> {
    vec![initiated(3, "docs.acme.com", by_app(1, 1), 10), requested(3, 1, 11), checked(3, 1, 12)]
}

fn everything() -> Changes {
    let names = [changes(&apex("acme.com"), &acme()), changes(&host("docs.acme.com"), &docs())];
    together(names.into_iter().chain([app_changes(&[app_created(1, 1, 5)])]))
}

async fn apply(store: &impl StoreUnderTest, lease: &Lease, from: u64, to: u64, changes: Changes) {
    store.read_models().apply(lease, Position(from), Position(to), changes).await.unwrap();
}

async fn checkpoint(store: &impl StoreUnderTest) -> u64 {
    store.checkpoints().checkpoint(PROJECTION).await.unwrap().0
}

async fn statuses(store: &dyn ReadModels, number: u8) -> Vec<(String, String)> {
    let query = ClaimQuery {
        workspace_id: workspace(number),
        app_id: None,
        statuses: vec![],
        after: None,
        limit: 100,
    };
    let page = store.claims(&query).await.unwrap();
    page.rows.into_iter().map(|row| (row.name.to_string(), row.status)).collect()
}

fn lost(result: &Result<(), LeaseError>) {
    assert!(matches!(result, Err(LeaseError::Lost)), "{result:?}");
}

/// Every row as given, and no rows for other streams.
pub async fn apply_writes_rows_and_moves_checkpoint<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, lease) = (under_test.read_models(), hold(&under_test).await);
    let given = everything();
    apply(&under_test, &lease, 0, 10, given.clone()).await;
    assert_eq!(checkpoint(&under_test).await, 10);

    let (mut streams, app) = (vec![apex("acme.com"), host("docs.acme.com")], StreamId::app(&app_id(1)));
    let mut shown =
        store.ownerships(&[streams.clone(), vec![apex("none.com"), app.clone()]].concat()).await.unwrap();
    shown.sort_by(|a, b| a.stream.cmp(&b.stream));
    assert_eq!(shown, given.ownerships);
    streams.push(app);
    assert_eq!(store.apps(&streams).await.unwrap(), given.apps);
    assert_eq!(store.ownerships(&[]).await.unwrap(), []);
    assert_eq!(store.apps(&[apex("none.com")]).await.unwrap(), []);

    let mut query =
        ClaimQuery { workspace_id: workspace(1), app_id: None, statuses: vec![], after: None, limit: 10 };
    assert_eq!(store.claims(&query).await.unwrap().rows, given.claims[..1]);
    query.workspace_id = workspace(2);
    assert_eq!(store.claims(&query).await.unwrap().rows, given.claims[1..2]);
    (query.workspace_id, query.app_id) = (workspace(1), Some(app_id(1)));
    assert_eq!(store.claims(&query).await.unwrap().rows, given.claims[2..]);
    assert_eq!(
        under_test.due_work().overdue(at(0)).await.unwrap().waiting,
        u64::try_from(given.due.len()).unwrap()
    );
}

/// An old owner cannot overwrite the rows of the new one.
pub async fn apply_rejects_old_lease<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (old, taken) = superseded(&under_test).await;
    let store = under_test.read_models();
    let before = store.digest().await.unwrap();
    lost(&store.apply(&old, Position(0), Position(10), everything()).await);
    assert_eq!(checkpoint(&under_test).await, 0);
    assert_eq!(store.digest().await.unwrap(), before);
    apply(&under_test, &taken, 0, 10, everything()).await;
}

/// Neither before nor after the checkpoint.
pub async fn apply_rejects_wrong_checkpoint<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, lease) = (under_test.read_models(), hold(&under_test).await);
    apply(&under_test, &lease, 0, 4, changes(&apex("acme.com"), &acme()[..2])).await;
    let before = store.digest().await.unwrap();
    for from in [0, 3, 5] {
        lost(&store.apply(&lease, Position(from), Position(10), everything()).await);
    }
    assert_eq!(checkpoint(&under_test).await, 4);
    assert_eq!(store.digest().await.unwrap(), before);
}

/// Claims and due work that are missing in the changes of a stream are deleted; other streams stay.
pub async fn apply_replaces_rows_of_its_streams_only<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, lease) = (under_test.read_models(), hold(&under_test).await);
    let (stream, other) = (apex("acme.com"), apex("other.com"));
    let mut events = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)];
    let others = vec![initiated(9, "other.com", by_workspace(1), 1)];
    apply(&under_test, &lease, 0, 3, together([changes(&stream, &events), changes(&other, &others)])).await;
    assert_eq!(under_test.due_work().overdue(at(0)).await.unwrap().waiting, 3);

    // A new claim of the same holder replaces its ended claim in the fold.
    events.extend([cancelled(1, 2), initiated(2, "acme.com", by_workspace(1), 3)]);
    apply(&under_test, &lease, 3, 5, changes(&stream, &events)).await;
    let shown = statuses(&*store, 1).await;
    let expected =
        [("acme.com", "pending"), ("other.com", "pending")].map(|(n, s)| (n.to_owned(), s.to_owned()));
    assert_eq!(shown, expected);
    assert_eq!(
        store.ownerships(std::slice::from_ref(&stream)).await.unwrap(),
        changes(&stream, &events).ownerships
    );
    assert_eq!(under_test.due_work().overdue(at(0)).await.unwrap().waiting, 2);

    events.push(cancelled(2, 4));
    apply(&under_test, &lease, 5, 6, changes(&stream, &events)).await;
    assert_eq!(under_test.due_work().overdue(at(0)).await.unwrap().waiting, 1);
    assert_eq!(statuses(&*store, 1).await[0].1, "ended");
}

/// In one batch with known streams, and when they change later.
pub async fn new_streams_get_the_same_rows<S: StoreUnderTest>() {
    let (plain, marked) = (S::start().await, S::start().await);
    let (stream, other) = (apex("acme.com"), apex("other.com"));
    let mut events = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)];
    let others = vec![initiated(9, "other.com", by_workspace(1), 1), requested(9, 1, 2)];
    let mut batches = vec![(vec![changes(&stream, &events)], vec![&stream])];
    events.extend([cancelled(1, 2), initiated(2, "acme.com", by_workspace(1), 3)]);
    batches.push((vec![changes(&stream, &events), changes(&other, &others)], vec![&other]));
    batches.push((vec![changes(&other, &[others, vec![checked(9, 1, 5)]].concat())], vec![]));
    for (store, marks) in [(&plain, false), (&marked, true)] {
        let lease = hold(store).await;
        for (at, (parts, new)) in (0..).zip(&batches) {
            let mut batch = together(parts.clone());
            batch.new_streams = new.iter().filter(|_| marks).copied().cloned().collect();
            apply(store, &lease, at, at + 1, batch).await;
        }
    }
    let (plain, marked) = (plain.read_models(), marked.read_models());
    assert_eq!(marked.digest().await.unwrap(), plain.digest().await.unwrap());
    assert_eq!(statuses(&*marked, 1).await.len(), 2);
}

/// A repeated row is not handed out twice; a row with another time or attempt is new.
pub async fn unchanged_due_work_stays_hidden<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (due, lease) = (under_test.due_work(), hold(&under_test).await);
    let stream = apex("acme.com");
    let mut events = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)];
    apply(&under_test, &lease, 0, 2, changes(&stream, &events)).await;
    assert_eq!(due.claim_due(at(2), 10, at(100)).await.unwrap().len(), 1);

    events.push(initiated(2, "acme.com", by_workspace(2), 3));
    apply(&under_test, &lease, 2, 3, changes(&stream, &events)).await;
    assert_eq!(due.claim_due(at(4), 10, at(100)).await.unwrap(), []);
    assert_eq!(due.claim_due(at(101), 10, at(200)).await.unwrap().len(), 1);

    let mut moved = changes(&stream, &events);
    let row = moved.due.iter_mut().find(|(_, row)| row.attempt == 1).unwrap();
    row.1.due_at = at(102);
    apply(&under_test, &lease, 3, 4, moved).await;
    let handed = due.claim_due(at(103), 10, at(200)).await.unwrap();
    assert_eq!(handed.iter().map(|item| item.due_at).collect::<Vec<_>>(), [at(102)]);

    events.push(checked(1, 1, 104));
    apply(&under_test, &lease, 4, 5, changes(&stream, &events)).await;
    let handed = due.claim_due(at(170), 10, at(200)).await.unwrap();
    assert_eq!(handed.iter().map(|item| item.attempt).collect::<Vec<_>>(), [2]);
}

/// For any size and order of batches.
pub async fn rebuild_gives_the_same_digest<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, lease) = (under_test.read_models(), hold(&under_test).await);
    let empty = store.digest().await.unwrap();
    apply(&under_test, &lease, 0, 10, everything()).await;
    let first = store.digest().await.unwrap();
    assert_ne!(first, empty);

    store.reset(&lease).await.unwrap();
    assert_eq!(checkpoint(&under_test).await, 0);
    assert_eq!(store.digest().await.unwrap(), empty);
    assert_eq!(statuses(&*store, 1).await, []);
    assert_eq!(store.ownerships(&[apex("acme.com")]).await.unwrap(), []);
    assert_eq!(store.apps_of(&workspace(1), 10, 0).await.unwrap().total, 0);
    assert_eq!(under_test.due_work().next_due_at().await.unwrap(), None);
    assert_eq!(under_test.due_work().overdue(at(0)).await.unwrap().waiting, 0);

    apply(&under_test, &lease, 0, 2, app_changes(&[app_created(1, 1, 5)])).await;
    apply(&under_test, &lease, 2, 5, changes(&host("docs.acme.com"), &docs())).await;
    apply(&under_test, &lease, 5, 7, changes(&apex("acme.com"), &acme()[..2])).await;
    apply(&under_test, &lease, 7, 10, changes(&apex("acme.com"), &acme())).await;
    assert_eq!(store.digest().await.unwrap(), first);
}

/// An old owner cannot delete the rows of the new one.
pub async fn reset_rejects_old_lease<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (old, taken) = superseded(&under_test).await;
    let store = under_test.read_models();
    apply(&under_test, &taken, 0, 10, everything()).await;
    let before = store.digest().await.unwrap();
    lost(&store.reset(&old).await);
    assert_eq!(checkpoint(&under_test).await, 10);
    assert_eq!(store.digest().await.unwrap(), before);
}

/// One difference in any read model changes the digest.
pub async fn digest_differs_for_different_contents<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, lease) = (under_test.read_models(), hold(&under_test).await);
    let mut digests = vec![store.digest().await.unwrap()];
    let variants: [fn(&mut Changes); 6] = [
        |_| {},
        |changes| changes.ownerships[0].version.0 += 1,
        |changes| "another".clone_into(&mut changes.claims[0].status),
        |changes| changes.due[0].1.due_at = at(12_345),
        |changes| changes.due.truncate(1),
        |changes| changes.apps = app_changes(&[app_created(1, 1, 5), app_deleted(1, 6)]).apps,
    ];
    for vary in variants {
        let mut given = everything();
        vary(&mut given);
        store.reset(&lease).await.unwrap();
        apply(&under_test, &lease, 0, 10, given).await;
        digests.push(store.digest().await.unwrap());
    }
    let mut distinct = digests.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), digests.len(), "{digests:?}");
}

/// Handing work out does not change the digest.
pub async fn digest_ignores_visibility<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, lease) = (under_test.read_models(), hold(&under_test).await);
    apply(&under_test, &lease, 0, 10, everything()).await;
    let before = store.digest().await.unwrap();
    assert!(!under_test.due_work().claim_due(at(1_000), 10, at(2_000)).await.unwrap().is_empty());
    assert_eq!(store.digest().await.unwrap(), before);
}
