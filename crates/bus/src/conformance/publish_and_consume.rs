//! Conformance: publishing, consuming and settling.

use std::{collections::HashSet, sync::Arc};

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    BusUnderTest, EVENTS, QUIET_PERIOD, TIMEOUT, WORK, depth_becomes, expect_no_message, limits, message,
    next, publish, topology, within, work,
};
use crate::{Bus, BusError, Consumer, Depth, Limits, Message, PublishOutcome, QueueSpec, Requirement};

/// The queue that is bound to all messages.
const EVERYTHING: &str = "conformance.everything";

/// A message reaches each queue that is bound to its key once, even if two bindings match, and no other queue.
pub async fn routes_to_bound_queues_only(under_test: &impl BusUnderTest) {
    let mut topology = topology();
    let everything = QueueSpec {
        bindings: ["#", "work.requested"].map(|binding| binding.parse().unwrap()).into(),
        dead_letter_queue: format!("{EVERYTHING}.dead"),
    };
    topology.queues.insert(EVERYTHING.to_owned(), everything);
    let bus = under_test.start(topology, limits()).await;
    let event = message("2", "events.of.the.day", Requirement::Optional);
    let other = message("3", "events.of.the", Requirement::Optional);
    publish(&*bus, vec![work(&"1"), event, other]).await;
    for (queue, ids) in [(WORK, &["1"][..]), (EVENTS, &["2"]), (EVERYTHING, &["1", "2", "3"])] {
        let mut consumer = bus.consumer(queue).await.unwrap();
        for id in ids {
            let delivery = next(&mut consumer).await;
            assert_eq!(delivery.message().id, *id);
            delivery.acknowledge().await.unwrap();
        }
        expect_no_message(&mut consumer).await;
    }
}

/// Only mandatory messages are unroutable. An event that no queue is bound to counts as delivered.
pub async fn reports_unroutable_messages(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let unroutable = message("1", "not.bound", Requirement::Mandatory);
    let event = message("2", "not.bound", Requirement::Optional);
    let outcomes = within(bus.publisher().publish(vec![unroutable, work(&"3"), event])).await.unwrap();
    assert_eq!(outcomes, [PublishOutcome::Unroutable, PublishOutcome::Confirmed, PublishOutcome::Confirmed]);
}

/// Every message of a batch has its own outcome; an empty batch has none.
pub async fn confirms_each_message_of_a_batch(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![]).await;
    publish(&*bus, (0..250).map(|id| work(&id)).collect()).await;
    depth_becomes(&*bus, WORK, Depth { ready: 250, unsettled: 0, dead: 0 }).await;
}

/// One consumer gets messages in the order in which they were published.
pub async fn keeps_order_for_one_consumer(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    for batch in 0..5 {
        publish(&*bus, (batch * 20..batch * 20 + 20).map(|id| work(&id)).collect()).await;
    }
    let mut consumer = bus.consumer(WORK).await.unwrap();
    for expected in 0..100 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, expected.to_string());
        delivery.acknowledge().await.unwrap();
    }
}

/// Body, content type and headers arrive as published.
pub async fn carries_messages_unchanged(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let mut sent = work(&"1");
    sent.body = vec![0, 159, 255, b'\n'].into();
    sent.content_type = "application/cloudevents+json".into();
    sent.headers.insert("traceparent".to_owned(), "00-1-2-01".to_owned());
    publish(&*bus, vec![sent.clone()]).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(*delivery.message(), sent);
    assert_eq!((delivery.attempt(), delivery.redelivered()), (1, false));
    delivery.acknowledge().await.unwrap();
}

/// Two consumers on one queue get different messages, and together all of them.
pub async fn competing_consumers_share_messages(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), Limits { prefetch: 5, ..limits() }).await;
    let mut consumers = [bus.consumer(WORK).await.unwrap(), bus.consumer(WORK).await.unwrap()];
    publish(&*bus, (0..10).map(|id| work(&id)).collect()).await;
    let mut unsettled = Vec::new();
    for consumer in &mut consumers {
        for _ in 0..5 {
            unsettled.push(next(consumer).await);
        }
    }
    let ids: HashSet<String> = unsettled.iter().map(|delivery| delivery.message().id.clone()).collect();
    assert_eq!(ids.len(), 10);
    for delivery in unsettled {
        delivery.acknowledge().await.unwrap();
    }
    depth_becomes(&*bus, WORK, Depth::default()).await;
}

/// A requeued message is delivered again, is marked as redelivered, and its deliveries are counted.
pub async fn marks_requeued_messages_as_redelivered(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    next(&mut consumer).await.requeue().await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((again.message().id.as_str(), again.attempt(), again.redelivered()), ("1", 2, true));
    again.acknowledge().await.unwrap();
}

/// A delivery that is dropped, or whose settling is never awaited, is delivered again to any consumer, even if its own
/// consumer was dropped before.
pub async fn requeues_dropped_deliveries(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut first = bus.consumer(WORK).await.unwrap();
    drop(next(&mut first).await);
    let unsettled = next(&mut first).await;
    assert_eq!((unsettled.attempt(), unsettled.redelivered()), (2, true));
    // Otherwise a broker may deliver it to the first consumer again, which never reads it, and count that.
    drop(first);
    drop(unsettled.acknowledge());
    let again = next(&mut bus.consumer(WORK).await.unwrap()).await;
    assert_eq!((again.message().id.as_str(), again.attempt(), again.redelivered()), ("1", 3, true));
    again.acknowledge().await.unwrap();
}

/// An acknowledged message is not delivered again, even to a new consumer.
pub async fn removes_acknowledged_messages(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    next(&mut consumer).await.acknowledge().await.unwrap();
    drop(consumer);
    expect_no_message(&mut bus.consumer(WORK).await.unwrap()).await;
    depth_becomes(&*bus, WORK, Depth::default()).await;
}

