//! The in-process bus: the conformance suite, and guarantees of this backend only.
#![expect(clippy::unwrap_used, reason = "these are tests, which fail by panicking")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_bus::metrics::{Health, PublishMetrics, QueueMetrics};
use deed_bus::{
    Bus, BusError, Consumer, DeadLetters, Delivery, Depth, InProcess, InProcessConfig, Limits, Message,
    PublishOutcome, Publisher, Replay, Requirement, Topology, conformance::BusUnderTest,
};
use deed_messages::queues;
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;

struct Embedded;

#[async_trait]
impl BusUnderTest for Embedded {
    async fn start(&self, topology: Topology, limits: Limits) -> Arc<dyn Bus> {
        Arc::new(InProcess::new(topology, limits))
    }
}

deed_bus::conformance_suite!(Embedded);

const QUEUE: &str = queues::VERIFICATION;

fn topology() -> Topology {
    Topology::new(queues::EXCHANGE, queues::ALL).unwrap()
}

fn small(capacity: usize, publish_deadline: Duration) -> InProcess {
    let config = InProcessConfig { capacity, publish_deadline, max_deliveries: 3, prefetch: 10 };
    InProcess::new(topology(), config)
}

fn work(id: u32) -> Message {
    Message {
        id: id.to_string(),
        routing_key: "verification.due".parse().unwrap(),
        content_type: "text/plain".to_owned(),
        body: Arc::from(*b"work"),
        headers: BTreeMap::new(),
        requirement: Requirement::Mandatory,
    }
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let waited = tokio::time::timeout(Duration::from_secs(20), consumer.next()).await;
    waited.unwrap().unwrap().unwrap()
}

async fn dead_letter_all(bus: &InProcess, ids: impl IntoIterator<Item = u32>) {
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for id in ids {
        assert_eq!(bus.publisher().publish(vec![work(id)]).await.unwrap(), [PublishOutcome::Confirmed]);
        next(&mut consumer).await.dead_letter("no").await.unwrap();
    }
}

const LONG: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn publish_returns_at_its_deadline() {
    use PublishOutcome::{Confirmed, Full};
    let bus = small(2, Duration::from_secs(5));
    let started = tokio::time::Instant::now();
    let outcomes = bus.publisher().publish((0..4).map(work).collect()).await.unwrap();
    assert_eq!(outcomes, [Confirmed, Confirmed, Full, Full]);
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn waiting_publisher_resumes_when_a_slot_is_free() {
    let bus = small(1, LONG);
    let publisher = bus.publisher();
    let publishing = tokio::spawn(async move { publisher.publish((0..3).map(work).collect()).await });
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for id in 0..3 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, id.to_string());
        assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth { ready: 0, unsettled: 1, dead: 0 });
        delivery.acknowledge().await.unwrap();
    }
    assert_eq!(publishing.await.unwrap().unwrap(), [PublishOutcome::Confirmed; 3]);
}

