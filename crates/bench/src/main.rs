//! `make bench`: each row runs reference and subject in turn, five rounds of four seconds, and prints ratios.
//!
//! Figures of one machine drift; only ratios from one interleaved run count. `make bench ROW=append` runs the rows whose
//! names begin so; `DEED_BENCH_SECONDS` and `DEED_BENCH_ROUNDS` shorten it. A ratio below its floor fails the run.
mod append;
mod broker;
mod cpu;
mod end_to_end;
mod figures;
mod http;
mod idle;
mod latency;
mod load;
mod pgbench;
mod reference;
mod replay;
mod rounds;
mod sample;
mod site;
mod stand;
mod talk;
mod verifiers;

use std::process::ExitCode;

use deed_testkit::{Postgres, RabbitMq};
use figures::Figures;
use rounds::Row;

const ROWS: [&str; 19] = [
    "append-32",
    "append-256",
    "append-sqlite-32",
    "append-sqlite-256",
    "http-32",
    "http-256",
    "http-sqlite-32",
    "http-sqlite-256",
    "replay",
    "rebuild",
    "relay",
    "consume",
    "end-to-end-embedded",
    "end-to-end-server",
    "latency-embedded",
    "latency-server",
    "idle-embedded",
    "idle-server",
    "verifiers",
];

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<&str> = ROWS.into_iter().filter(|row| selected(&wanted, row)).collect();
    if chosen.is_empty() {
        eprintln!("no such row; there are: {}", ROWS.join(" "));
        return ExitCode::from(2);
    }
    let mut services = Services::default();
    let (mut rows, mut told) = (vec![], vec![]);
    for row in chosen {
        match tell(row, &mut services).await {
            Some(figures) => told.push(figures),
            None => rows.push(measure(row, &mut services).await),
        }
    }
    let judged =
        [figures::report(&told), if rows.is_empty() { ExitCode::SUCCESS } else { rounds::report(&rows) }];
    if judged == [ExitCode::SUCCESS; 2] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A row that has no reference.
async fn tell(row: &str, services: &mut Services) -> Option<Figures> {
    match row.split('-').next()? {
        "end" => Some(end_to_end::measure(row, services).await),
        "latency" => Some(latency::measure(row, services).await),
        "idle" => Some(idle::measure(row, services).await),
        "verifiers" => Some(verifiers::measure(row, services).await),
        _ => None,
    }
}

/// Private servers, started when a row first needs them. Each round has a database or a virtual host of its own.
#[derive(Default)]
struct Services {
    postgres: Option<Postgres>,
    broker: Option<RabbitMq>,
}

impl Services {
    fn postgres(&mut self) -> &Postgres {
        self.postgres.get_or_insert_with(Postgres::start_durable)
    }

    async fn start_broker(&mut self) {
        if self.broker.is_none() {
            self.broker = Some(RabbitMq::start().await);
        }
    }
}

async fn measure(row: &str, services: &mut Services) -> Row {
    let many = row.rsplit('-').next().and_then(|count| count.parse().ok()).unwrap_or(32);
    if matches!(row, "relay" | "consume") {
        services.start_broker().await;
        services.postgres();
    }
    match row {
        "relay" | "consume" => {
            let (Some(broker), Some(postgres)) = (&services.broker, &services.postgres) else {
                unreachable!("both have been started")
            };
            if row == "relay" {
                broker::relay(row, postgres, broker).await
            } else {
                broker::consume(row, broker).await
            }
        }
        "replay" => replay::replay(row, &replay::filled(services.postgres()).await).await,
        "rebuild" => replay::folded(row, &replay::filled(services.postgres()).await).await,
        _ if row.starts_with("append-sqlite") => append::on_sqlite(row, many).await,
        _ if row.starts_with("append") => append::on_postgres(row, many, services.postgres()).await,
        _ if row.starts_with("http-sqlite") => http::on_sqlite(row, many).await,
        _ => http::on_postgres(row, many, services.postgres()).await,
    }
}

/// `append` means every row that begins so, `append-32` that one alone.
fn selected(wanted: &[String], row: &str) -> bool {
    let begins = |w: &String| {
        row.strip_prefix(w.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    wanted.is_empty() || wanted.iter().any(begins)
}
