//! Due work with a million pending claims: lateness at a steady rate, throughput when all is due, and memory.
//! The real dispatcher, on PostgreSQL and RabbitMQ.
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use deed_bus::{Bus, Limits, RabbitMq, RabbitMqConfig, Topology};
use deed_claims::Clock;
use deed_messages::{CloudEvent, queues};
use deed_projector::{DispatcherConfig, DispatcherMetrics, DispatcherPorts, run_dispatcher};
use deed_store::SystemClock;
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_testkit::{Database, Postgres, RabbitMq as Broker, VHost};
use tokio_util::sync::CancellationToken;

use crate::load::per_second;
use crate::rounds::{self, Figure};

/// Rows that become due per second.
const RATE: u64 = 500;
/// Messages whose lateness is recorded.
const LATENESS_SAMPLES: usize = 50_000;
/// The time before the first row is due.
const LEAD: TimeDelta = TimeDelta::seconds(1);
/// The time without messages after which no more are expected.
const SILENCE: Duration = Duration::from_secs(10);

/// A rate limit that is never reached.
const UNLIMITED: u32 = 10_000_000;

/// The number of pending claims; set by `DEED_BENCH_PENDING`.
fn pending() -> u64 {
    std::env::var("DEED_BENCH_PENDING").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000)
}

/// The time at which the first row is due, on the shifted clock.
fn first() -> DateTime<Utc> {
    DateTime::<Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant")
}

fn due_at(number: u64) -> DateTime<Utc> {
    first() + TimeDelta::microseconds(i64::try_from(number * 1_000_000 / RATE).expect("a near time"))
}

/// The system clock, shifted to the times of the rows.
#[derive(Clone, Copy)]
struct ShiftedClock(TimeDelta);

impl ShiftedClock {
    fn to(begin: DateTime<Utc>) -> Self {
        Self(begin - SystemClock.now())
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }
}

async fn filled(server: &Postgres) -> Database {
    let database = server.database().await;
    let config = PostgresConfig::new(database.url().to_owned());
    deed_store_postgres::migrate(&config).await.expect("tables");
    database
        .sql(&format!(
            "INSERT INTO due_work (stream, claim_id, kind, attempt, due_at, visible_at)
             SELECT 'apex:bench-' || n || '.com', 'clm_' || lpad(to_hex(n), 32, '0'), 'check', 1, due, due
             FROM (SELECT n, '{}'::timestamptz + n * interval '1 second' / {RATE} AS due
                   FROM generate_series(0, {} - 1) AS n) AS rows",
            first().to_rfc3339(),
            pending(),
        ))
        .await;
    database.sql("VACUUM ANALYZE").await;
    database
}

pub async fn measure(row: &str, server: &Postgres, broker: &Broker) -> Vec<Figure> {
    let database = filled(server).await;
    let store =
        PostgresStore::connect(PostgresConfig::new(database.url().to_owned())).await.expect("a store");
    let length = rounds::length() * u32::try_from(rounds::rounds()).expect("few rounds");
    let asked = RATE * length.as_secs();
    // Starts shortly before anything is due.
    let mut steady =
        run(&store, broker, (first() - LEAD, DispatcherConfig::default().rate), asked, length * 2).await;
    steady.took = steady.took.saturating_sub(LEAD.to_std().expect("a short time"));
    let free = run(&store, broker, (due_at(pending()), UNLIMITED), pending() - asked, length).await;
    store.close().await;
    let again = steady.numbers.iter().zip(&free.numbers).filter(|(one, two)| **one && **two).count() as u64;
    let figure = |what: &str, value, unit| Figure::new(row, what, value, unit);
    let mut figures = vec![
        figure("lateness p50 at 500/s", percentile(&steady.lateness, 50), "ms").within(1000.0, 50.0),
        figure("lateness p99 at 500/s", percentile(&steady.lateness, 99), "ms").within(1000.0, 50.0),
        figure("dispatched of what fell due, steady", per_second(steady.count(), steady.took), "1/s"),
        figure("dispatched when all is due, without a pace", per_second(free.count(), free.took), "1/s"),
        figure("memory at first", free.memory.0, "MiB"),
        figure("memory at last", free.memory.1, "MiB"),
        figure("memory grown", free.memory.1 - free.memory.0, "MiB").within(64.0, 16.0),
    ];
    let lost = asked.saturating_sub(steady.count());
    figures.push(figure("not handed out though due, steady", lost as f64, "").within(0.0, 0.0));
    figures.push(figure("handed out twice", (steady.twice + free.twice + again) as f64, "").within(0.0, 0.0));
    figures
}

