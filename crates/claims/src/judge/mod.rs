//! Judges one observation against one challenge: exact values, majorities, never a single packet.
//!
//! One observation has one outcome and, where that is not proof, one cause. The first rule that applies decides:
//!
//! 1. The name is refused, the aliases do not end, or the failure is Deed's own.
//! 2. Servers show the value. Proof, if enough of them do and the confirmation agrees. Otherwise the cause is what
//!    prevents it: broken signatures, a resolver with an older answer in its cache, vantage points that do not see the
//!    value, servers that contradict or do not serve the zone, a confirmation that failed.
//! 3. No server shows the value, and a failure ended the probe: that failure.
//! 4. No server answers: the dominant failure.
//! 5. Servers deny the value: broken signatures; the exact value at another place; a near match at the name; a near
//!    match at another place; any record at the doubled name; a DNAME; an alias; an unusually large set; a wildcard;
//!    other values, among which that of another claim is recognised; no value.
//!
//! An absence that may cost a holding counts only when a confirmation agrees; until then its cause is the doubt.
mod absence;
mod compare;
mod confirm;
mod confirm_absence;
mod notes;
mod phrases;
mod tally;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::diagnosis::{Code, Diagnosis};
use crate::escape::printable_name;
use crate::{Challenge, Observation, ProbeFailure, Statement};
use compare::ExpectedValue;
pub(crate) use compare::{character_name, quotes_name};
pub use notes::{Note, note_servers, notes};
use phrases::Explainer;
pub use tally::Vote;
use tally::{CountedAnswer, Tally, dominant_failure, probe_failure_code, votes_of};

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

/// What an outcome depends on besides the challenge and the observation.
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

/// Judges an observation against one challenge, by majority and with no holding at stake.
pub fn judge(challenge: &Challenge, observation: &Observation) -> Outcome {
    judge_within(challenge, &Context::default(), observation)
}

/// Judges an observation against one challenge.
pub fn judge_within(challenge: &Challenge, context: &Context, observation: &Observation) -> Outcome {
    let judgement = Judgement { challenge, context, observation, expected: ExpectedValue::of(challenge) };
    match judgement.outcome() {
        Ok(()) => Outcome::Proven,
        Err(cause) => Outcome::NotProven(Explainer::of(&judgement).diagnosis(&cause)),
    }
}

/// The vote of each name server on a challenge, by its name; in canonical order.
pub fn votes(challenge: &Challenge, observation: &Observation) -> Vec<(String, Vote)> {
    let votes = votes_of(&observation.servers, challenge.record_value.as_bytes());
    votes.into_iter().map(|(server, vote)| (printable_name(server), vote)).collect()
}

/// A cause, with the details that its message needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// The code needs no details.
    Plain(Code),
    /// A value at the name that is nearly the expected one.
    NearMatch(NearMatch),
    /// The value, or a record that can only result from this claim's instructions, is at another name.
    Elsewhere { code: Code, name: String, values: Vec<Vec<u8>> },
}

/// A value at the name that is nearly the expected one, and its flaw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NearMatch {
    value: Vec<u8>,
    flaw: compare::Flaw,
}

impl From<Code> for Cause {
    fn from(code: Code) -> Self {
        Self::Plain(code)
    }
}

impl Cause {
    fn code(&self) -> Code {
        match self {
            Self::Plain(code) | Self::Elsewhere { code, .. } => *code,
            Self::NearMatch(near) => near.flaw.code(),
        }
    }
}

/// One observation on the way to its outcome.
struct Judgement<'a> {
    challenge: &'a Challenge,
    context: &'a Context,
    observation: &'a Observation,
    expected: ExpectedValue<'a>,
}

impl Judgement<'_> {
    fn tally(&self, answers: &[crate::ServerAnswer]) -> Tally {
        Tally::of(answers, self.expected.value)
    }

    fn outcome(&self) -> Result<(), Cause> {
        let servers = &self.observation.servers;
        if let Some(code) = disqualifying_failure(self.observation) {
            // NXDOMAIN counts only from a server with authority.
            let mut counted = servers.iter().filter_map(CountedAnswer::of);
            if code.is_absence() && !counted.any(|answer| answer.statement == Statement::NoName) {
                return Err(dominant_failure(servers).into());
            }
            return self.confirm_absence(code.into());
        }
        let first = self.tally(servers);
        if first.shown {
            return self.confirm_match(&first);
        }
        if let Some(code) = probe_failure_code(self.observation) {
            return Err(code.into());
        }
        if first.answering == 0 {
            return Err(dominant_failure(servers).into());
        }
        self.confirm_absence(self.absence_cause())
    }
}

/// A failure of the probe after which no answer counts: the servers at the end of aliases that are not followed further
/// say nothing about the name, and of a refused name no record counts.
fn disqualifying_failure(observation: &Observation) -> Option<Code> {
    match observation.failure.as_ref()? {
        ProbeFailure::NameRefused(_)
        | ProbeFailure::AliasLoop
        | ProbeFailure::AliasTooLong
        | ProbeFailure::NotDelegated(_)
        | ProbeFailure::Canary(_) => probe_failure_code(observation),
        _ => None,
    }
}
