//! Positions are in commit order, also with slow and dying processes.
use std::time::Duration;

use deed_store::conformance::samples::{apex, append, requested};
use deed_store::{EventStore, Position, Version};
use futures::future::join_all;
use sqlx::Connection;

use crate::given::{Given, TIMEOUT, UNFINISHED_APPEND, run, text, until};

const APPEND_WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    AND datname = current_database() AND query LIKE '%deed_append%' AND state = 'active'";

#[tokio::test]
async fn append_waits_for_uncommitted_position() {
    let given = Given::empty().await.migrated().await;
    let (store, mut slow, mut watcher) = (given.store().await, given.raw().await, given.raw().await);
    for (end, position) in [("COMMIT", 2), ("ROLLBACK", 3)] {
        run(&mut slow, "BEGIN").await.unwrap();
        let of_slow = UNFINISHED_APPEND.replace("slow.com", &format!("{}.com", end.to_lowercase()));
        run(&mut slow, &of_slow).await.unwrap();
        let appending = tokio::spawn({
            let (store, stream) = (store.clone(), apex(&format!("after-{}.com", end.to_lowercase())));
            async move { store.append(append(&stream, 0, vec![requested(1, 1, 0)])).await.unwrap() }
        });
        until(&mut watcher, "the append to wait", APPEND_WAITS).await;
        let before = store.last_position().await.unwrap();
        assert_eq!(before, Position(if end == "COMMIT" { 0 } else { 2 }));
        assert_eq!(store.read_log(before, 10).await.unwrap(), []);
        assert!(!appending.is_finished());
        run(&mut slow, end).await.unwrap();
        let appended = tokio::time::timeout(TIMEOUT, appending).await.unwrap().unwrap();
        assert_eq!(appended.position, Position(position));
    }
    let positions = "SELECT string_agg(position::text, ' ' ORDER BY position) FROM events";
    assert_eq!(text(&mut watcher, positions).await, "1 2 3");
}

#[tokio::test]
async fn conflicts_after_concurrent_commit() {
    let given = Given::empty().await.migrated().await;
    let (store, mut slow, mut watcher) = (given.store().await, given.raw().await, given.raw().await);
    run(&mut slow, "BEGIN").await.unwrap();
    run(&mut slow, UNFINISHED_APPEND).await.unwrap();
    let appending = tokio::spawn({
        let store = store.clone();
        // On one thread, appends that are submitted together form one batch; the second one has to succeed.
        let batch = vec![
            append(&apex("slow.com"), 0, vec![requested(1, 1, 0)]),
            append(&apex("free.com"), 0, vec![requested(2, 1, 0)]),
            append(&apex("slow.com"), 1, vec![requested(1, 2, 0)]),
        ];
        async move { join_all(batch.into_iter().map(|append| store.append(append))).await }
    });
    until(&mut watcher, "the append to wait", APPEND_WAITS).await;
    run(&mut slow, "COMMIT").await.unwrap();
    let results = tokio::time::timeout(TIMEOUT, appending).await.unwrap().unwrap();
    let Err(deed_store::AppendError::Conflict { actual, .. }) = &results[0] else { panic!("{results:?}") };
    assert_eq!(*actual, Version(1));
    assert_eq!(results[1].as_ref().unwrap().position, Position(2));
    let last = results[2].as_ref().unwrap();
    assert_eq!((last.position, &last.versions[..]), (Position(3), &[Version(2)][..]));
}

#[tokio::test]
async fn killed_append_blocks_no_other() {
    let given = Given::empty().await.migrated().await;
    let (store, mut dying, mut watcher) = (given.store().await, given.raw().await, given.raw().await);
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut dying).await.unwrap();
    run(&mut dying, "BEGIN").await.unwrap();
    run(&mut dying, UNFINISHED_APPEND).await.unwrap();
    let appending = tokio::spawn({
        let store = store.clone();
        async move { store.append(append(&apex("acme.com"), 0, vec![requested(1, 1, 0)])).await.unwrap() }
    });
    until(&mut watcher, "the append to wait", APPEND_WAITS).await;
    until(&mut watcher, "the end", &format!("SELECT pg_terminate_backend({pid})")).await;
    let appended = tokio::time::timeout(Duration::from_secs(5), appending).await.unwrap().unwrap();
    assert_eq!(appended.position, Position(1));
    assert_eq!(store.read_log(Position(0), 10).await.unwrap().len(), 1);
    dying.close_hard().await.ok();
}
