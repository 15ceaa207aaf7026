//! What every backend must do, as tests that any backend can be put through: see [`conformance_suite!`](crate::conformance_suite).
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: a panic is their verdict"
)]

mod dead;
mod flow;
mod told;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{dead::*, flow::*, told::*};
use crate::{
    Bus, Consumer, Delivery, Depth, Limits, Message, PublishOutcome, QueueSpec, Requirement, Topology,
};

/// How the suite gets at a backend.
#[async_trait]
pub trait BusUnderTest: Send + Sync {
    /// A bus of its own, with this topology, all queues empty. A backend need not keep to `capacity` exactly, but must
    /// come to refuse messages within ten times as many.
    async fn start(&self, topology: Topology, limits: Limits) -> Arc<dyn Bus>;
}

/// Writes one `#[tokio::test]` for each thing the suite asks for. Takes an expression that gives a [`BusUnderTest`].
#[macro_export]
macro_rules! conformance_suite {
    ($factory:expr) => {
        $crate::conformance_suite!($factory;
            routes_to_bound_queues_only,
            tells_what_is_unroutable,
            confirms_a_batch_one_by_one,
            keeps_the_order_for_one_consumer,
            carries_a_message_unchanged,
            competing_consumers_share,
            requeued_comes_back_marked,
            dropped_comes_back_marked,
            done_is_gone,
            prefetch_bounds_what_is_in_hand,
            a_cancelled_wait_loses_nothing,
            a_full_queue_pushes_back_and_recovers,
            closing_ends_consumers_and_publishers,
            unknown_queues_are_refused,
            settles_ten_thousand_exactly_once,
            dead_letters_are_listed_and_replayed,
            dead_letters_are_replayed_by_id,
            dead_letters_are_purged_by_id,
            the_delivery_limit_makes_dead_letters,
            what_becomes_of_messages_is_counted,
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

/// Anything the suite waits for happens within this time, or never.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the suite looks on before it believes that nothing happens.
const QUIET: Duration = Duration::from_millis(150);

const WORK: &str = "conformance.work";
const NEWS: &str = "conformance.news";

fn topology() -> Topology {
    let spec = |name: &str, bindings: &[&str]| {
        let spec = QueueSpec {
            bindings: bindings.iter().map(|binding| binding.parse().unwrap()).collect(),
            dead_letter_queue: format!("{name}.dead"),
        };
        (name.to_owned(), spec)
    };
    let queues =
        BTreeMap::from([spec(WORK, &["work.requested", "work.due", "work.*"]), spec(NEWS, &["news.#"])]);
    Topology { exchange: "conformance".to_owned(), queues }
}

fn limits() -> Limits {
    Limits { capacity: 1_000, publish_deadline: Duration::from_secs(10), max_deliveries: 4, prefetch: 8 }
}

fn message(id: &str, key: &str, delivery: Requirement) -> Message {
    Message {
        id: id.to_owned(),
        routing_key: key.parse().unwrap(),
        content_type: "text/plain".to_owned(),
        body: id.as_bytes().into(),
        headers: BTreeMap::new(),
        delivery,
    }
}

fn work(id: &impl ToString) -> Message {
    message(&id.to_string(), "work.requested", Requirement::MustReachQueue)
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("nothing came within {PATIENCE:?}"))
}

async fn publish(bus: &dyn Bus, messages: Vec<Message>) {
    let count = messages.len();
    let outcomes = within(bus.publisher().publish(messages)).await.unwrap();
    assert_eq!(outcomes, vec![PublishOutcome::Confirmed; count]);
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within(consumer.next()).await.unwrap().unwrap_or_else(|| panic!("the bus ended early"))
}

async fn nothing_comes(consumer: &mut Box<dyn Consumer>) {
    if let Ok(came) = tokio::time::timeout(QUIET, consumer.next()).await {
        panic!("nothing was to come, and there came {came:?}");
    }
}

/// Brokers count with some delay.
async fn depth_becomes(bus: &dyn Bus, queue: &str, expected: Depth) {
    let mut seen = bus.depth(queue).await.unwrap();
    let counted = tokio::time::timeout(PATIENCE, async {
        while seen != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
            seen = bus.depth(queue).await.unwrap();
        }
    });
    let counted = counted.await.is_ok();
    assert!(counted, "{queue} holds {seen:?}, not {expected:?}");
}
