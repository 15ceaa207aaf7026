use std::{collections::BTreeSet, sync::Arc, time::Duration as StdDuration};

use async_trait::async_trait;
use deed_bus::{CloudEvent, Consumer, InProcess, Limits};
use prometheus::Registry;
use serde_json::Value;

use super::*;
use crate::testing::{VISIBILITY, World, absent, id, seconds};

fn limits(capacity: usize) -> Limits {
    Limits { capacity, publish_deadline: StdDuration::from_millis(50), ..Limits::default() }
}

fn dispatch(world: &World, bus: &InProcess) -> Dispatch {
    Dispatch {
        due: Arc::new(world.store.clone()),
        bus: Arc::new(bus.clone()),
        publisher: bus.publisher(),
        clock: world.clock.clone(),
        limit: 500,
        window: 2000,
        pace: Pace::new(100_000),
        visibility: Duration::from_std(VISIBILITY).unwrap(),
        source: "/deed".to_owned(),
        metrics: DispatcherMetrics::register(&Registry::new()).unwrap(),
    }
}

fn bus(capacity: usize) -> InProcess {
    InProcess::new(Topology::deed(), limits(capacity))
}

/// Claims that are watched, their first checks due now: the messages that asked for them are lost.
async fn watched(claims: u8) -> World {
    let mut world = World::new().await;
    for claim in 1..=claims {
        world.watch(claim, &format!("n{claim}.com"), 1).await;
    }
    world.fold(100).await;
    world.clock.advance(seconds(30));
    world
}

/// Takes what waits in the queue and is done with it.
async fn take(bus: &InProcess) -> Vec<CloudEvent> {
    let mut consumer: Box<dyn Consumer> = bus.consumer(Topology::VERIFICATION).await.unwrap();
    let mut events = vec![];
    while bus.depth(Topology::VERIFICATION).await.unwrap().ready > 0 {
        let delivery = consumer.next().await.unwrap().unwrap();
        assert_eq!(delivery.message().routing_key.as_str(), KEY);
        let event = CloudEvent::from_json(&delivery.message().body).unwrap();
        assert_eq!(event.id, delivery.message().id);
        events.push(event);
        delivery.done().await.unwrap();
    }
    events
}

