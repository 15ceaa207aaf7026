//! Rows without a reference: figures, some with an upper bound.
use crate::rounds::Figure;

/// The figures of a row.
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
    /// A row without figures.
    pub fn of(row: &str) -> Self {
        Self { row: row.to_owned(), figures: vec![] }
    }

    /// Adds a figure.
    pub fn tell(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure::new(&self.row, &what.into(), value, unit));
    }

    /// Adds a figure with an upper bound.
    pub fn bound(&mut self, what: impl Into<String>, value: f64, unit: &'static str, most: f64) {
        self.figures.push(Figure::new(&self.row, &what.into(), value, unit).within(most, most));
    }

    /// Adds a ratio with an upper bound and a target.
    pub fn ratio(&mut self, what: impl Into<String>, value: f64, (most, target): (f64, f64)) {
        self.figures.push(Figure::new(&self.row, &what.into(), value, "×").within(most, target));
    }

    /// Adds a count that has to be 0.
    pub fn none(&mut self, what: impl Into<String>, count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
        self.bound(what, count as f64, "", 0.0);
    }

    /// Adds p50, p99 and maximum of durations in milliseconds, with an upper bound for p99.
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

/// A quotient of counts.
#[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
pub fn quotient(of: u64, by: u64) -> f64 {
    of as f64 / by as f64
}