#[tokio::test(start_paused = true)]
async fn closing_wakes_a_waiting_publisher() {
    let bus = small(1, LONG);
    let publisher = bus.publisher();
    let publishing = tokio::spawn(async move { publisher.publish((0..2).map(work).collect()).await });
    next(&mut bus.consumer(QUEUE).await.unwrap()).await.requeue().await.unwrap();
    bus.close().await;
    assert!(matches!(publishing.await.unwrap(), Err(BusError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn cancelled_publish_leaves_no_message() {
    let bus = small(1, LONG);
    let publisher = bus.publisher();
    let given_up =
        tokio::time::timeout(Duration::from_secs(1), publisher.publish(vec![work(0), work(1)])).await;
    assert!(given_up.is_err());
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    next(&mut consumer).await.acknowledge().await.unwrap();
    assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth::default());
    assert_eq!(publisher.publish(vec![work(2)]).await.unwrap(), [PublishOutcome::Confirmed]);
}

#[tokio::test]
async fn failing_message_does_not_block_others() {
    let bus = small(10, LONG);
    bus.publisher().publish(vec![work(1), work(2)]).await.unwrap();
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    drop(next(&mut consumer).await);
    assert_eq!(next(&mut consumer).await.message().id, "2");
}

#[tokio::test(start_paused = true)]
async fn excess_dead_letters_occupy_slots_and_are_kept() {
    let bus = small(2, Duration::from_secs(5));
    dead_letter_all(&bus, 0..4).await;
    assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth { ready: 0, unsettled: 0, dead: 4 });
    assert_eq!(bus.publisher().publish(vec![work(4)]).await.unwrap(), [PublishOutcome::Full]);

    assert_eq!(bus.dead_letters().purge("0").await.unwrap(), 1);
    assert_eq!(bus.publisher().publish(vec![work(4)]).await.unwrap(), [PublishOutcome::Confirmed]);
    assert_eq!(bus.publisher().publish(vec![work(5)]).await.unwrap(), [PublishOutcome::Full]);
}

#[tokio::test(start_paused = true)]
async fn replay_uses_slots_of_dead_letters_then_waits() {
    let bus = small(2, Duration::from_secs(5));
    dead_letter_all(&bus, 0..4).await;
    assert!(matches!(bus.dead_letters().replay(Replay::All).await, Err(BusError::Full(_))));
    assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth { ready: 2, unsettled: 0, dead: 2 });

    let replaying = tokio::spawn(async move {
        let mut consumer = bus.consumer(QUEUE).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..4 {
            let delivery = next(&mut consumer).await;
            ids.push(delivery.message().id.clone());
            delivery.acknowledge().await.unwrap();
            if ids.len() == 1 {
                assert_eq!(bus.dead_letters().replay(Replay::Id("2".to_owned())).await.unwrap(), 1);
            } else if ids.len() == 2 {
                assert_eq!(bus.dead_letters().replay(Replay::All).await.unwrap(), 1);
            }
        }
        assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth::default());
        ids
    });
    assert_eq!(replaying.await.unwrap(), ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn zero_limits_mean_one() {
    let config = InProcessConfig { capacity: 0, publish_deadline: LONG, max_deliveries: 0, prefetch: 0 };
    let bus = InProcess::new(topology(), config);
    dead_letter_all(&bus, [1]).await;
    bus.publisher().publish(vec![work(2)]).await.unwrap();
    drop(next(&mut bus.consumer(QUEUE).await.unwrap()).await);
    assert_eq!(bus.depth(QUEUE).await.unwrap().dead, 2);
}

#[test]
fn debug_leaves_out_bodies_and_header_values() {
    let mut message = work(1);
    message.body = Arc::from(*b"secret");
    message.headers.insert("key".to_owned(), "secret".to_owned());
    assert!(!format!("{message:?}").contains("secret"));
}

/// A bus whose depth can be made to fail.
struct FaultyBus {
    bus: InProcess,
    fault: watch::Sender<DepthFault>,
}

#[derive(Clone, Copy)]
enum DepthFault {
    None,
    Error,
    NoAnswer,
}

#[async_trait]
impl Bus for FaultyBus {
    fn topology(&self) -> &Topology {
        self.bus.topology()
    }

    fn publisher(&self) -> Arc<dyn Publisher> {
        self.bus.publisher()
    }

    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError> {
        self.bus.consumer(queue).await
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        self.bus.dead_letters()
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BusError> {
        let fault = *self.fault.borrow();
        match fault {
            DepthFault::None => self.bus.depth(queue).await,
            DepthFault::Error => Err(BusError::Unavailable("broken".into())),
            DepthFault::NoAnswer => std::future::pending().await,
        }
    }

    fn health(&self) -> Health {
        self.bus.health()
    }

    fn measure(&self, metrics: PublishMetrics) {
        self.bus.measure(metrics);
    }

    async fn close(&self) {
        self.bus.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn queue_metrics_are_absent_while_depth_fails() {
    let bus = small(10, Duration::from_secs(5));
    dead_letter_all(&bus, 1..=2).await;
    bus.publisher().publish((3..=5).map(work).collect()).await.unwrap();
    let faulty = Arc::new(FaultyBus { bus, fault: watch::Sender::new(DepthFault::None) });
    let registry = Registry::new();
    let metrics = QueueMetrics::register(&registry).unwrap();
    let watched = Arc::clone(&faulty);
    tokio::spawn(async move { metrics.watch(&*watched).await });
    let scrape = async |after: u64| {
        tokio::time::sleep(Duration::from_secs(after)).await;
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let known = ["deed_queue_messages{queue=\"dead\"} 2", "deed_queue_messages{queue=\"verification\"} 3"];
    assert_eq!(scrape(1).await, known);
    for (fault, noticed) in [(DepthFault::Error, 15), (DepthFault::NoAnswer, 25)] {
        faulty.fault.send_replace(fault);
        assert_eq!(scrape(noticed).await, Vec::<String>::new());
        faulty.fault.send_replace(DepthFault::None);
        assert_eq!(scrape(15).await, known);
    }
}
