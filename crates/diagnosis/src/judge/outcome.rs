//! Outcomes, and what an outcome depends on besides the observation.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::diagnosis::{Code, Diagnosis};

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Enough servers show the record, and it is confirmed.
    Proven,
    /// Not proven, with the cause.
    NotProven(Diagnosis),
}

impl Outcome {
    /// The cause, where the record is not proven.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Proven => None,
            Self::NotProven(diagnosis) => Some(diagnosis.code),
        }
    }

    /// Whether authoritative servers say that the record does not exist.
    pub fn is_absence(&self) -> bool {
        self.code().is_some_and(Code::is_absence)
    }
}

/// How many of the name servers that answer have to show the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// More than half.
    #[default]
    Majority,
    /// All.
    Strict,
}

/// The value of an earlier claim of the same holder on the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlierValue {
    /// The whole value.
    pub value: Arc<str>,
    /// When its challenge was issued.
    pub issued_at: DateTime<Utc>,
}

/// What an outcome depends on besides the expected record and the observation.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the rules are independent of each other, and any combination is possible"
)]
pub struct Context {
    /// How many servers have to agree.
    pub agreement: Agreement,
    /// Whether another holder has the name: then, in an unsigned zone, every name server that answers has to show the
    /// value, and at least half of the listed name servers have to answer.
    pub held_by_another: bool,
    /// Whether the record belongs to a holder whom another claimant challenges: then it is absent only when at least
    /// half of the listed name servers say so, since the operator of one may keep the others from answering.
    pub challenged: bool,
    /// Whether an alias that comes from a wildcard may prove the name.
    pub accept_wildcard: bool,
    /// Whether an absence could cost a holding, so that an unconfirmed one does not count.
    pub at_stake: bool,
    /// Values of this holder's earlier claims on the name. Never those of another holder: the message names a match.
    pub earlier: Vec<EarlierValue>,
}
