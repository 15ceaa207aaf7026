//! Brokers that are down, freeze, or run out of memory. Each test uses a private broker.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use deed_bus::metrics::Health;
use deed_bus::{Bus, BusError, Limits, RabbitMq};
use deed_testkit::eventually;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{
    QUEUE, TIMEOUT, config, connected, limits, next, publish_until_confirmed, show_logs, topology, within,
    work,
};

type Ids = Arc<Mutex<HashSet<String>>>;

/// Publishes batches until it is stopped, and records the confirmed ids.
async fn publish_until_stopped(bus: RabbitMq, confirmed: Ids, stop: CancellationToken) {
    let publisher = bus.publisher();
    for batch in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let messages: Vec<_> = (0..20).map(|number| work(format!("{batch}-{number}"))).collect();
        let ids: Vec<_> = messages.iter().map(|message| message.id.clone()).collect();
        if let Ok(outcomes) = publisher.publish(messages).await {
            let delivered = ids.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_confirmed());
            confirmed.lock().unwrap().extend(delivered.map(|(id, _)| id));
        }
    }
}

/// Consumes until the bus is closed, and records the received ids.
async fn consume_until_closed(bus: RabbitMq, received: Ids) {
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    while let Some(delivery) = consumer.next().await.unwrap() {
        received.lock().unwrap().insert(delivery.message().id.clone());
        // A delivery that cannot be settled is delivered again.
        let _ = delivery.acknowledge().await;
    }
}

async fn grows(what: &str, ids: &Ids) {
    let before = ids.lock().unwrap().len();
    eventually(what, TIMEOUT, async || (ids.lock().unwrap().len() > before + 100).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_messages_survive_a_broker_crash() {
    let mut broker = deed_testkit::RabbitMq::start().await;
    let vhost = broker.vhost().await;
    broker.stop().await;

    // Down at the start.
    let limits = Limits { publish_deadline: Duration::from_secs(1), max_deliveries: 1_000, ..limits() };
    show_logs();
    let bus = RabbitMq::start(config(vhost.url(), limits), topology()).unwrap();
    let started = Instant::now();
    let refused = bus.publisher().publish(vec![work("early")]).await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(bus.dead_letters().list(1).await.is_err());
    assert!(bus.depth(QUEUE).await.is_err());
    assert_eq!(bus.health(), Health::default());
    broker.start_again().await;
    within(bus.connected()).await;
    eventually("the bus to be healthy", TIMEOUT, async || bus.health().connected.then_some(())).await;
    let established = bus.health().connections;
    assert!(established >= 1);

    // Down while publishing and consuming.
    let (confirmed, received, stop, tasks) =
        (Ids::default(), Ids::default(), CancellationToken::new(), TaskTracker::new());
    tasks.spawn(publish_until_stopped(bus.clone(), Arc::clone(&confirmed), stop.clone()));
    tasks.spawn(consume_until_closed(bus.clone(), Arc::clone(&received)));
    grows("messages to be published", &confirmed).await;
    grows("messages to be received", &received).await;
    broker.kill().await;
    eventually("the loss to be noticed", TIMEOUT, async || (!bus.is_connected()).then_some(())).await;
    broker.start_again().await;
    grows("messages to be published again", &confirmed).await;
    assert!(bus.health().connections > established);
    stop.cancel();
    let missing = || -> Vec<String> {
        let (confirmed, received) = (confirmed.lock().unwrap(), received.lock().unwrap());
        confirmed.difference(&received).cloned().collect()
    };
    let all = async {
        while !missing().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let all_received = tokio::time::timeout(TIMEOUT, all).await.is_ok();
    assert!(all_received, "confirmed and never received: {:?}", missing());
    within(bus.close()).await;
    tasks.close();
    within(tasks.wait()).await;
}

/// Deliveries that are unsettled while the broker is frozen.
const UNSETTLED: u32 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaces_the_connection_to_a_frozen_broker() {
    let broker = deed_testkit::RabbitMq::start().await;
    let vhost = broker.vhost().await;
    let bus = connected(vhost.url(), topology(), limits()).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    let mut unsettled = vec![];
    for id in 100..100 + UNSETTLED {
        publish_until_confirmed(&bus, work(id)).await;
        unsettled.push(next(&mut consumer).await);
    }

    broker.freeze();
    let frozen = Instant::now();
    let refused = bus.publisher().publish(vec![work(2)]).await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))), "{refused:?}");
    assert!(frozen.elapsed() < limits().publish_deadline + Duration::from_secs(1));
    eventually("the silence to be noticed", TIMEOUT, async || (!bus.is_connected()).then_some(())).await;
    // The heartbeat interval is in whole seconds, so a missing heartbeat is noticed a little late.
    assert!(frozen.elapsed() < Duration::from_secs(8), "{:?}", frozen.elapsed());
    // Publishing and consuming have a connection each, and the loss of the other one may be noticed later: settling
    // succeeds while its socket takes bytes, and has to fail afterwards.
    let mut every = tokio::time::interval(Duration::from_millis(250));
    let not_acknowledged = loop {
        every.tick().await;
        let delivery = unsettled.pop().expect("settling on a connection that is gone has to fail");
        let id = delivery.message().id.clone();
        if delivery.acknowledge().await.is_err() {
            break id;
        }
    };
    assert!(frozen.elapsed() < Duration::from_secs(8), "{:?}", frozen.elapsed());

    broker.thaw();
    publish_until_confirmed(&bus, work(3)).await;
    let mut received = HashSet::new();
    while ![not_acknowledged.as_str(), "3"].iter().all(|id| received.contains(*id)) {
        let delivery = next(&mut consumer).await;
        received.insert(delivery.message().id.clone());
        delivery.acknowledge().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_broker_refuses_publishes_and_still_delivers() {
    let mut broker = deed_testkit::RabbitMq::start().await;
    let vhost = broker.vhost().await;
    let bus = connected(vhost.url(), topology(), limits()).await;
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
        delivery.acknowledge().await.unwrap();
    }
    eventually("an empty queue", TIMEOUT, async || (bus.depth(QUEUE).await.ok()?.ready == 0).then_some(()))
        .await;

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
