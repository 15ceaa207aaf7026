//! Rows without a reference: figures of one run, some of which have a bound.
use crate::rounds::Figure;

/// What a row found.
pub struct Figures {
    row: String,
    figures: Vec<Figure>,
}

impl From<Figures> for Vec<Figure> {
    fn from(found: Figures) -> Self {
        found.figures
    }
}

impl Figures {
    /// A row of which nothing is known yet.
    pub fn of(row: &str) -> Self {
        Self { row: row.to_owned(), figures: vec![] }
    }

    /// One more figure that is only told.
    pub fn tell(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure::new(&self.row, &what.into(), value, unit));
    }

    /// One more figure, with the most that it may be.
    pub fn bound(&mut self, what: impl Into<String>, value: f64, unit: &'static str, most: f64) {
        self.figures.push(Figure::new(&self.row, &what.into(), value, unit).within(most, most));
    }

    /// What must not be there at all.
    pub fn none(&mut self, what: impl Into<String>, count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
        self.bound(what, count as f64, "", 0.0);
    }

    /// Median, ninety-ninth percentile and longest of durations in milliseconds; the second of them under a bound.
    pub fn spread(&mut self, what: &str, mut times: Vec<f64>, most: Option<f64>) {
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
        match most {
            Some(most) => self.bound(format!("{what}, p99"), at(0.99), "ms", most),
            None => self.tell(format!("{what}, p99"), at(0.99), "ms"),
        }
        self.tell(format!("{what}, longest"), at(1.0), "ms");
    }
}

/// How often one number is in another.
#[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
pub fn quotient(of: u64, by: u64) -> f64 {
    of as f64 / by as f64
}
