//! The suite: writing to the log and reading it back.
use super::samples::{
    apex, app_created, app_id, append, append_all, at, by_workspace, cancelled, checked, initiated, metadata,
    requested, write,
};
use super::{StoreUnderTest, append_as_one_batch, within};
use crate::{AppendError, Appended, EventStore, Metadata, Position, RecordedEvent, Version};
use deed_claims::{Event, StreamId};
use tokio::task::JoinSet;

fn recorded(position: u64, stream: &StreamId, version: u64, event: &Event) -> RecordedEvent {
    RecordedEvent {
        position: Position(position),
        stream: stream.clone(),
        version: Version(version),
        recorded_at: at(0),
        metadata: metadata(),
        event: event.clone(),
        schema: event.schema(),
        payload: event.payload().unwrap(),
    }
}

fn conflict(stream: &StreamId, expected: u64, actual: u64, result: &Result<Appended, AppendError>) {
    match result {
        Err(AppendError::Conflict { stream: of, expected: was, actual: is }) => {
            assert_eq!((of, was.0, is.0), (stream, expected, actual));
        }
        other => panic!("expected a conflict of {stream} at {expected}, which is at {actual}: {other:?}"),
    }
}

async fn positions(store: &dyn EventStore) -> Vec<u64> {
    store.read_log(Position(0), 1_000).await.unwrap().iter().map(|event| event.position.0).collect()
}

/// Position, version, time, metadata and payload.
pub async fn reads_back_appended_events<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    let (name, app) = (apex("acme.com"), StreamId::app(&app_id(1)));
    let first = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 5), checked(1, 1, 6)];
    let made: Event = app_created(1, 1, 7).into();

    let appended = store.append(append(&name, 0, first.clone())).await.unwrap();
    assert_eq!(appended, Appended { position: Position(3), versions: vec![Version(3)] });
    let appended = store.append(append(&app, 0, vec![made.clone()])).await.unwrap();
    assert_eq!(appended, Appended { position: Position(4), versions: vec![Version(1)] });

    let of_name: Vec<_> = (1..).zip(&first).map(|(n, event)| recorded(n, &name, n, event)).collect();
    let of_app = vec![recorded(4, &app, 1, &made)];
    assert_eq!(store.read_stream(&name, Version(0), usize::MAX).await.unwrap(), of_name);
    assert_eq!(store.read_stream(&app, Version(0), usize::MAX).await.unwrap(), of_app);
    assert_eq!(store.read_log(Position(0), 10).await.unwrap(), [of_name, of_app].concat());
    assert_eq!(store.last_position().await.unwrap(), Position(4));
}

/// An empty log is empty too.
pub async fn unwritten_stream_is_empty<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    assert_eq!(store.read_stream(&apex("acme.com"), Version(0), usize::MAX).await.unwrap(), []);
    assert_eq!(store.read_log(Position(0), 10).await.unwrap(), []);
    assert_eq!(store.last_position().await.unwrap(), Position(0));
}

/// Versions before and after that of the stream; nothing is written.
pub async fn rejects_wrong_expected_version<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    let stream = apex("acme.com");
    let begin = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 0)];
    store.append(append(&stream, 0, begin)).await.unwrap();
    for expected in [0, 1, 3] {
        let result = store.append(append(&stream, expected, vec![cancelled(1, 1)])).await;
        conflict(&stream, expected, 2, &result);
    }
    let unwritten = apex("other.com");
    conflict(&unwritten, 1, 0, &store.append(append(&unwritten, 1, vec![cancelled(1, 1)])).await);
    assert_eq!(positions(&*store).await, [1, 2]);

    let appended = store.append(append(&stream, 2, vec![cancelled(1, 1)])).await.unwrap();
    assert_eq!(appended, Appended { position: Position(3), versions: vec![Version(3)] });
}

/// Only later events, and none of other streams.
pub async fn reads_stream_after_version<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    let (stream, other) = (apex("acme.com"), apex("other.com"));
    for n in 0..5 {
        store.append(append(&stream, n, vec![requested(1, 1, 0)])).await.unwrap();
        store.append(append(&other, n, vec![requested(2, 1, 0)])).await.unwrap();
    }
    for after in 0..=6 {
        let versions: Vec<_> = store
            .read_stream(&stream, Version(after), usize::MAX)
            .await
            .unwrap()
            .iter()
            .map(|e| e.version.0)
            .collect();
        assert_eq!(versions, (after + 1..=5).collect::<Vec<_>>());
    }
}

/// Many concurrent readers, some of the same stream.
pub async fn concurrent_stream_reads_get_their_own_events<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    // Stream n has n events; stream 0 was never written.
    let stream = |number: u64| apex(&format!("n{number}.com"));
    for number in 1..=6 {
        let events = (0..number).map(|_| requested(1, 1, 0)).collect();
        store.append(append(&stream(number), 0, events)).await.unwrap();
    }
    let mut readers = JoinSet::new();
    for reader in 0..70 {
        let (store, number, after) = (store.clone(), reader % 7, reader % 3);
        let stream = stream(number);
        readers.spawn(async move {
            let found = store.read_stream(&stream, Version(after), usize::MAX).await.unwrap();
            assert!(found.iter().all(|event| event.stream == stream));
            let versions: Vec<_> = found.iter().map(|event| event.version.0).collect();
            assert_eq!(versions, (after + 1..=number).collect::<Vec<_>>(), "{stream} after {after}");
        });
    }
    readers.join_all().await;
}

