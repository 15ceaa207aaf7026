//! The relay (log to quorum queue, confirmed) and the consumer, each compared with a plain loop of the client
//! library.
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deed_api::relay::{RELAY, Relay, RelayMetrics, run_relay};
use deed_bus::{Bus, Limits, Message, RabbitMq, RabbitMqConfig, Requirement, Topology};
use deed_messages::queues;
use deed_store::{
    Append, Checkpoints, EventStore, Metadata, Position, StreamWrite, SubscriptionConfig, SystemClock,
    Version,
};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_testkit::{Postgres, RabbitMq as Broker, VHost};
use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio_util::sync::CancellationToken;

use crate::{load::per_second, rounds, sample};

/// Claims in the log of a round: two events each, one of which is work.
const CLAIMS: u64 = 10_000;
/// Confirms that the plain loop awaits at a time, and messages that it acknowledges at once.
const WINDOW: usize = 100;

fn limits() -> Limits {
    Limits { capacity: 1_000_000, publish_deadline: Duration::from_secs(30), ..Limits::default() }
}

async fn bus(vhost: &VHost, limits: Limits) -> RabbitMq {
    let config = RabbitMqConfig {
        url: vhost.url().to_owned(),
        limits,
        heartbeat: Duration::from_secs(10),
        connection_name: "bench".to_owned(),
    };
    let bus = RabbitMq::start(config, Topology::new(queues::EXCHANGE, queues::ALL).expect("valid keys"))
        .expect("a bus");
    bus.connected().await;
    bus
}

