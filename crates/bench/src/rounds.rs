//! Interleaved rounds and what is made of them.
use std::{process::ExitCode, time::Duration};

/// One row of the table.
pub struct Row {
    pub name: String,
    pub subject: String,
    pub reference: String,
    pub floor: f64,
    pub target: f64,
    /// Per round: reference and subject in operations a second.
    pub pairs: Vec<(f64, f64)>,
    /// What was lost, doubled or gapped of what was acknowledged; has to be 0.
    pub faults: u64,
}

/// What a row compares, and what is asked of the ratio.
pub struct Aim {
    pub subject: String,
    pub reference: String,
    pub floor: f64,
    pub target: f64,
}

/// What one round gave: operations a second of both sides, and what was lost, doubled or gapped.
pub struct Round {
    pub reference: f64,
    pub subject: f64,
    pub faults: u64,
}

/// Measures reference and subject in turn, so many times.
pub async fn interleaved(name: &str, aim: Aim, times: usize, mut round: impl AsyncFnMut() -> Round) -> Row {
    let (mut pairs, mut faults) = (vec![], 0);
    for _ in 0..times {
        let done = round().await;
        pairs.push((done.reference, done.subject));
        faults += done.faults;
    }
    let Aim { subject, reference, floor, target } = aim;
    Row { name: name.to_owned(), subject, reference, floor, target, pairs, faults }
}

pub fn rounds() -> usize {
    env("DEED_BENCH_ROUNDS").unwrap_or(5)
}

pub fn length() -> Duration {
    Duration::from_secs(env("DEED_BENCH_SECONDS").unwrap_or(4))
}

fn env<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

impl Row {
    /// Ratios subject ÷ reference: least, middle, greatest.
    fn ratios(&self) -> (f64, f64, f64) {
        let mut ratios: Vec<f64> =
            self.pairs.iter().map(|(reference, subject)| subject / reference).collect();
        ratios.sort_by(f64::total_cmp);
        (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1])
    }

    fn middle(&self, pick: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let mut values: Vec<f64> = self.pairs.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

/// Prints the table, writes it with the raw figures under `target/bench`, and judges the floors.
pub fn report(rows: &[Row]) -> ExitCode {
    let mut table = String::from(
        "| row | subject | reference | reference/s | subject/s | ratio min | median | max | floor | target | faults |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut json = vec![];
    let mut failed = false;
    for row in rows {
        let (least, middle, greatest) = row.ratios();
        let (reference, subject) = (row.middle(|p| p.0), row.middle(|p| p.1));
        table.push_str(&format!(
            "| {} | {} | {} | {reference:.0} | {subject:.0} | {least:.2} | **{middle:.2}** | {greatest:.2} | {} | {} | {} |\n",
            row.name, row.subject, row.reference, row.floor, row.target, row.faults
        ));
        failed |= middle < row.floor || row.faults > 0;
        json.push(serde_json::json!({
            "row": row.name, "floor": row.floor, "target": row.target, "faults": row.faults,
            "ratio": {"min": least, "median": middle, "max": greatest},
            "rounds": row.pairs.iter().map(|(r, s)| serde_json::json!({"reference": r, "subject": s})).collect::<Vec<_>>(),
        }));
    }
    print!("{table}");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    let text = serde_json::to_string_pretty(&json).unwrap_or_default();
    let kept = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("bench.md"), &table))
        .and_then(|()| std::fs::write(folder.join("bench.json"), text));
    if let Err(error) = kept {
        eprintln!("the report could not be kept under target/bench: {error}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