/// In order, for events of several streams.
pub async fn reads_log_after_position_up_to_limit<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    for n in 0..10 {
        let stream = apex(if n % 2 == 0 { "acme.com" } else { "other.com" });
        store.append(append(&stream, n / 2, vec![requested(1, 1, 0)])).await.unwrap();
    }
    for (after, limit, expected) in [(0, 4, 1..=4), (4, 4, 5..=8), (8, 4, 9..=10), (0, 100, 1..=10)] {
        let read = store.read_log(Position(after), limit).await.unwrap();
        let read: Vec<_> = read.iter().map(|event| event.position.0).collect();
        assert_eq!(read, expected.collect::<Vec<u64>>());
    }
    assert_eq!(store.read_log(Position(10), 4).await.unwrap(), []);
}

/// A backend may read many events in another way than few.
pub async fn large_and_small_log_reads_agree<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    let app = StreamId::app(&app_id(1));
    store.append(append(&app, 0, vec![app_created(1, 1, 7).into()])).await.unwrap();
    for n in 1..40 {
        let (stream, holder) = (apex(&format!("n{n}.com")), by_workspace(1));
        let events =
            vec![initiated(n, &format!("n{n}.com"), holder, 0), requested(n, 1, 5), checked(n, 1, 6)];
        let mut append = append(&stream, 0, events);
        if n % 2 == 0 {
            append.metadata = Metadata::default();
        }
        store.append(append).await.unwrap();
    }
    let mut one_by_one = vec![];
    for after in 0..118 {
        one_by_one.extend(store.read_log(Position(after), 1).await.unwrap());
    }
    assert_eq!(one_by_one.len(), 118);
    for limit in [118, 1_000, 100_000, usize::MAX] {
        for after in [0, 1, 117, 118, 1_000] {
            let read = store.read_log(Position(u64::try_from(after).unwrap()), limit).await.unwrap();
            assert_eq!(read, one_by_one[after.min(118)..], "{limit} after {after}");
        }
    }
}

/// A conflict of one stream prevents the writes to all others.
pub async fn multi_stream_append_is_atomic<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    let (one, two) = (apex("one.com"), apex("two.com"));
    let event = || vec![requested(1, 1, 0)];
    let both = |expected| {
        append_all(vec![write(&one, 0, event()), write(&two, expected, [event(), event()].concat())])
    };

    conflict(&two, 4, 0, &store.append(both(4)).await);
    assert_eq!(positions(&*store).await, [0_u64; 0]);
    let appended = store.append(both(0)).await.unwrap();
    assert_eq!(appended, Appended { position: Position(3), versions: vec![Version(1), Version(2)] });
    conflict(&one, 0, 1, &store.append(both(2)).await);

    assert_eq!(positions(&*store).await, [1, 2, 3]);
    assert_eq!(store.read_stream(&one, Version(0), usize::MAX).await.unwrap().len(), 1);
    assert_eq!(store.read_stream(&two, Version(0), usize::MAX).await.unwrap().len(), 2);
}

/// A later append of a batch sees the versions of earlier ones, and conflicts leave no gap.
pub async fn appends_of_a_batch_conflict_independently<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (a, b, c) = (apex("a.com"), apex("b.com"), apex("c.com"));
    let event = || vec![requested(1, 1, 0)];
    let batch = vec![
        append(&a, 0, event()),
        append(&b, 5, event()),
        append(&a, 1, [event(), event()].concat()),
        append(&a, 1, event()),
        append_all(vec![write(&c, 0, event()), write(&b, 9, event())]),
        append_all(vec![write(&c, 0, event()), write(&a, 3, event())]),
    ];
    let results = append_as_one_batch(&under_test, batch).await;
    assert_eq!(results.len(), 6);
    assert_eq!(*results[0].as_ref().unwrap(), Appended { position: Position(1), versions: vec![Version(1)] });
    conflict(&b, 5, 0, &results[1]);
    assert_eq!(*results[2].as_ref().unwrap(), Appended { position: Position(3), versions: vec![Version(3)] });
    conflict(&a, 1, 3, &results[3]);
    conflict(&b, 9, 0, &results[4]);
    let last = Appended { position: Position(5), versions: vec![Version(1), Version(4)] };
    assert_eq!(*results[5].as_ref().unwrap(), last);

    let store = under_test.events();
    let log = store.read_log(Position(0), 100).await.unwrap();
    let log: Vec<_> = log.iter().map(|e| (e.position.0, e.stream.as_str(), e.version.0)).collect();
    let expected = [
        (1, "apex:a.com", 1),
        (2, "apex:a.com", 2),
        (3, "apex:a.com", 3),
        (4, "apex:c.com", 1),
        (5, "apex:a.com", 4),
    ];
    assert_eq!(log, expected);
}

/// A waiting reader is woken.
pub async fn head_changes_after_append<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.events();
    let mut head = store.head();
    for n in 0..3 {
        head.mark_unchanged();
        store.append(append(&apex("acme.com"), n, vec![requested(1, 1, 0)])).await.unwrap();
        within(head.changed()).await.unwrap();
    }
}
