//! Conformance: dead letters.

use super::{
    BusUnderTest, WORK, depth_becomes, expect_no_message, limits, next, publish, topology, within, work,
};
use crate::{Bus, Consumer, DeadReason, Depth, Replay};

async fn refuse_all(bus: &dyn Bus, ids: &[&str]) -> Box<dyn Consumer> {
    publish(bus, ids.iter().map(work).collect()).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    for id in ids {
        next(&mut consumer).await.dead_letter(format!("cannot read {id}")).await.unwrap();
    }
    depth_becomes(bus, WORK, Depth { ready: 0, unsettled: 0, dead: ids.len() }).await;
    consumer
}

async fn dead_letter_ids(bus: &dyn Bus, limit: usize) -> Vec<String> {
    let letters = within(bus.dead_letters().list(limit)).await.unwrap();
    letters.into_iter().map(|letter| letter.message.id.clone()).collect()
}

/// Dead letters are listed with their reason, are not removed by that, and are replayed unchanged and in order.
pub async fn lists_and_replays_dead_letters(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let mut consumer = refuse_all(&*bus, &["1", "2", "3"]).await;
    expect_no_message(&mut consumer).await;
    assert_eq!(dead_letter_ids(&*bus, 2).await, ["1", "2"]);
    let letters = within(bus.dead_letters().list(10)).await.unwrap();
    assert_eq!(letters.len(), 3);
    assert_eq!(*letters[1].message, work(&"2"));
    assert_eq!(letters[1].queue, WORK);
    assert_eq!(letters[1].reason, DeadReason::Refused("cannot read 2".to_owned()));
    assert_eq!(letters[1].deliveries, 1);

    assert_eq!(within(bus.dead_letters().replay(Replay::All)).await.unwrap(), 3);
    for id in ["1", "2", "3"] {
        let again = next(&mut consumer).await;
        assert_eq!(*again.message(), work(&id));
        assert_eq!(again.attempt(), 1, "a replayed message starts to count its deliveries anew");
        again.acknowledge().await.unwrap();
    }
    depth_becomes(&*bus, WORK, Depth::default()).await;
    assert_eq!(within(bus.dead_letters().replay(Replay::All)).await.unwrap(), 0);
}

/// Replaying by id leaves the others.
pub async fn replays_dead_letters_by_id(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let mut consumer = refuse_all(&*bus, &["1", "2", "3"]).await;
    assert_eq!(within(bus.dead_letters().replay(Replay::Id("2".to_owned()))).await.unwrap(), 1);
    let again = next(&mut consumer).await;
    assert_eq!(again.message().id, "2");
    again.acknowledge().await.unwrap();
    expect_no_message(&mut consumer).await;
    assert_eq!(dead_letter_ids(&*bus, 10).await, ["1", "3"]);
    assert_eq!(within(bus.dead_letters().replay(Replay::Id("2".to_owned()))).await.unwrap(), 0);
}

/// Purging removes a dead letter for good.
pub async fn purges_dead_letters_by_id(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    let mut consumer = refuse_all(&*bus, &["1", "2", "3"]).await;
    assert_eq!(within(bus.dead_letters().purge("2")).await.unwrap(), 1);
    assert_eq!(within(bus.dead_letters().purge("2")).await.unwrap(), 0);
    assert_eq!(dead_letter_ids(&*bus, 10).await, ["1", "3"]);
    depth_becomes(&*bus, WORK, Depth { ready: 0, unsettled: 0, dead: 2 }).await;
    expect_no_message(&mut consumer).await;
}

/// A message that is always requeued is delivered `max_deliveries` times, and is then a dead letter.
pub async fn delivery_limit_makes_dead_letters(under_test: &impl BusUnderTest) {
    let bus = under_test.start(topology(), limits()).await;
    publish(&*bus, vec![work(&"1")]).await;
    let mut consumer = bus.consumer(WORK).await.unwrap();
    for attempt in 1..=limits().max_deliveries {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.attempt(), attempt);
        if attempt % 2 == 0 {
            delivery.requeue().await.unwrap();
        } else {
            drop(delivery);
        }
    }
    expect_no_message(&mut consumer).await;
    depth_becomes(&*bus, WORK, Depth { ready: 0, unsettled: 0, dead: 1 }).await;
    let letters = within(bus.dead_letters().list(10)).await.unwrap();
    assert_eq!(letters[0].reason, DeadReason::DeliveryLimit);
    assert_eq!(letters[0].deliveries, limits().max_deliveries);
}
