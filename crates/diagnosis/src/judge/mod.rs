//! Judges one observation against the expected record: exact values, majorities, never a single packet.
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
mod judgement;
mod notes;
mod outcome;
mod phrases;
mod tally;

use crate::diagnosis::Code;
use crate::escape::printable_name;
use crate::{ExpectedRecord, Observation, ProbeFailure, Statement};
use compare::ExpectedValue;
use judgement::{Cause, Judgement};
pub use notes::{Note, note_servers, notes};
pub use outcome::{Agreement, Context, EarlierValue, Outcome};
use phrases::Explainer;
pub use tally::Vote;
use tally::{CountedAnswer, dominant_failure, probe_failure_code, votes_of};

/// Judges an observation against the expected record, by majority and with no holding at stake.
pub fn judge<'a>(expected: impl Into<ExpectedRecord<'a>>, observation: &Observation) -> Outcome {
    judge_within(expected, &Context::default(), observation)
}

/// Judges an observation against the expected record.
pub fn judge_within<'a>(
    expected: impl Into<ExpectedRecord<'a>>,
    context: &Context,
    observation: &Observation,
) -> Outcome {
    let record = expected.into();
    let judgement = Judgement { record, context, observation, expected: ExpectedValue::of(record) };
    match judgement.outcome() {
        Ok(()) => Outcome::Proven,
        Err(cause) => Outcome::NotProven(Explainer::of(&judgement).diagnosis(&cause)),
    }
}

/// The vote of each name server on a record, by its name; in canonical order.
pub fn votes<'a>(expected: impl Into<ExpectedRecord<'a>>, observation: &Observation) -> Vec<(String, Vote)> {
    let votes = votes_of(&observation.servers, expected.into().value.as_bytes());
    votes.into_iter().map(|(server, vote)| (printable_name(server), vote)).collect()
}

impl Judgement<'_> {
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