/// A consumer has no more unsettled deliveries than its prefetch; settling one lets the next one come.
pub async fn prefetch_limits_unsettled_deliveries(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), Limits { prefetch: 2, ..limits() }).await;
    publish(&*bus, (0..5).map(|id| work(&id)).collect()).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    let (one, two) = (next(&mut consumer).await, next(&mut consumer).await);
    expect_no_message(&mut consumer).await;
    depth_becomes(&*bus, WORK, Depth { ready: 3, unsettled: 2, dead: 0 }).await;
    one.acknowledge().await.unwrap();
    let three = next(&mut consumer).await;
    expect_no_message(&mut consumer).await;
    drop((two, three));
}

/// A cancelled wait leaves the message to the next caller.
pub async fn cancelled_wait_loses_no_message(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    expect_no_message(&mut consumer).await;
    publish(&*bus, vec![work(&"1")]).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message().id, "1");
    delivery.acknowledge().await.unwrap();
}

/// A full queue refuses after the deadline, keeps every confirmed message, and accepts more once there is a free slot.
pub async fn full_queue_refuses_messages_and_recovers(under_test: &impl BusUnderTest) {
    let limits = Limits { capacity: 10, publish_deadline: QUIET_PERIOD, ..limits() };
    let bus = under_test.start(topology(), limits).await;
    let publisher = bus.publisher();
    let mut confirmed = 0;
    let refused = loop {
        assert!(confirmed < 100, "the queue has no bound");
        match within(publisher.publish(vec![work(&confirmed)])).await.unwrap()[..] {
            [PublishOutcome::Confirmed] => confirmed += 1,
            [refused] => break refused,
            _ => panic!("one message has one outcome"),
        }
    };
    assert!(matches!(refused, PublishOutcome::Full | PublishOutcome::Rejected), "{refused:?}");
    assert!(confirmed >= 10, "the queue was full after {confirmed}");

    let mut consumer = bus.consumer(WORK).await.unwrap();
    for expected in 0..confirmed {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, expected.to_string());
        delivery.acknowledge().await.unwrap();
    }
    depth_becomes(&*bus, WORK, Depth::default()).await;
    publish(&*bus, vec![work(&"after")]).await;
    assert_eq!(next(&mut consumer).await.message().id, "after");
}

/// Closing ends waiting consumers and refuses publishers, but deliveries can still be settled.
pub async fn closing_ends_consumers_and_publishers(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut busy = bus.consumer(WORK).await.unwrap();
    let unsettled = next(&mut busy).await;
    let mut idle = bus.consumer(WORK).await.unwrap();
    let (ended, ()) = within(async { tokio::join!(idle.next(), bus.close()) }).await;
    assert!(ended.unwrap().is_none());
    bus.close().await;
    assert!(within(busy.next()).await.unwrap().is_none());
    unsettled.acknowledge().await.unwrap();
    let refused = within(bus.publisher().publish(vec![work(&"2")])).await;
    assert!(matches!(refused, Err(BusError::Closed)), "{refused:?}");
}

/// A queue outside the topology is an error, and is not created.
pub async fn rejects_unknown_queues(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let refused = bus.consumer("conformance.typo").await.err();
    assert!(matches!(refused, Some(BusError::UnknownQueue(_))), "{refused:?}");
    assert!(matches!(bus.depth("conformance.typo").await, Err(BusError::UnknownQueue(_))));
}

/// Ten thousand messages, four publishers, four consumers, and a queue of a tenth of that; some deliveries are
/// requeued, some dropped.
pub async fn settles_ten_thousand_messages_once(under_test: &impl BusUnderTest) {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 2_500;
    let limits = Limits { publish_deadline: TIMEOUT, max_deliveries: 50, ..limits() };
    let bus = under_test.start(topology(), limits).await;
    let (settled, mut log) = mpsc::channel(100);
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        tasks.spawn(settle_all(bus.consumer(WORK).await.unwrap(), settled.clone()));
    }
    drop(settled);
    for publisher in 0..PUBLISHERS {
        tasks.spawn(publish_all(
            Arc::clone(&bus),
            (publisher * EACH..(publisher + 1) * EACH).map(|id| work(&id)).collect(),
        ));
    }

    let mut ids = HashSet::new();
    within(async {
        while ids.len() < PUBLISHERS * EACH {
            let id = log.recv().await.unwrap_or_else(|| panic!("all consumers ended after {}", ids.len()));
            assert!(ids.insert(id), "one was settled twice");
        }
    })
    .await;
    depth_becomes(&*bus, WORK, Depth::default()).await;
    bus.close().await;
    while let Some(task) = within(tasks.join_next()).await {
        task.unwrap();
    }
    assert_eq!(log.recv().await, None, "one was settled twice");
}

async fn publish_all(bus: Arc<dyn Bus>, messages: Vec<Message>) {
    for batch in messages.chunks(100) {
        publish(&*bus, batch.to_vec()).await;
    }
}

/// Drops every seventh message and requeues every eleventh at the first attempt; logs each acknowledged message.
async fn settle_all(mut consumer: Box<dyn Consumer>, log: mpsc::Sender<String>) {
    while let Some(delivery) = consumer.next().await.unwrap() {
        let id = delivery.message().id.clone();
        let number: usize = id.parse().unwrap();
        if delivery.attempt() == 1 && number.is_multiple_of(7) {
            drop(delivery);
        } else if delivery.attempt() == 1 && number.is_multiple_of(11) {
            delivery.requeue().await.unwrap();
        } else {
            delivery.acknowledge().await.unwrap();
            log.send(id).await.unwrap();
        }
    }
}
