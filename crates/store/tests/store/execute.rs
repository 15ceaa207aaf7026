//! Command execution.
use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use deed_claims::app::{App, SlugOwner, SlugTaken};
use deed_claims::{ClaimState, Event, Ownership, StreamId};
use deed_store::conformance::samples::{
    apex, app_created, app_id, append, at, by_workspace, initiated, metadata, request, requested,
};
use deed_store::{
    Begin, EventStore, ExecuteError, Executed, Idempotency, Load, Loaded, Plan, Position, Receipt,
    StoredResponse, Version, execute, load,
};
use tokio::{task::JoinSet, time::Instant};

use crate::faulty::{Call, Fault, FaultyStore, RuntimeClock};

type Name = Loaded<Ownership>;

fn event() -> Event {
    requested(1, 1, 0)
}

#[expect(clippy::unnecessary_wraps, reason = "decisions return a result, and this one never fails")]
fn accept(writes: Vec<(StreamId, Vec<Event>)>) -> Result<Plan<()>, Infallible> {
    Ok(Plan { writes, receipt: None, result: () })
}

/// Executes at the beginning of the clock, with the suite's metadata.
async fn run<L: Load, R, E>(
    store: &FaultyStore,
    streams: L::Streams,
    decide: impl FnMut(&L, DateTime<Utc>) -> Result<Plan<R>, E> + Send,
) -> Result<Executed<L, R>, ExecuteError<E>> {
    execute(store, &RuntimeClock::new(), streams, &metadata(), decide).await
}

async fn versions(store: &FaultyStore) -> Vec<(String, u64)> {
    let log = store.read_log(Position(0), 1_000).await.unwrap();
    log.iter().map(|event| (event.stream.to_string(), event.version.0)).collect()
}

#[tokio::test(start_paused = true)]
async fn loads_and_folds_streams() {
    let store = FaultyStore::new();
    let (name, app) = (apex("acme.com"), StreamId::app(&app_id(1)));
    let slug: deed_claims::app::Slug = "docs".parse().unwrap();
    let taken = SlugTaken { app_id: app_id(1), slug: slug.clone(), at: at(0) };
    store.append_now(append(
        &name,
        0,
        vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)],
    ));
    store.append_now(append(&app, 0, vec![app_created(1, 1, 0).into()]));
    store.append_now(append(&StreamId::slug(&slug), 0, vec![taken.into()]));

    let loaded = load::<Ownership>(&store, &name).await.unwrap();
    assert_eq!((loaded.version, loaded.events.len()), (Version(2), 2));
    let claim = loaded.state.claims.values().next().unwrap();
    assert!(matches!(claim.state, ClaimState::Verifying { .. }));
    assert_eq!(load::<App>(&store, &app).await.unwrap().state.unwrap().app_id, app_id(1));
    assert_eq!(load::<SlugOwner>(&store, &StreamId::slug(&slug)).await.unwrap().state.0, Some(app_id(1)));

    assert_eq!(load::<Ownership>(&store, &apex("a.com")).await.unwrap(), Loaded::empty(apex("a.com")));
    let absent = StreamId::app(&app_id(2));
    assert_eq!(load::<App>(&store, &absent).await.unwrap(), Loaded::empty(absent));
}

#[tokio::test(start_paused = true)]
async fn decides_on_loaded_streams_and_appends() {
    let store = FaultyStore::new();
    store.append_now(append(&apex("b.com"), 0, vec![event()]));
    let streams = [apex("b.com"), apex("a.com")];
    let names = (streams[0].clone(), vec![streams[1].clone()]);
    let executed = run(&store, names, |(b, others): &(Name, Vec<Name>), now| {
        assert_eq!(now, at(0));
        let loaded = [b, &others[0]].map(|name| (&name.stream, name.version.0));
        assert_eq!((loaded, others.len()), ([(&streams[0], 1), (&streams[1], 0)], 1));
        let writes = vec![
            (streams[1].clone(), vec![event()]),
            (apex("c.com"), vec![]),
            (streams[0].clone(), vec![event()]),
            (streams[1].clone(), vec![event()]),
        ];
        Ok::<_, Infallible>(Plan { writes, receipt: None, result: "done" })
    });
    let executed = executed.await.unwrap();
    assert_eq!((executed.result, executed.position), ("done", Some(Position(4))));
    assert_eq!((executed.loaded.0.version, executed.loaded.1[0].version), (Version(1), Version(0)));
    let written = [("b.com", 1), ("a.com", 1), ("a.com", 2), ("b.com", 2)];
    assert_eq!(versions(&store).await, written.map(|(name, version)| (format!("apex:{name}"), version)));
    let last = store.read_log(Position(3), 1).await.unwrap().remove(0);
    assert_eq!((last.metadata, last.recorded_at), (metadata(), at(0)));
}

