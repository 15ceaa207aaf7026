//! The suite: from publishing to settling.

use std::{collections::HashSet, sync::Arc};

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    BusUnderTest, NEWS, PATIENCE, QUIET, WORK, depth_becomes, limits, message, next, nothing_comes, publish,
    topology, within, work,
};
use crate::{Bus, BusError, CloudEvent, Consumer, Depth, Limits, Message, PublishOutcome, Requirement};

/// A message reaches the queues bound to its key, each once though two bindings match, and no other.
pub async fn routes_to_bound_queues_only(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let news = message("2", "news.of.the.day", Requirement::WhoeverListens);
    publish(&*bus, vec![work(&"1"), news]).await;
    for (queue, id) in [(WORK, "1"), (NEWS, "2")] {
        let mut consumer = bus.consumer(queue).await.unwrap();
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, id);
        delivery.done().await.unwrap();
        nothing_comes(&mut consumer).await;
    }
}

/// Only what must reach a queue is unroutable without one.
pub async fn tells_what_is_unroutable(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let lost = message("1", "nobody.hears", Requirement::MustReachQueue);
    let unheard = message("2", "nobody.hears", Requirement::WhoeverListens);
    let outcomes = within(bus.publisher().publish(vec![lost, work(&"3"), unheard])).await.unwrap();
    assert_eq!(outcomes, [PublishOutcome::Unroutable, PublishOutcome::Confirmed, PublishOutcome::Confirmed]);
}

/// Every message of a batch has its outcome, and none of nothing is nothing.
pub async fn confirms_a_batch_one_by_one(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![]).await;
    publish(&*bus, (0..250).map(|id| work(&id)).collect()).await;
    depth_becomes(&*bus, WORK, Depth { ready: 250, unsettled: 0, dead: 0 }).await;
}

/// One consumer gets messages in the order they were published in.
pub async fn keeps_the_order_for_one_consumer(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    for batch in 0..5 {
        publish(&*bus, (batch * 20..batch * 20 + 20).map(|id| work(&id)).collect()).await;
    }
    let mut consumer = bus.consumer(WORK).await.unwrap();
    for expected in 0..100 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, expected.to_string());
        delivery.done().await.unwrap();
    }
}

/// Body, headers and all.
pub async fn carries_a_message_unchanged(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let mut sent = work(&"1");
    sent.body = vec![0, 159, 255, b'\n'].into();
    sent.content_type = CloudEvent::CONTENT_TYPE.into();
    sent.headers.insert("traceparent".to_owned(), "00-1-2-01".to_owned());
    publish(&*bus, vec![sent.clone()]).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(*delivery.message(), sent);
    assert_eq!((delivery.attempt(), delivery.redelivered()), (1, false));
    delivery.done().await.unwrap();
}

/// Two consumers on one queue get different messages, and all of them between them.
pub async fn competing_consumers_share(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), Limits { prefetch: 5, ..limits() }).await;
    let mut consumers = [bus.consumer(WORK).await.unwrap(), bus.consumer(WORK).await.unwrap()];
    publish(&*bus, (0..10).map(|id| work(&id)).collect()).await;
    let mut held = Vec::new();
    for consumer in &mut consumers {
        for _ in 0..5 {
            held.push(next(consumer).await);
        }
    }
    let ids: HashSet<String> = held.iter().map(|delivery| delivery.message().id.clone()).collect();
    assert_eq!(ids.len(), 10);
    for delivery in held {
        delivery.done().await.unwrap();
    }
    depth_becomes(&*bus, WORK, Depth::default()).await;
}

/// A requeued message is delivered again, says so, and counts.
pub async fn requeued_comes_back_marked(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    next(&mut consumer).await.requeue().await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((again.message().id.as_str(), again.attempt(), again.redelivered()), ("1", 2, true));
    again.done().await.unwrap();
}

/// A delivery that is dropped, or whose settling is never awaited, is delivered again, to whoever asks; even when its
/// consumer has gone before.
pub async fn dropped_comes_back_marked(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut first = bus.consumer(WORK).await.unwrap();
    drop(next(&mut first).await);
    let in_hand = next(&mut first).await;
    assert_eq!((in_hand.attempt(), in_hand.redelivered()), (2, true));
    // Otherwise a broker may send it to the first one again, which never looks, and count that.
    drop(first);
    drop(in_hand.done());
    let again = next(&mut bus.consumer(WORK).await.unwrap()).await;
    assert_eq!((again.message().id.as_str(), again.attempt(), again.redelivered()), ("1", 3, true));
    again.done().await.unwrap();
}

