//! The suite: handing out due work.
use std::{collections::HashSet, sync::Arc};

use deed_claims::DueKind;
use tokio::task::JoinSet;

use super::samples::{apex, at, by_workspace, changes, claim_id, initiated, together};
use super::{StoreUnderTest, hold, within};
use crate::{DueItem, DueRow, Overdue, Position};

/// One check for each claim, due at these seconds.
async fn checks(store: &impl StoreUnderTest, due: &[(u32, i64)]) {
    let parts = due.iter().map(|&(claim, second)| {
        let name = format!("n{claim}.com");
        let stream = apex(&name);
        let mut part = changes(&stream, &[initiated(claim, &name, by_workspace(1), 0)]);
        let row = DueRow {
            claim_id: claim_id(claim),
            kind: DueKind::Check,
            attempt: claim + 10,
            due_at: at(second),
        };
        part.due = vec![(stream, row)];
        part
    });
    let lease = hold(store).await;
    store.read_models().apply(&lease, Position(0), Position(1), together(parts)).await.unwrap();
}

fn numbers(items: &[DueItem]) -> Vec<u32> {
    items.iter().map(|item| item.attempt - 10).collect()
}

/// Nothing before it is due.
pub async fn hands_out_due_work_oldest_first_up_to_limit<S: StoreUnderTest>() {
    let under_test = S::start().await;
    checks(&under_test, &[(1, 30), (2, 10), (3, 20), (4, 40), (5, 25)]).await;
    let store = under_test.due_work();
    assert_eq!(store.claim_due(at(9), 10, at(100)).await.unwrap(), []);
    let first = store.claim_due(at(30), 2, at(100)).await.unwrap();
    assert_eq!(numbers(&first), [2, 3]);
    let expected = DueItem {
        stream: apex("n2.com"),
        claim_id: claim_id(2),
        kind: DueKind::Check,
        attempt: 12,
        due_at: at(10),
    };
    assert_eq!(first[0], expected);
    assert_eq!(numbers(&store.claim_due(at(30), 10, at(100)).await.unwrap()), [5, 1]);
    assert_eq!(numbers(&store.claim_due(at(50), 10, at(100)).await.unwrap()), [4]);
}

/// Work is handed out again when it was not done.
pub async fn handed_out_work_is_hidden_until_time_out<S: StoreUnderTest>() {
    let under_test = S::start().await;
    checks(&under_test, &[(1, 0), (2, 1)]).await;
    let store = under_test.due_work();
    assert_eq!(numbers(&store.claim_due(at(10), 1, at(60)).await.unwrap()), [1]);
    assert_eq!(numbers(&store.claim_due(at(10), 10, at(90)).await.unwrap()), [2]);
    assert_eq!(store.claim_due(at(59), 10, at(100)).await.unwrap(), []);
    assert_eq!(numbers(&store.claim_due(at(61), 10, at(200)).await.unwrap()), [1]);
    assert_eq!(numbers(&store.claim_due(at(91), 10, at(200)).await.unwrap()), [2]);
}

/// Only work that was given back.
pub async fn returned_work_is_visible_at_once<S: StoreUnderTest>() {
    let under_test = S::start().await;
    checks(&under_test, &[(1, 0), (2, 1), (3, 2)]).await;
    let store = under_test.due_work();
    let handed = store.claim_due(at(10), 10, at(100)).await.unwrap();
    assert_eq!(numbers(&handed), [1, 2, 3]);
    store.give_back(&handed[1..]).await.unwrap();
    assert_eq!(numbers(&store.claim_due(at(11), 10, at(100)).await.unwrap()), [2, 3]);
    store.give_back(&[]).await.unwrap();
    assert_eq!(store.claim_due(at(12), 10, at(100)).await.unwrap(), []);
}

/// With many concurrent dispatchers, nothing is handed out twice.
pub async fn hands_work_to_one_dispatcher<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let due: Vec<_> = (1..=60).map(|claim| (claim, i64::from(claim))).collect();
    checks(&under_test, &due).await;
    let mut dispatchers = JoinSet::new();
    for _ in 0..6 {
        let store = Arc::clone(&under_test.due_work());
        dispatchers.spawn(async move {
            let mut mine = vec![];
            loop {
                let handed = store.claim_due(at(100), 7, at(1_000)).await.unwrap();
                if handed.is_empty() {
                    return mine;
                }
                mine.extend(numbers(&handed));
            }
        });
    }
    let mut seen = HashSet::new();
    while let Some(mine) = within(dispatchers.join_next()).await {
        for number in mine.unwrap() {
            assert!(seen.insert(number), "{number} was handed out twice");
        }
    }
    assert_eq!(seen.len(), 60);
}

/// The earliest of both.
pub async fn next_due_time_includes_hidden_work<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.due_work();
    assert_eq!(store.next_due_at().await.unwrap(), None);
    checks(&under_test, &[(1, 10), (2, 50)]).await;
    assert_eq!(store.next_due_at().await.unwrap(), Some(at(10)));
    let handed = store.claim_due(at(11), 10, at(40)).await.unwrap();
    assert_eq!(store.next_due_at().await.unwrap(), Some(at(40)));
    store.give_back(&handed).await.unwrap();
    assert_eq!(numbers(&store.claim_due(at(12), 10, at(90)).await.unwrap()), [1]);
    assert_eq!(store.next_due_at().await.unwrap(), Some(at(50)));
}

/// Work that was handed out waits, but is not overdue.
pub async fn overdue_counts_visible_due_rows<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.due_work();
    assert_eq!(store.overdue(at(0)).await.unwrap(), Overdue { waiting: 0, overdue: 0, oldest: None });
    checks(&under_test, &[(1, 10), (2, 20), (3, 30)]).await;
    assert_eq!(store.overdue(at(5)).await.unwrap(), Overdue { waiting: 3, overdue: 0, oldest: None });
    assert_eq!(
        store.overdue(at(25)).await.unwrap(),
        Overdue { waiting: 3, overdue: 2, oldest: Some(at(10)) }
    );
    assert_eq!(numbers(&store.claim_due(at(25), 1, at(100)).await.unwrap()), [1]);
    assert_eq!(
        store.overdue(at(26)).await.unwrap(),
        Overdue { waiting: 3, overdue: 1, oldest: Some(at(20)) }
    );
    assert_eq!(
        store.overdue(at(101)).await.unwrap(),
        Overdue { waiting: 3, overdue: 3, oldest: Some(at(10)) }
    );
}
