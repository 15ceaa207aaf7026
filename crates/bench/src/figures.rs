//! Rows without a reference: figures of one run, some of which have a bound.
use std::process::ExitCode;

/// One figure.
pub struct Figure {
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    /// The run fails when the figure is not below.
    pub below: Option<f64>,
}

/// What a row found.
pub struct Figures {
    pub row: String,
    pub figures: Vec<Figure>,
}

impl Figures {
    /// A row of which nothing is known yet.
    pub fn of(row: &str) -> Self {
        Self { row: row.to_owned(), figures: vec![] }
    }

    /// One more figure that is only told.
    pub fn tell(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { what: what.into(), value, unit, below: None });
    }

    /// One more figure that has to be below a bound.
    pub fn bound(&mut self, what: impl Into<String>, value: f64, unit: &'static str, below: f64) {
        self.figures.push(Figure { what: what.into(), value, unit, below: Some(below) });
    }

    /// What must not be there at all.
    pub fn none(&mut self, what: impl Into<String>, count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
        self.bound(what, count as f64, "", 0.5);
    }

    /// Median, ninety-ninth percentile and longest of durations in milliseconds; the second of them under a bound.
    pub fn spread(&mut self, what: &str, mut times: Vec<f64>, below: Option<f64>) {
        times.sort_by(f64::total_cmp);
        let at = |part: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an index within the list"
            )]
            #[expect(clippy::cast_precision_loss, reason = "lists of seconds-long runs are short")]
            let index = (times.len() as f64 * part) as usize;
            times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        self.tell(format!("{what}, p50"), at(0.5), "ms");
        self.figures.push(Figure { what: format!("{what}, p99"), value: at(0.99), unit: "ms", below });
        self.tell(format!("{what}, longest"), at(1.0), "ms");
    }
}

/// How often one number is in another.
#[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
pub fn quotient(of: u64, by: u64) -> f64 {
    of as f64 / by as f64
}

/// Prints the tables, writes them with the raw figures under `target/bench`, and judges the bounds.
pub fn report(rows: &[Figures]) -> ExitCode {
    if rows.is_empty() {
        return ExitCode::SUCCESS;
    }
    let mut table = String::from("| row | what | value | has to be below |\n|---|---|---|---|\n");
    let (mut json, mut failed) = (vec![], false);
    for row in rows {
        for Figure { what, value, unit, below } in &row.figures {
            let bound = below.map(|below| below.to_string()).unwrap_or_default();
            table.push_str(&format!("| {} | {what} | **{value:.2}** {unit} | {bound} |\n", row.row));
            // What is not a number is not below either.
            failed |= below.is_some_and(|below| !(*value < below));
            json.push(serde_json::json!({
                "row": row.row, "what": what, "value": value, "unit": unit, "below": below,
            }));
        }
    }
    print!("{table}");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    let text = serde_json::to_string_pretty(&json).unwrap_or_default();
    let kept = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("figures.md"), &table))
        .and_then(|()| std::fs::write(folder.join("figures.json"), text));
    if let Err(error) = kept {
        eprintln!("the figures could not be kept under target/bench: {error}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
