//! `make bench`: each row runs reference and subject in turn, five rounds of four seconds, and prints ratios.
//!
//! Figures of one machine drift; only ratios from one interleaved run count. `ROW=name make bench` runs one row;
//! `DEED_BENCH_SECONDS` and `DEED_BENCH_ROUNDS` shorten it. A ratio below its floor fails the run.
mod append_sqlite;
mod http;
mod reference;
mod rounds;
mod sample;

use std::process::ExitCode;

use rounds::Row;

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut rows: Vec<Row> = vec![];
    for tasks in [32, 256] {
        let name = format!("append-sqlite-{tasks}");
        if selected(&wanted, &name) {
            rows.push(append_sqlite::row(&name, tasks).await);
        }
    }
    for connections in [32, 256] {
        let name = format!("http-sqlite-{connections}");
        if selected(&wanted, &name) {
            rows.push(http::row(&name, connections).await);
        }
    }
    if rows.is_empty() {
        eprintln!(
            "no such row; there are: append-sqlite-32 append-sqlite-256 http-sqlite-32 http-sqlite-256"
        );
        return ExitCode::from(2);
    }
    rounds::report(&rows)
}

fn selected(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|w| name.starts_with(w.as_str()))
}
