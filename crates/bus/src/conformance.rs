//! The conformance suite that every backend has to pass: see [`conformance_suite!`](crate::conformance_suite).
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests, which fail by panicking"
)]

mod dead_letters;
mod metrics;
mod publish_and_consume;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{dead_letters::*, metrics::*, publish_and_consume::*};
use crate::{Bus, Consumer, Delivery, Depth, Limits, Message, PublishOutcome, Requirement, Topology};

/// Starts a backend for the suite.
#[async_trait]
pub trait BusUnderTest: Send + Sync {
    /// Starts a private bus with this topology, all queues empty. A backend may exceed `capacity`, but has to refuse
    /// messages before it holds ten times as many.
    async fn start(&self, topology: Topology, limits: Limits) -> Arc<dyn Bus>;
}

/// Generates one `#[tokio::test]` for each property of the suite. Takes an expression that gives a [`BusUnderTest`].
#[macro_export]
macro_rules! conformance_suite {
    ($factory:expr) => {
        $crate::conformance_suite!($factory;
            routes_to_bound_queues_only,
            reports_unroutable_messages,
            confirms_each_message_of_a_batch,
            keeps_order_for_one_consumer,
            carries_messages_unchanged,
            competing_consumers_share_messages,
            marks_requeued_messages_as_redelivered,
            requeues_dropped_deliveries,
            removes_acknowledged_messages,
            prefetch_limits_unsettled_deliveries,
            cancelled_wait_loses_no_message,
            full_queue_refuses_messages_and_recovers,
            closing_ends_consumers_and_publishers,
            rejects_unknown_queues,
            settles_ten_thousand_messages_once,
            lists_and_replays_dead_letters,
            replays_dead_letters_by_id,
            purges_dead_letters_by_id,
            delivery_limit_makes_dead_letters,
            counts_publishes_by_destination_and_result,
        );
    };
    ($factory:expr; $($property:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                $crate::conformance::$property(&$factory).await;
            }
        )+
    };
}

/// The deadline of every wait of the suite.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long the suite waits before it concludes that no message comes.
const QUIET_PERIOD: Duration = Duration::from_millis(150);

const WORK: &str = "conformance.work";
const EVENTS: &str = "conformance.events";

fn topology() -> Topology {
    let queues: [(&str, &str, &[&str]); 2] = [
        (WORK, "conformance.work.dead", &["work.requested", "work.due"]),
        (EVENTS, "conformance.events.dead", &["events.of.the.day"]),
    ];
    Topology::new("conformance", queues).unwrap()
}

fn limits() -> Limits {
    Limits { capacity: 1_000, publish_deadline: Duration::from_secs(10), max_deliveries: 4, prefetch: 8 }
}

fn message(id: &str, key: &str, requirement: Requirement) -> Message {
    Message {
        id: id.to_owned(),
        routing_key: key.parse().unwrap(),
        content_type: "text/plain".to_owned(),
        body: id.as_bytes().into(),
        headers: BTreeMap::new(),
        requirement,
    }
}

fn work(id: &impl ToString) -> Message {
    message(&id.to_string(), "work.requested", Requirement::Mandatory)
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, wait)
        .await
        .unwrap_or_else(|_| panic!("nothing happened within {TIMEOUT:?}"))
}

async fn publish(bus: &dyn Bus, messages: Vec<Message>) {
    let count = messages.len();
    let outcomes = within(bus.publisher().publish(messages)).await.unwrap();
    assert_eq!(outcomes, vec![PublishOutcome::Confirmed; count]);
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within(consumer.next()).await.unwrap().unwrap_or_else(|| panic!("the bus ended early"))
}

async fn expect_no_message(consumer: &mut Box<dyn Consumer>) {
    if let Ok(unexpected) = tokio::time::timeout(QUIET_PERIOD, consumer.next()).await {
        panic!("no message was expected, but {unexpected:?} came");
    }
}

/// Polls, because brokers update their counts with some delay.
async fn depth_becomes(bus: &dyn Bus, queue: &str, expected: Depth) {
    let mut current = bus.depth(queue).await.unwrap();
    let counted = tokio::time::timeout(TIMEOUT, async {
        while current != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
            current = bus.depth(queue).await.unwrap();
        }
    });
    let counted = counted.await.is_ok();
    assert!(counted, "{queue} holds {current:?}, not {expected:?}");
}
