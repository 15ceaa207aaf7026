//! Brokers that are down, freeze, or run out of memory. Each test breaks one of its own.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use deed_bus::metrics::Health;
use deed_bus::{Bus, BusError, Limits, RabbitMq, Topology};
use deed_testkit::eventually;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{
    PATIENCE, QUEUE, config, connected, limits, next, publish_until_confirmed, show_logs, within, work,
};

type Ids = Arc<Mutex<HashSet<String>>>;

/// Publishes one batch after the other until it is told to stop, and notes what was confirmed.
async fn publish_all_along(bus: RabbitMq, confirmed: Ids, stop: CancellationToken) {
    let publisher = bus.publisher();
    for batch in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let messages: Vec<_> = (0..20).map(|number| work(format!("{batch}-{number}"))).collect();
        let ids: Vec<_> = messages.iter().map(|message| message.id.clone()).collect();
        if let Ok(outcomes) = publisher.publish(messages).await {
            let arrived = ids.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_confirmed());
            confirmed.lock().unwrap().extend(arrived.map(|(id, _)| id));
        }
    }
}

/// Consumes until the bus is closed, and notes what was seen.
async fn consume_all_along(bus: RabbitMq, seen: Ids) {
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    while let Some(delivery) = consumer.next().await.unwrap() {
        seen.lock().unwrap().insert(delivery.message().id.clone());
        // What cannot be settled comes again.
        let _ = delivery.done().await;
    }
}

async fn grows(what: &str, ids: &Ids) {
    let before = ids.lock().unwrap().len();
    eventually(what, PATIENCE, async || (ids.lock().unwrap().len() > before + 100).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_a_broker_that_dies_and_comes_back() {
    let mut broker = deed_testkit::RabbitMq::start().await;
    let vhost = broker.vhost().await;
    broker.stop().await;

    // Down at the start.
    let limits = Limits { publish_deadline: Duration::from_secs(1), max_deliveries: 1_000, ..limits() };
    show_logs();
    let bus = RabbitMq::start(config(vhost.url(), limits), Topology::deed()).unwrap();
    let started = Instant::now();
    let refused = bus.publisher().publish(vec![work("early")]).await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(bus.dead_letters().list(1).await.is_err());
    assert!(bus.depth(QUEUE).await.is_err());
    assert_eq!(bus.health(), Health::default());
    broker.start_again().await;
    within(bus.connected()).await;
    eventually("the bus to be well", PATIENCE, async || bus.health().connected.then_some(())).await;
    let made = bus.health().connections;
    assert!(made >= 1);

    // Down in the middle of everything.
    let (confirmed, seen, stop, tasks) =
        (Ids::default(), Ids::default(), CancellationToken::new(), TaskTracker::new());
    tasks.spawn(publish_all_along(bus.clone(), Arc::clone(&confirmed), stop.clone()));
    tasks.spawn(consume_all_along(bus.clone(), Arc::clone(&seen)));
    grows("messages to be published", &confirmed).await;
    grows("messages to be consumed", &seen).await;
    broker.kill().await;
    eventually("the loss to be noticed", PATIENCE, async || (!bus.is_connected()).then_some(())).await;
    broker.start_again().await;
    grows("messages to be published again", &confirmed).await;
    assert!(bus.health().connections > made);
    stop.cancel();
    let missing = || -> Vec<String> {
        let (confirmed, seen) = (confirmed.lock().unwrap(), seen.lock().unwrap());
        confirmed.difference(&seen).cloned().collect()
    };
    let all = async {
        while !missing().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let all_seen = tokio::time::timeout(PATIENCE, all).await.is_ok();
    assert!(all_seen, "confirmed and never seen: {:?}", missing());
    within(bus.close()).await;
    tasks.close();
    within(tasks.wait()).await;
}

/// Deliveries that are held while the broker is frozen.
const IN_HAND: u32 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_given_up_and_found_again() {
    let broker = deed_testkit::RabbitMq::start().await;
    let vhost = broker.vhost().await;
    let bus = connected(vhost.url(), Topology::deed(), limits()).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    let mut in_hand = vec![];
    for id in 100..100 + IN_HAND {
        publish_until_confirmed(&bus, work(id)).await;
        in_hand.push(next(&mut consumer).await);
    }

    broker.freeze();
    let frozen = Instant::now();
    let unheard = bus.publisher().publish(vec![work(2)]).await;
    assert!(matches!(unheard, Err(BusError::Unavailable(_))), "{unheard:?}");
    assert!(frozen.elapsed() < limits().publish_deadline + Duration::from_secs(1));
    eventually("the silence to be noticed", PATIENCE, async || (!bus.is_connected()).then_some(())).await;
    // Heartbeats are counted in seconds, so one of a second is noticed to be missing a little late.
    assert!(frozen.elapsed() < Duration::from_secs(8), "{:?}", frozen.elapsed());
    // Publishing and consuming have a connection each, so the other one may be noticed a little later: what is settled
    // before is said to a socket, and what is settled after has to fail.
    let mut every = tokio::time::interval(Duration::from_millis(250));
    let unsettled = loop {
        every.tick().await;
        let delivery = in_hand.pop().expect("settling on a connection that is gone has to fail");
        let id = delivery.message().id.clone();
        if delivery.done().await.is_err() {
            break id;
        }
    };
    assert!(frozen.elapsed() < Duration::from_secs(8), "{:?}", frozen.elapsed());

    broker.thaw();
    publish_until_confirmed(&bus, work(3)).await;
    let mut seen = HashSet::new();
    while ![unsettled.as_str(), "3"].iter().all(|id| seen.contains(*id)) {
        let delivery = next(&mut consumer).await;
        seen.insert(delivery.message().id.clone());
        delivery.done().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_takes_no_messages_and_gives_those_it_has() {
    let mut broker = deed_testkit::RabbitMq::start().await;
    let vhost = broker.vhost().await;
    let bus = connected(vhost.url(), Topology::deed(), limits()).await;
    for id in 0..3 {
        publish_until_confirmed(&bus, work(id)).await;
    }
    let mut consumer = bus.consumer(QUEUE).await.unwrap();

    assert_eq!((bus.health().connected, bus.health().blocked), (true, false));
    broker.block().await;
    for _ in 0..2 {
        let started = Instant::now();
        let refused = bus.publisher().publish(vec![work("refused")]).await;
        assert!(matches!(refused, Err(BusError::Unavailable(_))), "{refused:?}");
        let waited = started.elapsed();
        let deadline = limits().publish_deadline;
        assert!((deadline..deadline + Duration::from_secs(1)).contains(&waited), "{waited:?}");
    }
    assert_eq!((bus.health().connected, bus.health().blocked), (true, true), "a publisher was refused");
    for id in 0..3 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, id.to_string());
        delivery.done().await.unwrap();
    }
    eventually("room", PATIENCE, async || (bus.depth(QUEUE).await.ok()?.ready == 0).then_some(())).await;

    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { publish_until_confirmed(&bus, work("after")).await }
    });
    broker.unblock().await;
    within(waiting).await.unwrap();
    assert!(!bus.health().blocked);
    let after = async { while next(&mut consumer).await.message().id != "after" {} };
    within(after).await;
}
