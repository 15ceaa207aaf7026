//! Reading a long range of the log in pages.
use deed_store::conformance::samples::{apex, append, requested};
use deed_store::{Position, RecordedEvent, Unavailable, log_pages};
use futures::StreamExt;

use crate::faulty::{Call, Fault, FaultyStore};

fn with_events(count: u32) -> FaultyStore {
    let store = FaultyStore::new();
    for n in 0..count {
        store.append_now(append(&apex("acme.com"), u64::from(n), vec![requested(1, 1, 0)]));
    }
    store
}

async fn read(store: &FaultyStore, after: u64, end: u64, page: usize) -> Vec<Result<Vec<u64>, String>> {
    let positions = |events: Vec<RecordedEvent>| events.iter().map(|event| event.position.0).collect();
    let cause = |error: Unavailable| error.source.to_string();
    log_pages(store, Position(after), Position(end), page)
        .map(|page| page.map(positions).map_err(cause))
        .collect()
        .await
}

#[tokio::test]
async fn reads_pages_in_order_to_the_end() {
    let store = with_events(10);
    assert_eq!(read(&store, 0, 10, 4).await, [Ok(vec![1, 2, 3, 4]), Ok(vec![5, 6, 7, 8]), Ok(vec![9, 10])]);
    assert_eq!(read(&store, 3, 7, 4).await, [Ok(vec![4, 5, 6, 7])]);
    assert_eq!(read(&store, 0, 10, 100).await, [Ok((1..=10).collect())]);
    assert_eq!(read(&store, 9, 10, 0).await, [Ok(vec![10])]);
    assert_eq!(read(&store, 10, 10, 4).await, []);
    assert_eq!(read(&store, 10, 3, 4).await, []);
}

#[tokio::test]
async fn incomplete_page_is_an_error() {
    let store = with_events(5);
    let short = "the log ended at 5 where 8 was to come".to_owned();
    assert_eq!(read(&store, 0, 8, 4).await, [Ok(vec![1, 2, 3, 4]), Err(short)]);
    store.inject(Call::ReadLog, [Fault::Gap]);
    let hole = "position 2 was read where 1 was to come".to_owned();
    assert_eq!(read(&store, 0, 3, 3).await, [Err(hole)]);
}