/// What is done does not come back, even to a new consumer.
pub async fn done_is_gone(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    next(&mut consumer).await.done().await.unwrap();
    drop(consumer);
    nothing_comes(&mut bus.consumer(WORK).await.unwrap()).await;
    depth_becomes(&*bus, WORK, Depth::default()).await;
}

/// A consumer holds no more than its prefetch, however many wait; settling one lets the next one come.
pub async fn prefetch_bounds_what_is_in_hand(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), Limits { prefetch: 2, ..limits() }).await;
    publish(&*bus, (0..5).map(|id| work(&id)).collect()).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    let (one, two) = (next(&mut consumer).await, next(&mut consumer).await);
    nothing_comes(&mut consumer).await;
    depth_becomes(&*bus, WORK, Depth { ready: 3, unsettled: 2, dead: 0 }).await;
    one.done().await.unwrap();
    let three = next(&mut consumer).await;
    nothing_comes(&mut consumer).await;
    drop((two, three));
}

/// A consumer that stops waiting leaves the message to whoever asks next.
pub async fn a_cancelled_wait_loses_nothing(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    nothing_comes(&mut consumer).await;
    publish(&*bus, vec![work(&"1")]).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message().id, "1");
    delivery.done().await.unwrap();
}

/// A full queue refuses after the deadline, loses nothing it confirmed, and takes more once there is room.
pub async fn a_full_queue_pushes_back_and_recovers(under_test: &impl BusUnderTest) {
    let limits = Limits { capacity: 10, publish_deadline: QUIET, ..limits() };
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
        delivery.done().await.unwrap();
    }
    depth_becomes(&*bus, WORK, Depth::default()).await;
    publish(&*bus, vec![work(&"after")]).await;
    assert_eq!(next(&mut consumer).await.message().id, "after");
}

/// Closing wakes consumers that wait and refuses publishers, but lets what is in hand be settled.
pub async fn closing_ends_consumers_and_publishers(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut busy = bus.consumer(WORK).await.unwrap();
    let in_hand = next(&mut busy).await;
    let mut idle = bus.consumer(WORK).await.unwrap();
    let (ended, ()) = within(async { tokio::join!(idle.next(), bus.close()) }).await;
    assert!(ended.unwrap().is_none());
    bus.close().await;
    assert!(within(busy.next()).await.unwrap().is_none());
    in_hand.done().await.unwrap();
    let refused = within(bus.publisher().publish(vec![work(&"2")])).await;
    assert!(matches!(refused, Err(BusError::Closed)), "{refused:?}");
}

/// A queue that is not in the topology is an error, not a new queue.
pub async fn unknown_queues_are_refused(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let refused = bus.consumer("conformance.typo").await.err();
    assert!(matches!(refused, Some(BusError::UnknownQueue(_))), "{refused:?}");
    assert!(matches!(bus.depth("conformance.typo").await, Err(BusError::UnknownQueue(_))));
}

/// Ten thousand messages, four publishers, four consumers, a queue a tenth as long; some are requeued, some dropped.
pub async fn settles_ten_thousand_exactly_once(under_test: &impl BusUnderTest) {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 2_500;
    let limits = Limits { publish_deadline: PATIENCE, max_deliveries: 50, ..limits() };
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

    let mut seen = HashSet::new();
    within(async {
        while seen.len() < PUBLISHERS * EACH {
            let id = log.recv().await.unwrap_or_else(|| panic!("all consumers ended after {}", seen.len()));
            assert!(seen.insert(id), "one was settled twice");
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

/// Every seventh message is dropped the first time, every eleventh requeued; each that is done goes into the log.
async fn settle_all(mut consumer: Box<dyn Consumer>, log: mpsc::Sender<String>) {
    while let Some(delivery) = consumer.next().await.unwrap() {
        let id = delivery.message().id.clone();
        let number: usize = id.parse().unwrap();
        if delivery.attempt() == 1 && number.is_multiple_of(7) {
            drop(delivery);
        } else if delivery.attempt() == 1 && number.is_multiple_of(11) {
            delivery.requeue().await.unwrap();
        } else {
            delivery.done().await.unwrap();
            log.send(id).await.unwrap();
        }
    }
}
