//! Faults of connections, queues and messages on a running broker.

use std::{collections::HashSet, time::Duration};

use deed_bus::{
    Bus, BusError, DeadReason, Depth, Limits, Message, PublishOutcome, RabbitMq, Replay, Requirement,
};
use deed_testkit::{VHost, eventually};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    DEAD, Logs, QUEUE, TIMEOUT, config, connected, limits, next, publish_until_confirmed, topology, within,
    work,
};

async fn vhost() -> VHost {
    deed_testkit::RabbitMq::shared().await.vhost().await
}

async fn bus(vhost: &VHost) -> RabbitMq {
    connected(vhost.url(), topology(), limits()).await
}

async fn depth_becomes(bus: &RabbitMq, expected: Depth) {
    eventually("the depth", TIMEOUT, async || (bus.depth(QUEUE).await.ok()? == expected).then_some(())).await;
}

async fn kill_connections(vhost: &VHost, count: usize) {
    eventually("the connections", TIMEOUT, async || (vhost.connections().await.len() >= count).then_some(()))
        .await;
    vhost.kill_connections().await;
}

#[tokio::test]
async fn sets_amqp_properties_and_headers() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    let mut message = work("evt_1");
    message.content_type = "application/cloudevents+json".to_owned();
    message.headers.insert("traceparent".to_owned(), "00-1-2-01".to_owned());
    publish_until_confirmed(&bus, message).await;
    let peeked = &vhost.peek(QUEUE, 1).await[0];
    let properties = &peeked["properties"];
    assert_eq!(properties["message_id"], "evt_1");
    assert_eq!(properties["content_type"], "application/cloudevents+json");
    assert_eq!(properties["app_id"], "deed");
    assert_eq!(properties["delivery_mode"], 2);
    assert!(properties["timestamp"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(properties["headers"]["traceparent"], "00-1-2-01");
    assert_eq!(
        (&peeked["exchange"], &peeked["routing_key"]),
        (&json!("deed.events"), &json!("verification.due"))
    );
}

#[tokio::test]
async fn declares_queues_that_drop_no_message() {
    let vhost = vhost().await;
    let _bus = bus(&vhost).await;
    let queue = vhost.queue(QUEUE).await.unwrap();
    assert_eq!((&queue["type"], &queue["durable"]), (&json!("quorum"), &json!(true)));
    let expected = json!({
        "x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 10_000, "x-delivery-limit": 3,
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD, "x-dead-letter-strategy": "at-least-once",
    });
    assert_eq!(queue["arguments"], expected);
    let dead = vhost.queue(DEAD).await.unwrap();
    assert_eq!((&dead["type"], &dead["durable"]), (&json!("quorum"), &json!(true)));
    assert!(dead["arguments"].get("x-max-length").is_none());
}

#[tokio::test]
async fn each_message_has_its_own_outcome() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    let message = |number: usize| {
        let mut message = work(number);
        if number.is_multiple_of(7) {
            message.routing_key = format!("not.bound.{}", number % 3).parse().unwrap();
        }
        if number.is_multiple_of(14) {
            message.requirement = Requirement::Optional;
        }
        message
    };
    let outcomes = within(bus.publisher().publish((0..1_500).map(message).collect())).await.unwrap();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let is_unroutable = number.is_multiple_of(7) && !number.is_multiple_of(14);
        let expected = if is_unroutable { PublishOutcome::Unroutable } else { PublishOutcome::Confirmed };
        assert_eq!(outcome, expected, "{number}");
    }
}

#[tokio::test]
async fn full_queue_does_not_delay_other_messages() {
    let vhost = vhost().await;
    let limits = Limits { capacity: 10, publish_deadline: Duration::from_millis(500), ..limits() };
    let bus = connected(vhost.url(), topology(), limits).await;
    let publisher = bus.publisher();
    let full = eventually("a full queue", TIMEOUT, async || {
        let outcomes = publisher.publish(vec![work("fill"); 10]).await.ok()?;
        outcomes.contains(&PublishOutcome::Full).then_some(outcomes)
    });
    let outcomes = full.await;
    assert!(!outcomes.contains(&PublishOutcome::Rejected), "{outcomes:?}");

    let event = Message {
        routing_key: "domain.verified".parse().unwrap(),
        requirement: Requirement::Optional,
        ..work("event")
    };
    let (work, event) = tokio::join!(publisher.publish(vec![work("more")]), async {
        let started = Instant::now();
        (publisher.publish(vec![event]).await, started.elapsed())
    });
    assert_eq!(work.unwrap(), [PublishOutcome::Full]);
    assert_eq!(event.0.unwrap(), [PublishOutcome::Confirmed]);
    assert!(event.1 < Duration::from_millis(400), "the event waited {:?} for work", event.1);
}

