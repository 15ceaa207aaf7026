//! The report of the checker, as a table and as JSON.
use std::fmt::Write as _;

use serde::Serialize;

/// Findings listed per property; the rest is counted.
const SHOWN: usize = 10;

/// A violation.
pub type Finding = String;

/// The result of one property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PropertyVerdict {
    /// Its name.
    pub property: &'static str,
    /// The description.
    pub says: &'static str,
    /// Items checked.
    pub checked: usize,
    /// Violations.
    pub wrong: usize,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl PropertyVerdict {
    /// A result from its findings.
    pub fn of(
        property: &'static str,
        says: &'static str,
        checked: usize,
        mut findings: Vec<Finding>,
    ) -> Self {
        let wrong = findings.len();
        findings.truncate(SHOWN);
        Self { property, says, checked, wrong, findings }
    }

    /// Whether the property holds.
    pub fn holds(&self) -> bool {
        self.wrong == 0
    }
}

/// The results of all properties.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every property holds.
    pub pass: bool,
    /// One for each property.
    pub properties: Vec<PropertyVerdict>,
}

impl Report {
    /// A report of these results.
    pub fn of(properties: Vec<PropertyVerdict>) -> Self {
        Self { pass: properties.iter().all(PropertyVerdict::holds), properties }
    }

    /// A table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let width = self.properties.iter().map(|verdict| verdict.property.len()).max().unwrap_or_default();
        for verdict in &self.properties {
            let word = if verdict.holds() { "PASS" } else { "FAIL" };
            let PropertyVerdict { property, says, checked, wrong, findings } = verdict;
            // Writing to a string cannot fail.
            let _ =
                writeln!(text, "{word}  {property:width$}  {checked:>8} checked {wrong:>6} wrong  {says}");
            for finding in findings {
                let _ = writeln!(text, "        {finding}");
            }
            if *wrong > findings.len() {
                let _ = writeln!(text, "        and {} more", wrong - findings.len());
            }
        }
        let _ = write!(text, "{}", if self.pass { "PASS" } else { "FAIL" });
        text
    }
}
