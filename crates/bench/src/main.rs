//! `make bench`: each row measures reference and subject in turn, five rounds of four seconds, and prints
//! ratios.
//!
//! Figures of one machine drift; only ratios from one interleaved run count. `make bench ROW=append` runs the rows whose
//! names begin so; `DEED_BENCH_SECONDS` and `DEED_BENCH_ROUNDS` shorten it. A ratio below its floor fails the run.
mod api_client;
mod append;
mod broker;
mod cpu;
mod deployment;
mod dns;
mod due_work;
mod end_to_end;
mod figures;
mod history;
mod http;
mod idle;
mod in_flight;
mod latency;
mod load;
mod pgbench;
mod reference;
mod replay;
mod rounds;
mod sample;
mod service;
mod verifiers;

use std::process::ExitCode;

use deed_testkit::{Postgres, RabbitMq};
use rounds::{Figure, Row};

/// A report without comparison, which runs only when named.
const REPORT: &str = "in-flight";

// No row compares with the crates `postgres-es` and `esrs`: both still ask for sqlx 0.8, whose SQLite part links another
// `libsqlite3-sys` than ours does, and cargo admits one of them in a program.
const ROWS: [&str; 27] = [
    "append-32",
    "append-256",
    "append-sqlite-32",
    "append-sqlite-256",
    "http-32",
    "http-256",
    "http-all-32",
    "http-all-256",
    "http-sqlite-32",
    "http-sqlite-256",
    "replay",
    "rebuild",
    "relay",
    "consume",
    "dns",
    "dns-hickory",
    "check",
    "due-work",
    "end-to-end-embedded",
    "end-to-end-server",
    "latency-embedded",
    "latency-server",
    "idle-embedded",
    "idle-server",
    "verifiers",
    "history-embedded",
    "history-server",
];

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.iter().any(|row| row == REPORT) {
        in_flight::report().await;
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&str> = ROWS.into_iter().filter(|row| selected(&wanted, row)).collect();
    if chosen.is_empty() {
        eprintln!("no such row; there are: {} {REPORT}", ROWS.join(" "));
        return ExitCode::from(2);
    }
    let mut services = Services::default();
    let (mut rows, mut figures) = (vec![], vec![]);
    for row in chosen {
        match tell(row, &mut services).await {
            Some(told) => figures.extend(told),
            None => rows.push(measure(row, &mut services).await),
        }
    }
    rounds::report(&rows, &figures)
}

/// Measures a row without a reference.
async fn tell(row: &str, services: &mut Services) -> Option<Vec<Figure>> {
    Some(match row.split('-').next()? {
        "due" => {
            let (postgres, broker) = services.both().await;
            due_work::measure(row, postgres, broker).await
        }
        "end" => end_to_end::measure(row, services).await.into(),
        "latency" => latency::measure(row, services).await.into(),
        "idle" => idle::measure(row, services).await.into(),
        "history" => history::measure(row, services).await.into(),
        "verifiers" => verifiers::measure(row, services).await.into(),
        _ => return None,
    })
}

/// Private servers, started on first use. Each round has its own database or vhost.
#[derive(Default)]
struct Services {
    postgres: Option<Postgres>,
    broker: Option<RabbitMq>,
}

impl Services {
    fn postgres(&mut self) -> &Postgres {
        self.postgres.get_or_insert_with(Postgres::start_durable)
    }

    async fn both(&mut self) -> (&Postgres, &RabbitMq) {
        if self.broker.is_none() {
            self.broker = Some(RabbitMq::start().await);
        }
        let Self { postgres, broker } = self;
        let postgres = postgres.get_or_insert_with(Postgres::start_durable);
        (postgres, broker.as_ref().expect("it has been started"))
    }
}

async fn measure(row: &str, services: &mut Services) -> Row {
    let many = row.rsplit('-').next().and_then(|count| count.parse().ok()).unwrap_or(32);
    match row {
        "relay" => {
            let (postgres, broker) = services.both().await;
            broker::relay(row, postgres, broker).await
        }
        "dns" => dns::with_dnsperf(row).await,
        "dns-hickory" => dns::with_hickory(row).await,
        "check" => dns::checks(row).await,
        "consume" => broker::consume(row, services.both().await.1).await,
        "replay" => replay::replay(row, &replay::filled(services.postgres()).await).await,
        "rebuild" => replay::folded(row, &replay::filled(services.postgres()).await).await,
        _ if row.starts_with("append-sqlite") => append::on_sqlite(row, many).await,
        _ if row.starts_with("append") => append::on_postgres(row, many, services.postgres()).await,
        _ if row.starts_with("http-sqlite") => http::on_sqlite(row, many).await,
        _ if row.starts_with("http-all") => {
            http::on_postgres(row, many, http::OtherRoles::Inside, services.postgres()).await
        }
        _ => {
            let (postgres, broker) = services.both().await;
            http::on_postgres(row, many, http::OtherRoles::Elsewhere(broker), postgres).await
        }
    }
}

/// `append` selects every row with this prefix, `append-32` only that one.
fn selected(wanted: &[String], row: &str) -> bool {
    let begins = |w: &String| {
        row.strip_prefix(w.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    wanted.is_empty() || wanted.iter().any(begins)
}
