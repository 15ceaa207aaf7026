//! What the checker found, for people and for programs.
use std::fmt::Write as _;

use serde::Serialize;

/// Findings shown of each property; the rest is counted.
const SHOWN: usize = 10;

/// Something that may not be.
pub type Finding = String;

/// What was found of one property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its name.
    pub property: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Things looked at.
    pub checked: usize,
    /// How many of them are wrong.
    pub wrong: usize,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// From everything that is wrong.
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

    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.wrong == 0
    }
}

/// All of them.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every property holds.
    pub pass: bool,
    /// One for each property.
    pub properties: Vec<Verdict>,
}

impl Report {
    /// From the verdicts.
    pub fn of(properties: Vec<Verdict>) -> Self {
        Self { pass: properties.iter().all(Verdict::holds), properties }
    }

    /// A table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let width = self.properties.iter().map(|verdict| verdict.property.len()).max().unwrap_or_default();
        for verdict in &self.properties {
            let word = if verdict.holds() { "PASS" } else { "FAIL" };
            let Verdict { property, says, checked, wrong, findings } = verdict;
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