#[tokio::test(start_paused = true)]
async fn plan_without_events_appends_nothing() {
    let store = FaultyStore::new();
    let request = request(1, "k");
    let begin = async |second| {
        store.memory.begin(&request, [0; 32], at(second), at(second + 60), at(-60)).await.unwrap()
    };
    assert_eq!(begin(0).await, Begin::Started);
    let receipt =
        Receipt { request: request.clone(), response: StoredResponse { status: 200, body: "{}".to_owned() } };
    let stream = apex("acme.com");
    let write = async |writes: Vec<(StreamId, Vec<Event>)>| {
        let decide = |_: &Name, _| {
            Ok::<_, Infallible>(Plan { writes: writes.clone(), receipt: Some(receipt.clone()), result: 1 })
        };
        let executed = run(&store, stream.clone(), decide).await.unwrap();
        (executed.result, executed.position)
    };
    for nothing in [vec![], vec![(stream.clone(), vec![])]] {
        assert_eq!(write(nothing).await, (1, None));
        assert_eq!(begin(1).await, Begin::Running);
    }
    assert_eq!(write(vec![(stream.clone(), vec![event()])]).await, (1, Some(Position(1))));
    assert_eq!(begin(2).await, Begin::Answered(receipt.response.clone()));
}

#[tokio::test(start_paused = true)]
async fn decides_again_after_conflict() {
    let store = FaultyStore::new();
    let stream = &apex("acme.com");
    let mut decisions = vec![];
    let executed = run(&store, stream.clone(), |name: &Name, _| {
        let version = name.version;
        decisions.push((version.0, name.events.iter().map(|event| event.version.0).collect::<Vec<_>>()));
        if version.0 < 3 {
            store.append_now(append(stream, version.0, vec![event()]));
        }
        accept(vec![(stream.clone(), vec![event()])])
    });
    assert_eq!(executed.await.unwrap().position, Some(Position(4)));
    assert_eq!(decisions, [(0, vec![]), (1, vec![1]), (2, vec![1, 2]), (3, vec![1, 2, 3])]);
}

#[tokio::test(start_paused = true)]
async fn contended_after_eight_attempts() {
    let store = FaultyStore::new();
    let (stream, started) = (&apex("acme.com"), Instant::now());
    let mut attempts = 0;
    let executed = run(&store, stream.clone(), |name: &Name, _| {
        attempts += 1;
        store.append_now(append(stream, name.version.0, vec![event()]));
        accept(vec![(stream.clone(), vec![event()])])
    });
    let refused = executed.await;
    assert!(matches!(refused, Err(ExecuteError::Contended)), "{refused:?}");
    assert_eq!(attempts, 8);
    assert!(started.elapsed() >= Duration::from_millis(7), "{:?}", started.elapsed());
    assert!(started.elapsed() <= Duration::from_millis(7 * 20), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn unloaded_stream_is_expected_to_be_new() {
    let store = FaultyStore::new();
    let create = async || {
        run(&store, vec![], |_: &Vec<Name>, _| accept(vec![(apex("acme.com"), vec![event()])])).await
    };
    assert_eq!(create().await.unwrap().position, Some(Position(1)));
    assert!(matches!(create().await, Err(ExecuteError::Contended)));
    assert_eq!(versions(&store).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rejection_appends_nothing() {
    let store = FaultyStore::new();
    let refused = run(&store, apex("acme.com"), |_: &Name, _| Err::<Plan<()>, _>("no"));
    assert!(matches!(refused.await, Err(ExecuteError::Rejected("no"))));
    assert_eq!(versions(&store).await, []);
}

#[tokio::test(start_paused = true)]
async fn does_not_retry_append_with_unknown_result() {
    let store = FaultyStore::new();
    store.inject(Call::Append, [Fault::LoseAnswer]);
    let mut attempts = 0;
    let executed = run(&store, apex("acme.com"), |_: &Name, _| {
        attempts += 1;
        accept(vec![(apex("acme.com"), vec![event()])])
    });
    assert!(matches!(executed.await, Err(ExecuteError::Unavailable(_))));
    assert_eq!((attempts, versions(&store).await.len()), (1, 1));
}

/// One succeeds in each round, so no rival has more conflicts than there are others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rivals_on_one_stream_all_succeed() {
    let store = FaultyStore::new();
    let clock = Arc::new(RuntimeClock::new());
    let mut rivals = JoinSet::new();
    for rival in 0..7 {
        let (store, clock) = (store.clone(), Arc::clone(&clock));
        rivals.spawn(async move {
            let metadata = deed_store::Metadata { request_id: Some(format!("req_{rival}")), ..metadata() };
            let stream = apex("acme.com");
            let decide = |_: &Name, _| Ok::<_, Infallible>(Plan::write(&stream, [event()]));
            execute(&store, &*clock, stream.clone(), &metadata, decide).await.unwrap()
        });
    }
    let mut positions: Vec<_> =
        rivals.join_all().await.into_iter().map(|done| done.position.unwrap().0).collect();
    positions.sort_unstable();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7]);
}
