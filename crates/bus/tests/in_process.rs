//! The in-process bus: the suite for every backend, and what only this one promises.
#![expect(clippy::unwrap_used, reason = "these are tests: a panic is their verdict")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_bus::metrics::{Health, PublishMetrics, QueueMetrics};
use deed_bus::{
    Bus, BusError, Consumer, DeadLetters, Delivery, Depth, InProcess, InProcessConfig, Limits, Message,
    PublishOutcome, Publisher, Replay, Requirement, Topology, conformance::BusUnderTest,
};
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

const QUEUE: &str = Topology::VERIFICATION;

fn small(capacity: usize, publish_deadline: Duration) -> InProcess {
    let config = InProcessConfig { capacity, publish_deadline, max_deliveries: 3, prefetch: 10 };
    InProcess::new(Topology::deed(), config)
}

fn work(id: u32) -> Message {
    Message {
        id: id.to_string(),
        routing_key: "verification.due".parse().unwrap(),
        content_type: "text/plain".to_owned(),
        body: Arc::from(*b"work"),
        headers: BTreeMap::new(),
        delivery: Requirement::MustReachQueue,
    }
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let waited = tokio::time::timeout(Duration::from_secs(20), consumer.next()).await;
    waited.unwrap().unwrap().unwrap()
}

async fn refuse(bus: &InProcess, ids: impl IntoIterator<Item = u32>) {
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for id in ids {
        assert_eq!(bus.publisher().publish(vec![work(id)]).await.unwrap(), [PublishOutcome::Confirmed]);
        next(&mut consumer).await.dead_letter("no").await.unwrap();
    }
}

const LONG: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_the_deadline_and_no_longer() {
    use PublishOutcome::{Confirmed, Full};
    let bus = small(2, Duration::from_secs(5));
    let started = tokio::time::Instant::now();
    let outcomes = bus.publisher().publish((0..4).map(work).collect()).await.unwrap();
    assert_eq!(outcomes, [Confirmed, Confirmed, Full, Full]);
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_publisher_goes_on_as_soon_as_there_is_room() {
    let bus = small(1, LONG);
    let publisher = bus.publisher();
    let publishing = tokio::spawn(async move { publisher.publish((0..3).map(work).collect()).await });
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    for id in 0..3 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message().id, id.to_string());
        assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth { ready: 0, unsettled: 1, dead: 0 });
        delivery.done().await.unwrap();
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
async fn a_publisher_that_gives_up_waiting_leaves_no_trace() {
    let bus = small(1, LONG);
    let publisher = bus.publisher();
    let given_up =
        tokio::time::timeout(Duration::from_secs(1), publisher.publish(vec![work(0), work(1)])).await;
    assert!(given_up.is_err());
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    next(&mut consumer).await.done().await.unwrap();
    assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth::default());
    assert_eq!(publisher.publish(vec![work(2)]).await.unwrap(), [PublishOutcome::Confirmed]);
}

#[tokio::test]
async fn a_poisonous_message_does_not_keep_the_others_waiting() {
    let bus = small(10, LONG);
    bus.publisher().publish(vec![work(1), work(2)]).await.unwrap();
    let mut consumer = bus.consumer(QUEUE).await.unwrap();
    drop(next(&mut consumer).await);
    assert_eq!(next(&mut consumer).await.message().id, "2");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_beyond_the_capacity_take_up_room_and_none_is_lost() {
    let bus = small(2, Duration::from_secs(5));
    refuse(&bus, 0..4).await;
    assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth { ready: 0, unsettled: 0, dead: 4 });
    assert_eq!(bus.publisher().publish(vec![work(4)]).await.unwrap(), [PublishOutcome::Full]);

    assert_eq!(bus.dead_letters().purge("0").await.unwrap(), 1);
    assert_eq!(bus.publisher().publish(vec![work(4)]).await.unwrap(), [PublishOutcome::Confirmed]);
    assert_eq!(bus.publisher().publish(vec![work(5)]).await.unwrap(), [PublishOutcome::Full]);
}

#[tokio::test(start_paused = true)]
async fn replay_uses_the_room_that_dead_letters_take_up_and_then_waits_for_more() {
    let bus = small(2, Duration::from_secs(5));
    refuse(&bus, 0..4).await;
    assert!(matches!(bus.dead_letters().replay(Replay::All).await, Err(BusError::Full(_))));
    assert_eq!(bus.depth(QUEUE).await.unwrap(), Depth { ready: 2, unsettled: 0, dead: 2 });

    let replaying = tokio::spawn(async move {
        let mut consumer = bus.consumer(QUEUE).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..4 {
            let delivery = next(&mut consumer).await;
            ids.push(delivery.message().id.clone());
            delivery.done().await.unwrap();
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
async fn limits_of_nothing_mean_one() {
    let config = InProcessConfig { capacity: 0, publish_deadline: LONG, max_deliveries: 0, prefetch: 0 };
    let bus = InProcess::new(Topology::deed(), config);
    refuse(&bus, [1]).await;
    bus.publisher().publish(vec![work(2)]).await.unwrap();
    drop(next(&mut bus.consumer(QUEUE).await.unwrap()).await);
    assert_eq!(bus.depth(QUEUE).await.unwrap().dead, 2);
}

#[test]
fn bodies_and_header_values_stay_out_of_debug_output() {
    let mut message = work(1);
    message.body = Arc::from(*b"secret");
    message.headers.insert("key".to_owned(), "secret".to_owned());
    assert!(!format!("{message:?}").contains("secret"));
}

/// A bus whose depth is not always to be had.
struct Moody {
    bus: InProcess,
    mood: watch::Sender<Mood>,
}

#[derive(Clone, Copy)]
enum Mood {
    Well,
    Broken,
    Silent,
}

#[async_trait]
impl Bus for Moody {
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
        let mood = *self.mood.borrow();
        match mood {
            Mood::Well => self.bus.depth(queue).await,
            Mood::Broken => Err(BusError::Unavailable("broken".into())),
            Mood::Silent => std::future::pending().await,
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
async fn what_waits_is_told_unless_the_bus_does_not_answer() {
    let bus = small(10, Duration::from_secs(5));
    refuse(&bus, 1..=2).await;
    bus.publisher().publish((3..=5).map(work).collect()).await.unwrap();
    let moody = Arc::new(Moody { bus, mood: watch::Sender::new(Mood::Well) });
    let registry = Registry::new();
    let metrics = QueueMetrics::register(&registry).unwrap();
    let watched = Arc::clone(&moody);
    tokio::spawn(async move { metrics.watch(&*watched).await });
    let told = async |after: u64| {
        tokio::time::sleep(Duration::from_secs(after)).await;
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let known = ["deed_queue_messages{queue=\"dead\"} 2", "deed_queue_messages{queue=\"verification\"} 3"];
    assert_eq!(told(1).await, known);
    for (mood, noticed) in [(Mood::Broken, 15), (Mood::Silent, 25)] {
        moody.mood.send_replace(mood);
        assert_eq!(told(noticed).await, Vec::<String>::new());
        moody.mood.send_replace(Mood::Well);
        assert_eq!(told(15).await, known);
    }
}