#[tokio::test]
async fn killed_connection_is_replaced_and_requeues() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    publish_until_confirmed(&bus, work(1)).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    let unsettled = next(&mut consumer).await;
    kill_connections(&vhost, 2).await;
    let again = next(&mut consumer).await;
    assert_eq!((again.message().id.as_str(), again.attempt(), again.redelivered()), ("1", 2, true));
    let late = unsettled.acknowledge().await;
    assert!(matches!(late, Err(BusError::Unavailable(_))), "{late:?}");
    again.acknowledge().await.unwrap();

    within(bus.connected()).await;
    publish_until_confirmed(&bus, work(2)).await;
    next(&mut consumer).await.acknowledge().await.unwrap();
    depth_becomes(&bus, Depth::default()).await;
}

#[tokio::test]
async fn counts_deliveries_lost_with_their_connection() {
    let vhost = vhost().await;
    let limits = Limits { max_deliveries: 2, ..limits() };
    let bus = connected(vhost.url(), topology(), limits).await;
    publish_until_confirmed(&bus, work(1)).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for attempt in 1..=limits.max_deliveries {
        let unsettled = next(&mut consumer).await;
        assert_eq!(unsettled.attempt(), attempt);
        kill_connections(&vhost, 2).await;
        within(bus.connected()).await;
        drop(unsettled);
    }
    eventually("the dead letter", TIMEOUT, async || (bus.depth(QUEUE).await.ok()?.dead == 1).then_some(()))
        .await;
    let letters = within(bus.dead_letters().list(10)).await.unwrap();
    assert_eq!(
        (letters.len(), &letters[0].reason, letters[0].queue.as_str()),
        (1, &DeadReason::DeliveryLimit, QUEUE)
    );
    assert_eq!(*letters[0].message, work(1));
}

#[tokio::test]
async fn consumer_declares_a_deleted_queue_again() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    publish_until_confirmed(&bus, work(1)).await;
    next(&mut consumer).await.acknowledge().await.unwrap();
    let waiting = tokio::spawn(async move { next(&mut consumer).await });
    vhost.delete_queue(QUEUE).await;
    eventually("the consumer to bring it back", TIMEOUT, async || bus.depth(QUEUE).await.ok()).await;
    publish_until_confirmed(&bus, work(2)).await;
    let delivery = within(waiting).await.unwrap();
    assert_eq!((delivery.message().id.as_str(), delivery.attempt()), ("2", 1));
    delivery.acknowledge().await.unwrap();
}

/// A consumer that waits for messages must notice that its idle subscription was replaced.
#[tokio::test]
async fn replaces_an_idle_subscription() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    publish_until_confirmed(&bus, work(1)).await;
    next(&mut consumer).await.acknowledge().await.unwrap();
    for expected in [1, 0] {
        eventually("the broker to count its consumers", TIMEOUT * 2, async || {
            (vhost.queue(QUEUE).await?["consumers"] == expected).then_some(())
        })
        .await;
    }
    publish_until_confirmed(&bus, work(2)).await;
    assert_eq!(next(&mut consumer).await.message().id, "2");
}

#[tokio::test]
async fn publisher_declares_a_missing_queue_again() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    vhost.delete_queue(QUEUE).await;
    let outcomes = within(bus.publisher().publish(vec![work(1), work(2)])).await.unwrap();
    assert_eq!(outcomes, [PublishOutcome::Confirmed; 2]);
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for id in ["1", "2"] {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, id);
        delivery.acknowledge().await.unwrap();
    }
}

#[tokio::test]
async fn queue_works_after_a_purge() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    assert!(within(bus.publisher().publish((0..20).map(work).collect())).await.is_ok());
    depth_becomes(&bus, Depth { ready: 20, unsettled: 0, dead: 0 }).await;
    vhost.purge_queue(QUEUE).await;
    depth_becomes(&bus, Depth::default()).await;
    publish_until_confirmed(&bus, work("after")).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    assert_eq!(next(&mut consumer).await.message().id, "after");
}

#[tokio::test]
async fn starts_although_limits_have_changed() {
    let vhost = vhost().await;
    let first = bus(&vhost).await;
    first.close().await;
    for changed in [
        Limits { capacity: 50, max_deliveries: 9, ..limits() },
        Limits { capacity: 50_000, max_deliveries: 1, ..limits() },
    ] {
        let bus = connected(vhost.url(), topology(), changed).await;
        publish_until_confirmed(&bus, work(1)).await;
        let mut consumer = bus.consumer(QUEUE).await.unwrap();
        next(&mut consumer).await.acknowledge().await.unwrap();
        bus.close().await;
    }
    let arguments = &vhost.queue(QUEUE).await.unwrap()["arguments"];
    assert_eq!((&arguments["x-max-length"], &arguments["x-delivery-limit"]), (&json!(10_000), &json!(3)));
}