/// The messages received from the queue.
#[derive(Default)]
struct Dispatched {
    /// The rows that were dispatched.
    numbers: Vec<bool>,
    /// Lateness of the first messages in microseconds; the capacity is fixed, so that it does not show as
    /// memory growth.
    lateness: Vec<i64>,
    twice: u64,
    took: Duration,
    /// Memory of this process, after the start and at the end.
    memory: (f64, f64),
}

impl Dispatched {
    fn count(&self) -> u64 {
        self.numbers.iter().filter(|dispatched| **dispatched).count() as u64
    }

    fn add(&mut self, number: u64, at: DateTime<Utc>) {
        if self.lateness.len() < LATENESS_SAMPLES {
            let late = at - due_at(number);
            self.lateness.push(late.num_microseconds().unwrap_or(i64::MAX));
        }
        self.twice += u64::from(std::mem::replace(&mut self.numbers[number as usize], true));
    }
}

async fn connect(vhost: &VHost) -> RabbitMq {
    let config = RabbitMqConfig {
        url: vhost.url().to_owned(),
        limits: Limits { prefetch: 500, ..Limits::default() },
        heartbeat: Duration::from_secs(10),
        connection_name: "bench".to_owned(),
    };
    let bus = RabbitMq::start(config, Topology::new(queues::EXCHANGE, queues::ALL).expect("valid keys"))
        .expect("a bus");
    bus.connected().await;
    bus
}

/// Runs the dispatcher from a time on with a rate limit, until `rows` messages came or the time is over.
async fn run(
    store: &PostgresStore,
    broker: &Broker,
    (from, rate): (DateTime<Utc>, u32),
    rows: u64,
    length: Duration,
) -> Dispatched {
    let vhost = broker.vhost().await;
    let bus = connect(&vhost).await;
    let clock = ShiftedClock::to(from);
    let ports = DispatcherPorts {
        store: Arc::new(store.clone()),
        checkpoints: Arc::new(store.clone()),
        due: Arc::new(store.clone()),
        bus: Arc::new(bus.clone()),
        clock: Arc::new(clock),
    };
    let config = DispatcherConfig {
        owner: format!("bench {}", vhost.url()),
        // Published work stays hidden for the whole measurement.
        visibility: Duration::from_secs(3600),
        rate,
        ..DispatcherConfig::default()
    };
    let metrics = DispatcherMetrics::register(&prometheus::Registry::new()).expect("metrics");
    let stop = CancellationToken::new();
    let ended = stop.clone();
    let begin = Instant::now();
    let running = tokio::spawn(async move { run_dispatcher(ports, &config, metrics, ended).await });
    let mut dispatched = Dispatched { numbers: vec![false; pending() as usize], ..Dispatched::default() };
    dispatched.lateness.reserve_exact(LATENESS_SAMPLES);
    let mut consumer = bus.consumer(queues::VERIFICATION).await.expect("a consumer");
    for nth in 0..rows {
        if nth == rows.min(10_000) / 2 {
            dispatched.memory.0 = resident();
        }
        let left = (length + SILENCE).saturating_sub(begin.elapsed()).min(SILENCE);
        let Ok(delivery) = tokio::time::timeout(left, consumer.next()).await else { break };
        let delivery = delivery.expect("a delivery").expect("the bus is open");
        let number = number(&delivery.message().body);
        dispatched.add(number, clock.now());
        delivery.acknowledge().await.expect("an ack");
        dispatched.took = begin.elapsed();
        if dispatched.took > length {
            break;
        }
    }
    dispatched.memory.1 = resident();
    stop.cancel();
    running.await.expect("the dispatcher ends well");
    bus.close().await;
    dispatched
}

/// The row of a message.
fn number(body: &[u8]) -> u64 {
    let event = CloudEvent::from_json(body).expect("an envelope");
    let claim = event.data["claimId"].as_str().expect("a claim").to_owned();
    u64::from_str_radix(claim.trim_start_matches("clm_"), 16).expect("a number")
}

/// A percentile in milliseconds.
fn percentile(lateness: &[i64], percent: usize) -> f64 {
    let mut sorted = lateness.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(f64::INFINITY, |micros| *micros as f64 / 1000.0)
}

/// The resident memory of this process in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
