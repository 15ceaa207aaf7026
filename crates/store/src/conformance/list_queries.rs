//! The suite: lists of claims and apps.
use chrono::DateTime;
use deed_claims::{ClaimId, Holder};

use super::samples::{
    apex, app_changes, app_created, app_deleted, app_id, by_app, by_workspace, cancelled, changes, claim_id,
    granted, host, initiated, requested, together, workspace,
};
use super::{StoreUnderTest, hold};
use crate::{Changes, ClaimQuery, Cursor, Position, ReadModels};

async fn apply(store: &impl StoreUnderTest, parts: Vec<Changes>) {
    let lease = hold(store).await;
    store.read_models().apply(&lease, Position(0), Position(1), together(parts)).await.unwrap();
}

/// An initiated claim on its own name.
fn pending(claim: u32, holder: Holder, second: i64) -> Changes {
    let name = format!("n{claim}.com");
    let stream = if holder.app().is_some() { host(&name) } else { apex(&name) };
    changes(&stream, &[initiated(claim, &name, holder, second)])
}

fn of(number: u8, limit: usize) -> ClaimQuery {
    ClaimQuery { workspace_id: workspace(number), app_id: None, statuses: vec![], after: None, limit }
}

/// Every page of a list.
async fn pages(store: &dyn ReadModels, mut query: ClaimQuery) -> Vec<Vec<ClaimId>> {
    let mut pages = vec![];
    loop {
        let page = store.claims(&query).await.unwrap();
        pages.push(page.rows.iter().map(|row| row.claim.id).collect());
        assert!(pages.len() < 100, "the list does not end");
        match page.next {
            Some(next) => query.after = Some(next),
            None => return pages,
        }
    }
}

fn ids(numbers: &[u32]) -> Vec<ClaimId> {
    numbers.iter().copied().map(claim_id).collect()
}

/// The last page has no cursor, even when it is full.
pub async fn lists_claims_newest_first_in_pages<S: StoreUnderTest>() {
    let under_test = S::start().await;
    // Neither ids nor names are in the order of time.
    let seconds = [(1, 40), (2, 10), (3, 50), (4, 20), (5, 30), (6, 60)];
    apply(&under_test, seconds.map(|(claim, second)| pending(claim, by_workspace(1), second)).to_vec()).await;
    let store = under_test.read_models();
    assert_eq!(pages(&*store, of(1, 100)).await, [ids(&[6, 3, 1, 5, 4, 2])]);
    assert_eq!(pages(&*store, of(1, 4)).await, [ids(&[6, 3, 1, 5]), ids(&[4, 2])]);
    assert_eq!(pages(&*store, of(1, 2)).await, [ids(&[6, 3]), ids(&[1, 5]), ids(&[4, 2])]);
    assert_eq!(pages(&*store, of(1, 6)).await, [ids(&[6, 3, 1, 5, 4, 2])]);
    assert_eq!(pages(&*store, of(9, 2)).await, [ids(&[])]);
}

/// The ids give the order.
pub async fn pages_claims_of_one_instant_without_loss<S: StoreUnderTest>() {
    let under_test = S::start().await;
    apply(&under_test, (1..=7).map(|claim| pending(claim, by_workspace(1), 5)).collect()).await;
    let mut seen = pages(&*under_test.read_models(), of(1, 2)).await.concat();
    assert_eq!(seen.len(), 7);
    seen.sort();
    assert_eq!(seen, ids(&[1, 2, 3, 4, 5, 6, 7]));
}

/// Also a cursor that the store did not give.
pub async fn accepts_any_cursor<S: StoreUnderTest>() {
    let under_test = S::start().await;
    apply(&under_test, (1..=2).map(|claim| pending(claim, by_workspace(1), 5)).collect()).await;
    let store = under_test.read_models();
    let last = "9999-12-31T23:59:59.999999Z".parse().unwrap();
    for (initiated_at, found) in [(DateTime::UNIX_EPOCH, 0), (last, 2)] {
        for id in [[0; 16], [0xff; 16]] {
            let after = Some(Cursor { initiated_at, claim_id: ClaimId::from_bytes(id) });
            let page = store.claims(&ClaimQuery { after, ..of(1, 10) }).await.unwrap();
            assert_eq!(page.rows.len(), found, "{initiated_at}");
        }
    }
}