fn claims(events: &[CloudEvent]) -> BTreeSet<String> {
    events.iter().map(|event| event.data["claimId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn due_work_becomes_a_message_that_says_what_to_do() {
    let (world, bus) = (watched(1).await, bus(100));
    let dispatch = dispatch(&world, &bus);
    assert_eq!(dispatch.round().await.unwrap(), Round::Done);
    let events = take(&bus).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].r#type, TYPE);
    assert_eq!(events[0].subject.as_deref(), Some("apex:n1.com"));
    assert_eq!(events[0].time, Some(world.clock.now()));
    let expected: Value = json!({"claimId": id(1), "kind": "check", "attempt": 1});
    assert_eq!(events[0].data, expected);
    assert!(events[0].id.starts_with(&format!("due_{}_check_1_", id(1))), "{}", events[0].id);
    assert_eq!(dispatch.metrics.dispatched(deed_claims::DueKind::Check).get(), 1);
    assert_eq!(dispatch.metrics.lateness.get_sample_count(), 1);
}

#[tokio::test]
async fn nothing_is_asked_for_before_its_time_or_after_it_was_done() {
    let mut world = World::new().await;
    world.watch(1, "n1.com", 1).await;
    world.fold(100).await;
    let bus = bus(100);
    let dispatch = dispatch(&world, &bus);
    world.clock.advance(seconds(29));
    let next = world.clock.now() + seconds(1);
    assert_eq!(dispatch.round().await.unwrap(), Round::Idle(Some(next)));
    world.check(1, "n1.com", 1, absent(), None).await;
    world.fold(100).await;
    world.clock.advance(seconds(5));
    assert!(matches!(dispatch.round().await.unwrap(), Round::Idle(Some(later)) if later > next));
    assert_eq!(take(&bus).await, []);
}

#[tokio::test]
async fn a_lost_message_is_asked_for_again_after_the_visibility() {
    let (world, bus) = (watched(1).await, bus(100));
    let dispatch = dispatch(&world, &bus);
    assert_eq!(dispatch.round().await.unwrap(), Round::Done);
    let first = take(&bus).await;
    world.clock.advance(seconds(29));
    assert!(matches!(dispatch.round().await.unwrap(), Round::Idle(Some(_))));
    world.clock.advance(seconds(1));
    assert_eq!(dispatch.round().await.unwrap(), Round::Done);
    let second = take(&bus).await;
    assert_eq!(first[0].data, second[0].data);
    assert_ne!(first[0].id, second[0].id);
}

#[tokio::test]
async fn what_a_full_queue_does_not_take_is_given_back() {
    let (world, bus) = (watched(3).await, bus(1));
    let dispatch = dispatch(&world, &bus);
    assert_eq!(dispatch.round().await.unwrap(), Round::Refused(2));
    assert_eq!(dispatch.metrics.given_back.get(), 2);
    let mut events = take(&bus).await;
    assert_eq!(events.len(), 1);
    // No time has to pass.
    assert_eq!(dispatch.round().await.unwrap(), Round::Refused(1));
    events.extend(take(&bus).await);
    assert_eq!(dispatch.round().await.unwrap(), Round::Done);
    events.extend(take(&bus).await);
    assert_eq!((events.len(), claims(&events).len()), (3, 3));
}

#[tokio::test]
async fn a_queue_that_nobody_works_on_does_not_fill_up_with_repetitions() {
    let (world, bus) = (watched(3).await, bus(100));
    let dispatch = Dispatch { window: 2, ..dispatch(&world, &bus) };
    assert_eq!(dispatch.round().await.unwrap(), Round::More);
    for _ in 0..5 {
        world.clock.advance(seconds(60));
        assert_eq!(dispatch.round().await.unwrap(), Round::Crowded);
    }
    assert_eq!(take(&bus).await.len(), 2);
    // As soon as somebody works again, there is more.
    assert_eq!(dispatch.round().await.unwrap(), Round::More);
}

/// A bus whose broker is gone for a while.
struct Flaky {
    bus: InProcess,
    gone: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Publisher for Flaky {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError> {
        if self.gone.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(BusError::Unavailable("gone".into()));
        }
        self.bus.publisher().publish(messages).await
    }
}

#[tokio::test]
async fn after_an_outage_there_is_one_message_for_each_row() {
    let (world, bus) = (watched(40).await, bus(100));
    let publisher = Arc::new(Flaky { bus: bus.clone(), gone: true.into() });
    let dispatch = Dispatch { publisher: publisher.clone(), ..dispatch(&world, &bus) };
    for _ in 0..60 {
        assert!(matches!(dispatch.round().await, Err(DispatchError::Bus(_))));
        world.clock.advance(seconds(60));
    }
    publisher.gone.store(false, std::sync::atomic::Ordering::SeqCst);
    while dispatch.round().await.unwrap() != Round::Done {}
    let events = take(&bus).await;
    assert_eq!((events.len(), claims(&events).len()), (40, 40));
}

#[tokio::test]
async fn a_round_takes_no_more_than_its_limit_and_the_oldest_first() {
    let (world, bus) = (watched(5).await, bus(100));
    let dispatch = Dispatch { limit: 2, ..dispatch(&world, &bus) };
    let rounds = [Round::More, Round::More, Round::Done];
    for expected in rounds {
        assert_eq!(dispatch.round().await.unwrap(), expected);
    }
    assert_eq!(claims(&take(&bus).await).len(), 5);
}

#[tokio::test]
async fn what_piled_up_is_sent_spread_out_and_once_for_each_claim() {
    let (world, bus) = (watched(40).await, bus(100));
    // Nobody dispatched for a day; every claim has one row, however many checks it missed.
    world.clock.advance(seconds(86_400));
    let dispatch = Dispatch { pace: Pace::new(10), ..dispatch(&world, &bus) };
    let mut sent = vec![];
    for second in 1..=4 {
        assert_eq!(dispatch.round().await.unwrap(), Round::More, "{second}");
        let next = dispatch.round().await.unwrap();
        if second < 4 {
            assert_eq!(next, Round::Paced(StdDuration::from_millis(100)));
        }
        let now = take(&bus).await;
        assert_eq!(now.len(), 10, "{second}");
        sent.extend(now);
        world.clock.advance(seconds(1));
    }
    assert_eq!(claims(&sent).len(), 40);
    assert!(matches!(dispatch.round().await.unwrap(), Round::Idle(Some(_))));
}