async fn channel(vhost: &VHost) -> (Connection, Channel) {
    let connection =
        Connection::connect(vhost.url(), ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

pub async fn relay(name: &str, database: &Postgres, broker: &Broker) -> rounds::Row {
    let comparison = rounds::Comparison {
        subject: "run_relay: log to exchange, confirmed".to_owned(),
        reference: format!("bare lapin loop, the same bodies, confirm window {WINDOW}"),
        floor: 0.7,
        target: 1.0,
    };
    rounds::interleaved(name, comparison, rounds::rounds(), async || {
        let home = database.database().await;
        let config = PostgresConfig::new(home.url().to_owned());
        deed_store_postgres::migrate(&config).await.expect("tables");
        let store = PostgresStore::connect(config).await.expect("a store");
        fill(&store).await;
        let vhost = broker.vhost().await;
        // Declared once, so that both sides find the same queues.
        let bus = bus(&vhost, limits()).await;
        let reference = publish_bare(&vhost, &messages(&store).await).await;
        vhost.purge_queue(queues::VERIFICATION).await;
        let subject = relay_all(&store, &bus).await;
        let depth = settled_depth(&bus, CLAIMS as usize).await;
        let faults = (depth as u64).abs_diff(CLAIMS);
        bus.close().await;
        store.close().await;
        rounds::RoundResult { reference, subject, faults }
    })
    .await
}

/// Waits for the queue depth, which the broker reports with a delay.
async fn settled_depth(bus: &RabbitMq, expected: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let ready = bus.depth(queues::VERIFICATION).await.expect("the depth").ready;
        if ready == expected || Instant::now() > deadline {
            return ready;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn fill(store: &PostgresStore) {
    let at = DateTime::<Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let mut running = tokio::task::JoinSet::new();
    for task in 0..64 {
        let store = store.clone();
        running.spawn(async move {
            for n in (task..CLAIMS).step_by(64) {
                let (stream, events) = sample::claim(n, at);
                let writes = vec![StreamWrite { stream, expected: Version(0), events }];
                let append = Append { writes, receipt: None, metadata: Metadata::default(), at };
                store.append(append).await.expect("an append");
            }
        });
    }
    running.join_all().await;
}

/// The payloads of the log with their routing keys, for the plain loop.
async fn messages(store: &PostgresStore) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![];
    let mut after = Position(0);
    loop {
        let events = store.read_log(after, 5000).await.expect("the log");
        let Some(last) = events.last() else { return all };
        after = last.position;
        all.extend(events.iter().map(|event| {
            let payload = event.event.payload().expect("JSON").into_bytes();
            (event.event.routing_key().to_owned(), payload)
        }));
    }
}

async fn publish_bare(vhost: &VHost, messages: &[(String, Vec<u8>)]) -> f64 {
    let (connection, channel) = channel(vhost).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let properties = BasicProperties::default().with_delivery_mode(2);
    let begin = Instant::now();
    for window in messages.chunks(WINDOW) {
        let mut confirms = Vec::with_capacity(WINDOW);
        for (key, body) in window {
            let confirm = channel.basic_publish(
                queues::EXCHANGE.into(),
                key.as_str().into(),
                BasicPublishOptions::default(),
                body,
                properties.clone(),
            );
            confirms.push(confirm.await.expect("a publish"));
        }
        for confirm in confirms {
            assert!(confirm.await.expect("a confirm").is_ack());
        }
    }
    let rate = per_second(messages.len() as u64, begin.elapsed());
    connection.close(200, "done".into()).await.expect("the end");
    rate
}

async fn relay_all(store: &PostgresStore, bus: &RabbitMq) -> f64 {
    let metrics = RelayMetrics::register(&prometheus::Registry::new()).expect("metrics");
    let relay = Relay::new(bus.publisher(), "/bench".to_owned(), Arc::new(SystemClock), metrics);
    let config = SubscriptionConfig {
        owner: "bench".to_owned(),
        batch: 500,
        lease_ttl: Duration::from_secs(10),
        poll: Duration::from_millis(500),
        backoff_max: Duration::from_secs(5),
    };
    let last = store.last_position().await.expect("the head");
    let stop = CancellationToken::new();
    let (log, ended) = (store.clone(), stop.clone());
    let begin = Instant::now();
    let running = tokio::spawn(async move {
        let checkpoints = Arc::new(log.clone());
        run_relay(Arc::new(log), checkpoints, Arc::new(SystemClock), relay, &config, ended).await
    });
    while store.checkpoint(RELAY).await.expect("the checkpoint") < last {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rate = per_second(last.0, begin.elapsed());
    stop.cancel();
    running.await.expect("the relay").expect("the relay ends well");
    rate
}

pub async fn consume(name: &str, broker: &Broker) -> rounds::Row {
    let comparison = rounds::Comparison {
        subject: "Consumer::next and done, prefetch 200".to_owned(),
        reference: format!("bare lapin loop, prefetch 200, one ack each {WINDOW}"),
        floor: 0.6,
        target: 0.9,
    };
    let count = CLAIMS as usize * 2;
    rounds::interleaved(name, comparison, rounds::rounds(), async || {
        let vhost = broker.vhost().await;
        let bus = bus(&vhost, Limits { prefetch: 200, ..limits() }).await;
        fill_queue(&bus, count).await;
        let reference = consume_bare(&vhost, count).await;
        fill_queue(&bus, count).await;
        let subject = consume_all(&bus, count).await;
        bus.close().await;
        let left = vhost.queue(queues::VERIFICATION).await.and_then(|q| q["messages"].as_u64()).unwrap_or(0);
        rounds::RoundResult { reference, subject, faults: left }
    })
    .await
}

async fn fill_queue(bus: &RabbitMq, count: usize) {
    let publisher = bus.publisher();
    for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
        let messages = chunk.iter().map(|n| Message {
            id: format!("bench_{n}"),
            routing_key: "verification.due".parse().expect("a key"),
            content_type: "application/cloudevents+json".to_owned(),
            body: vec![b'x'; 400].into(),
            headers: std::collections::BTreeMap::default(),
            requirement: Requirement::Mandatory,
        });
        let outcomes = publisher.publish(messages.collect()).await.expect("confirms");
        assert!(outcomes.iter().all(|outcome| outcome.is_confirmed()), "the queue refuses");
    }
}

async fn consume_bare(vhost: &VHost, count: usize) -> f64 {
    let (connection, channel) = channel(vhost).await;
    channel.basic_qos(200, BasicQosOptions::default()).await.expect("the prefetch");
    let begin = Instant::now();
    let mut consumer = channel
        .basic_consume(
            queues::VERIFICATION.into(),
            "bench".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("a consumer");
    for n in 1..=count {
        let delivery = consumer.next().await.expect("a delivery").expect("a good one");
        if n % WINDOW == 0 || n == count {
            delivery.ack(BasicAckOptions { multiple: true }).await.expect("an ack");
        }
    }
    let rate = per_second(count as u64, begin.elapsed());
    connection.close(200, "done".into()).await.expect("the end");
    rate
}

async fn consume_all(bus: &RabbitMq, count: usize) -> f64 {
    let begin = Instant::now();
    let mut consumer = bus.consumer(queues::VERIFICATION).await.expect("a consumer");
    for _ in 0..count {
        let delivery = consumer.next().await.expect("a delivery").expect("the bus is open");
        delivery.acknowledge().await.expect("an ack");
    }
    per_second(count as u64, begin.elapsed())
}
