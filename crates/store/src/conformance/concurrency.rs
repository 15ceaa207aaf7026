//! The suite: concurrent writers and readers, in several processes where the backend allows it.
use std::{collections::HashMap, sync::Arc, time::Duration};

use deed_claims::StreamId;
use tokio::task::JoinSet;

use super::samples::{apex, append, append_all, requested, write};
use super::{StoreUnderTest, within};
use crate::{AppendError, EventStore, Position, RecordedEvent, Version};

const WRITERS: usize = 16;
const ROUNDS: u64 = 20;
/// In each round a writer appends one event to one of its streams, and two to the other.
const TOTAL: u64 = 16 * ROUNDS * 3;

async fn handles<S: StoreUnderTest>() -> (Vec<S>, Vec<Arc<dyn EventStore>>) {
    let first = S::start().await;
    let second = first.replica().await;
    let all: Vec<S> = std::iter::once(first).chain(second).collect();
    let stores = all.iter().map(S::events).collect();
    (all, stores)
}

fn stream_of(writer: usize, which: &str) -> StreamId {
    apex(&format!("{which}-{writer}.com"))
}

/// An acknowledged event is in the log, with all events before it.
async fn assert_gapless_up_to(store: &dyn EventStore, position: Position) {
    let after = position.0.saturating_sub(40);
    let limit = usize::try_from(position.0 - after).unwrap();
    let read: Vec<_> =
        store.read_log(Position(after), limit).await.unwrap().iter().map(|event| event.position.0).collect();
    assert_eq!(read, (after + 1..=position.0).collect::<Vec<_>>());
}

async fn write_rounds(store: Arc<dyn EventStore>, writer: usize) {
    let (one, two) = (stream_of(writer, "one"), stream_of(writer, "two"));
    let event = || requested(u32::try_from(writer).unwrap(), 1, 0);
    for round in 0..ROUNDS {
        let both = vec![write(&one, round, vec![event()]), write(&two, round * 2, vec![event(), event()])];
        let appended = store.append(append_all(both)).await.unwrap();
        assert_eq!(appended.versions, [Version(round + 1), Version(round * 2 + 2)]);
        assert_gapless_up_to(&*store, appended.position).await;
    }
}

fn spawn_writers(stores: &[Arc<dyn EventStore>]) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_rounds(Arc::clone(&stores[writer % stores.len()]), writer));
    }
    writers
}

fn assert_gapless(log: &[RecordedEvent]) {
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for (position, event) in (1..).zip(log) {
        assert_eq!(event.position, Position(position));
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        assert_eq!(event.version, Version(*version), "{} at {position}", event.stream);
    }
    assert_eq!(log.len(), usize::try_from(TOTAL).unwrap());
    assert_eq!(versions.len(), WRITERS * 2);
}

async fn join(mut tasks: JoinSet<()>) {
    while let Some(task) = within(tasks.join_next()).await {
        task.unwrap();
    }
}

/// The log has no gap below an acknowledged position, and none at the end.
pub async fn positions_are_gapless_and_commit_ordered<S: StoreUnderTest>() {
    let (_all, stores) = handles::<S>().await;
    join(spawn_writers(&stores)).await;
    for store in &stores {
        assert_gapless(&store.read_log(Position(0), 10_000).await.unwrap());
        assert_eq!(store.last_position().await.unwrap(), Position(TOTAL));
    }
}

/// A reader that follows the log during writes gets each event once and in order.
pub async fn tailing_reader_misses_no_event<S: StoreUnderTest>() {
    let (_all, stores) = handles::<S>().await;
    let mut tasks = spawn_writers(&stores);
    for (limit, store) in [7, 100].into_iter().zip(stores.iter().cycle().cloned()) {
        tasks.spawn(async move {
            let mut head = store.head();
            let mut seen: Vec<RecordedEvent> = vec![];
            while seen.len() < usize::try_from(TOTAL).unwrap() {
                head.mark_unchanged();
                let after = seen.last().map_or(Position(0), |event| event.position);
                let more = store.read_log(after, limit).await.unwrap();
                assert!(more.len() <= limit);
                if more.is_empty() {
                    // A missing hint must not make it miss an event.
                    let _ = tokio::time::timeout(Duration::from_millis(20), head.changed()).await;
                }
                seen.extend(more);
            }
            assert_gapless(&seen);
        });
    }
    join(tasks).await;
}

/// Of many appends with the same expected version one succeeds, and the others get the actual version.
pub async fn one_rival_wins_each_version<S: StoreUnderTest>() {
    let (_all, stores) = handles::<S>().await;
    let stream = apex("acme.com");
    for round in 0..5 {
        let mut rivals = JoinSet::new();
        for rival in 0..WRITERS {
            let (store, stream) = (Arc::clone(&stores[rival % stores.len()]), stream.clone());
            rivals.spawn(async move { store.append(append(&stream, round, vec![requested(1, 1, 0)])).await });
        }
        let mut won = 0;
        while let Some(result) = within(rivals.join_next()).await {
            match result.unwrap() {
                Ok(appended) => {
                    won += 1;
                    assert_eq!(
                        (appended.position.0, appended.versions),
                        (round + 1, vec![Version(round + 1)])
                    );
                }
                Err(AppendError::Conflict { actual, .. }) => assert_eq!(actual, Version(round + 1)),
                Err(AppendError::Unavailable(error)) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1);
    }
}