#[tokio::test]
async fn names_a_conflicting_queue_and_waits_until_it_is_gone() {
    let vhost = vhost().await;
    vhost.declare_queue(QUEUE, json!({})).await;
    let logs = Logs::default();
    let _guard = tracing::subscriber::set_default(logs.subscriber());
    let bus = RabbitMq::start(config(vhost.url(), limits()), topology()).unwrap();
    let error = eventually("an error in the log", TIMEOUT, async || {
        logs.text().lines().find(|line| line.contains("the broker cannot be used")).map(ToOwned::to_owned)
    });
    let error = error.await;
    for part in ["ERROR", QUEUE, "inequivalent arg 'x-"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!bus.is_connected());
    vhost.delete_queue(QUEUE).await;
    within(bus.connected()).await;
    publish_until_confirmed(&bus, work(1)).await;
    assert!(!logs.text().contains("guest:"), "the address is in the log");
}

#[tokio::test]
async fn replay_into_a_full_queue_fails_and_loses_nothing() {
    let vhost = vhost().await;
    let limits = Limits { capacity: 3, publish_deadline: Duration::from_millis(400), ..limits() };
    let bus = connected(vhost.url(), topology(), limits).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for id in 0..30 {
        publish_until_confirmed(&bus, work(id)).await;
        next(&mut consumer).await.dead_letter("no").await.unwrap();
    }
    drop(consumer);
    let replayed = within(bus.dead_letters().replay(Replay::All)).await;
    assert!(matches!(replayed, Err(BusError::Full(ref queue)) if queue == QUEUE), "{replayed:?}");
    let consuming = tokio::spawn({
        let bus = bus.clone();
        async move {
            let (mut consumer, mut received) = (bus.consumer(QUEUE).await.unwrap(), HashSet::new());
            while received.len() < 30 {
                let delivery = next(&mut consumer).await;
                received.insert(delivery.message().id.clone());
                delivery.acknowledge().await.unwrap();
            }
        }
    });
    eventually("all to be replayed", TIMEOUT, async || bus.dead_letters().replay(Replay::All).await.ok())
        .await;
    within(consuming).await.unwrap();
    depth_becomes(&bus, Depth::default()).await;
}

#[tokio::test]
async fn listing_dead_letters_repeatedly_changes_nothing() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for id in 0..5 {
        publish_until_confirmed(&bus, work(id)).await;
        next(&mut consumer).await.dead_letter("no").await.unwrap();
    }
    let first = within(bus.dead_letters().list(3)).await.unwrap();
    let ids: Vec<_> = first.iter().map(|letter| letter.message.id.as_str()).collect();
    assert_eq!(ids, ["0", "1", "2"]);
    for _ in 0..30 {
        let letters = within(bus.dead_letters().list(3)).await.unwrap();
        let ids: Vec<_> = letters.iter().map(|letter| letter.message.id.as_str()).collect();
        assert_eq!(ids, ["0", "1", "2"]);
    }
    assert_eq!(within(bus.dead_letters().list(100)).await.unwrap().len(), 5);
}

#[tokio::test]
async fn closing_disconnects_after_the_last_settlement() {
    let vhost = vhost().await;
    let bus = bus(&vhost).await;
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    publish_until_confirmed(&bus, work(1)).await;
    publish_until_confirmed(&bus, work(2)).await;
    publish_until_confirmed(&bus, work(3)).await;
    let (first, second) = (next(&mut consumer).await, next(&mut consumer).await);
    eventually("both connections", TIMEOUT, async || (vhost.connections().await.len() == 2).then_some(()))
        .await;
    within(bus.close()).await;
    assert!(bus.is_connected());
    first.acknowledge().await.unwrap();
    second.dead_letter("too late").await.unwrap();
    eventually("no connection", TIMEOUT, async || vhost.connections().await.is_empty().then_some(())).await;

    let other = self::bus(&vhost).await;
    depth_becomes(&other, Depth { ready: 1, unsettled: 0, dead: 1 }).await;
}

#[tokio::test]
async fn publish_fails_at_its_deadline_with_a_wrong_password() {
    let vhost = vhost().await;
    let url = vhost.url().replace("guest:guest", "guest:wrong");
    let bus = RabbitMq::start(config(&url, limits()), topology()).unwrap();
    let started = Instant::now();
    let refused = bus.publisher().publish(vec![work(1)]).await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))), "{refused:?}");
    assert!(started.elapsed() < limits().publish_deadline + Duration::from_secs(1));
    assert!(!bus.is_connected());
    assert!(bus.depth(QUEUE).await.is_err());
    within(bus.close()).await;
}

#[test]
fn debug_leaves_out_the_address() {
    let config = config("amqp://user:secret@broker", limits());
    assert!(!format!("{config:?}").contains("secret"));
}
