//! Due work at a million pending claims: how late it is when it falls due steadily, how fast it goes when all of it is
//! due, and what that costs in memory. The dispatcher is the real one, on PostgreSQL and RabbitMQ.
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use deed_bus::{Bus, CloudEvent, Limits, RabbitMq, RabbitMqConfig, Topology};
use deed_projector::{DispatcherConfig, DispatcherMetrics, DispatcherPorts, run_dispatcher};
use deed_store::{Clock, SystemClock};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_testkit::{Database, Postgres, RabbitMq as Broker};
use tokio_util::sync::CancellationToken;

use crate::load::per_second;
use crate::rounds::{self, Figure};

/// Rows that fall due in a second.
const PACE: u64 = 500;
/// Messages of which it is kept how late they were.
const KEPT: usize = 50_000;
/// How long the dispatcher runs before anything is due.
const LEAD: TimeDelta = TimeDelta::seconds(1);
/// How long nothing may come before it is said that nothing will.
const SILENCE: Duration = Duration::from_secs(10);

/// More a second than there are.
const UNPACED: u32 = 10_000_000;

/// Claims that wait for their check; `DEED_BENCH_PENDING` changes it.
fn pending() -> u64 {
    std::env::var("DEED_BENCH_PENDING").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000)
}

/// When the first row falls due, on the row's own clock.
fn first() -> DateTime<Utc> {
    DateTime::<Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant")
}

fn due_at(number: u64) -> DateTime<Utc> {
    first() + TimeDelta::microseconds(i64::try_from(number * 1_000_000 / PACE).expect("a near time"))
}

/// The machine's clock, moved so that measuring begins when the rows say.
#[derive(Clone, Copy)]
struct Moved(TimeDelta);

impl Moved {
    fn to(begin: DateTime<Utc>) -> Self {
        Self(begin - SystemClock.now())
    }
}

impl Clock for Moved {
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
             FROM (SELECT n, '{}'::timestamptz + n * interval '1 second' / {PACE} AS due
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
    let asked = PACE * length.as_secs();
    // Begins a little before anything is due.
    let mut steady =
        run(&store, broker, (first() - LEAD, DispatcherConfig::default().rate), asked, length * 2).await;
    steady.took = steady.took.saturating_sub(LEAD.to_std().expect("a short time"));
    let free = run(&store, broker, (due_at(pending()), UNPACED), pending() - asked, length).await;
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

/// What came out of the queue.
#[derive(Default)]
struct Seen {
    /// Which rows.
    numbers: Vec<bool>,
    /// In microseconds, of the first messages: it takes no more room later than at first.
    lateness: Vec<i64>,
    twice: u64,
    took: Duration,
    /// Of this process, once things run and at the end.
    memory: (f64, f64),
}

impl Seen {
    fn count(&self) -> u64 {
        self.numbers.iter().filter(|seen| **seen).count() as u64
    }
}

/// Dispatches from an instant on, at most so many a second, until so many rows came or the time is over.
async fn run(
    store: &PostgresStore,
    broker: &Broker,
    (from, rate): (DateTime<Utc>, u32),
    rows: u64,
    length: Duration,
) -> Seen {
    let vhost = broker.vhost().await;
    let config = RabbitMqConfig {
        url: vhost.url().to_owned(),
        limits: Limits { prefetch: 500, ..Limits::default() },
        heartbeat: Duration::from_secs(10),
        connection_name: "bench".to_owned(),
    };
    let bus = RabbitMq::start(config, Topology::deed()).expect("a bus");
    bus.connected().await;
    let clock = Moved::to(from);
    let ports = DispatcherPorts {
        store: Arc::new(store.clone()),
        checkpoints: Arc::new(store.clone()),
        due: Arc::new(store.clone()),
        bus: Arc::new(bus.clone()),
        clock: Arc::new(clock),
    };
    let config = DispatcherConfig {
        owner: format!("bench {}", vhost.url()),
        // What is in hand stays so for longer than the measurement takes.
        visibility: Duration::from_secs(3600),
        rate,
        ..DispatcherConfig::default()
    };
    let metrics = DispatcherMetrics::register(&prometheus::Registry::new()).expect("metrics");
    let stop = CancellationToken::new();
    let ended = stop.clone();
    let begin = Instant::now();
    let running = tokio::spawn(async move { run_dispatcher(ports, &config, metrics, ended).await });
    let mut seen = Seen { numbers: vec![false; pending() as usize], ..Seen::default() };
    seen.lateness.reserve_exact(KEPT);
    let mut consumer = bus.consumer(Topology::VERIFICATION).await.expect("a consumer");
    for nth in 0..rows {
        if nth == rows.min(10_000) / 2 {
            seen.memory.0 = resident();
        }
        let left = (length + SILENCE).saturating_sub(begin.elapsed()).min(SILENCE);
        let Ok(delivery) = tokio::time::timeout(left, consumer.next()).await else { break };
        let delivery = delivery.expect("a delivery").expect("the bus is open");
        let number = number(&delivery.message().body);
        if seen.lateness.len() < KEPT {
            let late = clock.now() - due_at(number);
            seen.lateness.push(late.num_microseconds().unwrap_or(i64::MAX));
        }
        seen.twice += u64::from(std::mem::replace(&mut seen.numbers[number as usize], true));
        delivery.acknowledge().await.expect("an ack");
        seen.took = begin.elapsed();
        if seen.took > length {
            break;
        }
    }
    seen.memory.1 = resident();
    stop.cancel();
    running.await.expect("the dispatcher ends well");
    bus.close().await;
    seen
}

/// Which row a message is about.
fn number(body: &[u8]) -> u64 {
    let event = CloudEvent::from_json(body).expect("an envelope");
    let claim = event.data["claimId"].as_str().expect("a claim").to_owned();
    u64::from_str_radix(claim.trim_start_matches("clm_"), 16).expect("a number")
}

/// In milliseconds.
fn percentile(lateness: &[i64], percent: usize) -> f64 {
    let mut sorted = lateness.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(f64::INFINITY, |micros| *micros as f64 / 1000.0)
}

/// What this process has in memory, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
