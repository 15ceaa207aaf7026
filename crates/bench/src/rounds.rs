//! Interleaved rounds, and their report.
use std::{process::ExitCode, time::Duration};

/// A row of the report.
pub struct Row {
    pub name: String,
    pub subject: String,
    pub reference: String,
    pub floor: f64,
    pub target: f64,
    /// Operations per second of reference and subject, per round.
    pub pairs: Vec<(f64, f64)>,
    /// Lost, duplicated and missing operations; has to be 0.
    pub faults: u64,
}

/// What a row compares, and the required ratio.
pub struct Comparison {
    pub subject: String,
    pub reference: String,
    pub floor: f64,
    pub target: f64,
}

/// The result of a round: operations per second of both sides, and faults.
pub struct RoundResult {
    pub reference: f64,
    pub subject: f64,
    pub faults: u64,
}

/// Measures reference and subject in turn.
pub async fn interleaved(
    name: &str,
    comparison: Comparison,
    times: usize,
    mut round: impl AsyncFnMut() -> RoundResult,
) -> Row {
    let (mut pairs, mut faults) = (vec![], 0);
    for _ in 0..times {
        let done = round().await;
        pairs.push((done.reference, done.subject));
        faults += done.faults;
    }
    let Comparison { subject, reference, floor, target } = comparison;
    Row { name: name.to_owned(), subject, reference, floor, target, pairs, faults }
}

/// A figure without comparison, which may have an upper bound.
pub struct Figure {
    row: String,
    what: String,
    value: f64,
    unit: &'static str,
    /// Upper bound and target.
    within: Option<(f64, f64)>,
}

impl Figure {
    pub fn new(row: &str, what: &str, value: f64, unit: &'static str) -> Self {
        Self { row: row.to_owned(), what: what.to_owned(), value, unit, within: None }
    }

    /// Sets an upper bound and a target.
    pub fn within(self, floor: f64, target: f64) -> Self {
        Self { within: Some((floor, target)), ..self }
    }

    fn fails(&self) -> bool {
        self.within.is_some_and(|(floor, _)| self.value.is_nan() || self.value > floor)
    }
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
    /// Ratios subject ÷ reference: minimum, median, maximum.
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

/// Prints the table, writes it and the raw figures to `target/bench`, and returns whether all bounds hold.
pub fn report(rows: &[Row], figures: &[Figure]) -> ExitCode {
    let (mut table, mut json) = (String::new(), vec![]);
    let compared = compare(rows, &mut table, &mut json);
    let plain = list(figures, &mut table, &mut json);
    print!("{table}");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    let text = serde_json::to_string_pretty(&json).unwrap_or_default();
    let kept = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("bench.md"), &table))
        .and_then(|()| std::fs::write(folder.join("bench.json"), text));
    if let Err(error) = kept {
        eprintln!("the report could not be kept under target/bench: {error}");
    }
    if compared && plain { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Adds the comparisons; returns whether all are above their floors.
fn compare(rows: &[Row], table: &mut String, json: &mut Vec<serde_json::Value>) -> bool {
    if rows.is_empty() {
        return true;
    }
    table.push_str(
        "| row | subject | reference | reference/s | subject/s | ratio min | median | max | floor | target | faults |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
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
    !failed
}

/// Adds the figures; returns whether all are within their bounds.
fn list(figures: &[Figure], table: &mut String, json: &mut Vec<serde_json::Value>) -> bool {
    if figures.is_empty() {
        return true;
    }
    table.push_str("| row | figure | value | floor | target |\n|---|---|---|---|---|\n");
    for figure in figures {
        let Figure { row, what, value, unit, within } = figure;
        let asked = within.map_or(" | ".to_owned(), |(floor, target)| format!("≤ {floor} | ≤ {target}"));
        table.push_str(&format!("| {row} | {what} | **{value:.2}** {unit} | {asked} |\n"));
        json.push(serde_json::json!({
            "row": row, "figure": what, "value": value, "unit": unit,
            "floor": within.map(|(floor, _)| floor), "target": within.map(|(_, target)| target),
        }));
    }
    !figures.iter().any(Figure::fails)
}
