//! Configuration, log capture and short forms for the tests of this backend.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use deed_bus::{Bus, Consumer, Delivery, Limits, Message, RabbitMq, RabbitMqConfig, Requirement, Topology};
use deed_messages::queues;

/// The deadline of every wait of the tests.
pub const TIMEOUT: Duration = Duration::from_secs(30);
pub const QUEUE: &str = queues::VERIFICATION;
pub const DEAD: &str = queues::VERIFICATION_DEAD;

pub fn topology() -> Topology {
    Topology::new(queues::EXCHANGE, queues::ALL).unwrap()
}

pub fn limits() -> Limits {
    Limits { publish_deadline: Duration::from_secs(3), max_deliveries: 4, prefetch: 20, ..Limits::default() }
}

pub fn config(url: &str, limits: Limits) -> RabbitMqConfig {
    let heartbeat = Duration::from_secs(1);
    RabbitMqConfig { url: url.to_owned(), limits, heartbeat, connection_name: "test".to_owned() }
}

/// Writes the log of the bus to the output of a failing test.
pub fn show_logs() {
    let filter = tracing_subscriber::EnvFilter::new("warn,deed_bus=debug");
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// Captures the log of the bus. Works only for code that runs on the thread of the test.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync {
        let logs = self.clone();
        let filter = tracing_subscriber::EnvFilter::new("deed_bus=trace");
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(move || logs.clone())
            .finish()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Starts a bus and waits until its topology is declared.
pub async fn connected(url: &str, topology: Topology, limits: Limits) -> RabbitMq {
    show_logs();
    let bus = RabbitMq::start(config(url, limits), topology).unwrap();
    within(bus.connected()).await;
    bus
}

pub async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, wait).await.unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "callers read better so")]
pub fn work(id: impl ToString) -> Message {
    Message {
        id: id.to_string(),
        routing_key: "verification.due".parse().unwrap(),
        content_type: "text/plain".to_owned(),
        body: id.to_string().into_bytes().into(),
        headers: BTreeMap::new(),
        requirement: Requirement::Mandatory,
    }
}

pub async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within(consumer.next()).await.unwrap().unwrap()
}

/// Publishes one message again and again until it is confirmed.
pub async fn publish_until_confirmed(bus: &RabbitMq, message: Message) {
    let publisher = bus.publisher();
    within(async {
        loop {
            if publisher.publish(vec![message.clone()]).await.is_ok_and(|outcomes| outcomes[0].is_confirmed())
            {
                return;
            }
        }
    })
    .await;
}