/// One status, several, or none for all; pages count matching claims only.
pub async fn filters_claims_by_status<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let mut parts: Vec<_> = (1..=3).map(|claim| pending(claim, by_workspace(1), i64::from(claim))).collect();
    for claim in 4..=6 {
        let name = format!("n{claim}.com");
        let begin = [initiated(claim, &name, by_workspace(1), i64::from(claim)), requested(claim, 1, 10)];
        parts.push(changes(&apex(&name), &begin));
    }
    parts.push(changes(&apex("n7.com"), &[initiated(7, "n7.com", by_workspace(1), 7), cancelled(7, 8)]));
    apply(&under_test, parts).await;
    let store = under_test.read_models();
    let asked = |statuses: &[&str], limit| ClaimQuery {
        statuses: statuses.iter().map(|&status| status.to_owned()).collect(),
        ..of(1, limit)
    };
    assert_eq!(pages(&*store, asked(&["verifying"], 10)).await, [ids(&[6, 5, 4])]);
    assert_eq!(pages(&*store, asked(&["verifying"], 2)).await, [ids(&[6, 5]), ids(&[4])]);
    assert_eq!(pages(&*store, asked(&["pending", "ended"], 3)).await, [ids(&[7, 3, 2]), ids(&[1])]);
    assert_eq!(pages(&*store, asked(&["contested"], 3)).await, [ids(&[])]);
    assert_eq!(pages(&*store, asked(&[], 10)).await, [ids(&[7, 6, 5, 4, 3, 2, 1])]);
}

/// A workspace does not see the claims of another.
pub async fn separates_claims_of_workspace_and_apps<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let holders = [
        by_workspace(1),
        by_app(1, 1),
        by_app(1, 2),
        by_workspace(2),
        by_app(2, 3),
        by_app(1, 1),
        by_workspace(1),
    ];
    let parts = (1..).zip(holders).map(|(claim, holder)| pending(claim, holder, i64::from(claim)));
    apply(&under_test, parts.collect()).await;
    let store = under_test.read_models();
    let by = |workspace, app| ClaimQuery { app_id: app, ..of(workspace, 10) };
    assert_eq!(pages(&*store, by(1, None)).await, [ids(&[7, 1])]);
    assert_eq!(pages(&*store, by(1, Some(app_id(1)))).await, [ids(&[6, 2])]);
    assert_eq!(pages(&*store, by(1, Some(app_id(2)))).await, [ids(&[3])]);
    assert_eq!(pages(&*store, by(2, None)).await, [ids(&[4])]);
    assert_eq!(pages(&*store, by(2, Some(app_id(1)))).await, [ids(&[])], "another workspace's app");
}

/// Including the claims of its apps.
pub async fn counts_open_claims_that_are_not_held<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let mut held = vec![initiated(3, "held.com", by_workspace(1), 0), requested(3, 1, 1)];
    held.extend(granted(3, by_workspace(1), 2));
    let parts = vec![
        pending(1, by_workspace(1), 0),
        pending(2, by_app(1, 1), 0),
        changes(&apex("held.com"), &held),
        changes(&apex("over.com"), &[initiated(4, "over.com", by_workspace(1), 0), cancelled(4, 1)]),
        changes(&apex("seen.com"), &[initiated(5, "seen.com", by_workspace(1), 0), requested(5, 1, 1)]),
        pending(6, by_workspace(2), 0),
    ];
    apply(&under_test, parts).await;
    let store = under_test.read_models();
    assert_eq!(store.open_claims(&workspace(1)).await.unwrap(), 3);
    assert_eq!(store.open_claims(&workspace(2)).await.unwrap(), 1);
    assert_eq!(store.open_claims(&workspace(3)).await.unwrap(), 0);
}

/// In pages, with the total.
pub async fn lists_apps_oldest_first_without_deleted<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let mut parts: Vec<_> = [(1, 30), (2, 10), (3, 20), (4, 40)]
        .map(|(app, second)| app_changes(&[app_created(app, 1, second)]))
        .to_vec();
    parts.push(app_changes(&[app_created(5, 1, 5), app_deleted(5, 50)]));
    parts.push(app_changes(&[app_created(6, 2, 15)]));
    apply(&under_test, parts).await;
    let store = under_test.read_models();
    for (limit, offset, expected) in
        [(10, 0, vec![2, 3, 1, 4]), (2, 1, vec![3, 1]), (2, 3, vec![4]), (2, 4, vec![])]
    {
        let page = store.apps_of(&workspace(1), limit, offset).await.unwrap();
        assert_eq!(page.total, 4);
        let shown: Vec<_> = page.rows.iter().map(|row| row.app.app_id.clone()).collect();
        assert_eq!(shown, expected.into_iter().map(app_id).collect::<Vec<_>>());
    }
    assert_eq!(store.apps_of(&workspace(3), 10, 0).await.unwrap().total, 0);
}
