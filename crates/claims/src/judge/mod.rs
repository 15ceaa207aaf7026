//! Turns an observation into a verdict on one challenge: exact values, majorities, never one packet.
//!
//! One observation gives one verdict and, where it is not proof, one cause. What comes first here wins:
//!
//! 1. The name is refused, the aliases do not end, or the trouble is ours alone.
//! 2. Servers that answer show the value. Enough of them, and the second look agrees: proof. Otherwise the cause is what
//!    kept them from it: broken signatures, a resolver that remembers older answers, places that do not see it, servers
//!    that contradict or do not serve the zone, a second look that failed.
//! 3. Nobody shows the value and something ended the look: that.
//! 4. Nobody answers: the prevailing reason.
//! 5. Servers answer that it is not there: broken signatures; the exact value at another place; a value at the name that is
//!    nearly right; a value at another place that is nearly right; any record at the doubled name; a DNAME; an alias; an
//!    unusually large set; a wildcard; other values, of which that of another claim is recognised; no value.
//!
//! An absence that may cost somebody a holding is sure only when a second look agrees; until then its cause is the doubt.
mod absence;
mod compare;
mod confirm;
mod explain;
mod notes;
mod tally;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::diagnosis::{Code, Diagnosis};
use crate::foreign::named;
use crate::{Challenge, Observation, ProbeFailure, Statement};
use compare::Wanted;
pub(crate) use compare::{character_name, marks_name};
use explain::Explainer;
pub use notes::{Note, note_servers, notes};
pub use tally::Vote;
use tally::{Tally, ended_by, said, silence, votes_of};

/// The verdict of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The record stands, seen by enough servers and confirmed.
    Proven,
    /// It was not proven, and why.
    NotProven(Diagnosis),
}

impl Outcome {
    /// The cause, where it was not proven.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Proven => None,
            Self::NotProven(diagnosis) => Some(diagnosis.code),
        }
    }

    /// Whether servers that know said that the record is not there.
    pub fn is_absence(&self) -> bool {
        self.code().is_some_and(Code::is_absence)
    }
}

/// How many of the servers that answer have to show the value.
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
    /// When it was handed out.
    pub issued_at: DateTime<Utc>,
}

/// What judging goes by besides the challenge and what was seen.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a rule of its own, and any of them may hold together"
)]
pub struct Context {
    /// How many servers have to agree.
    pub agreement: Agreement,
    /// Whether another holder has the name: then, in an unsigned zone, every name server that answers has to show the
    /// value, and at least half of those that are listed have to answer.
    pub held_by_another: bool,
    /// Whether the record is a holder's whom another claimant challenges: then it is gone only when at least half of the
    /// listed name servers say so, since whoever runs one of them may keep the others from answering.
    pub challenged: bool,
    /// Whether an alias that comes from a wildcard may prove the name.
    pub accept_wildcard: bool,
    /// Whether somebody could lose the name by an absence, so that one that nothing confirmed is none.
    pub at_stake: bool,
    /// Values of this holder's earlier claims on the name. Never another's: what is recognised here is told.
    pub earlier: Vec<EarlierValue>,
}

/// Judges what was seen against one challenge, by majority and with nothing at stake.
pub fn judge(challenge: &Challenge, seen: &Observation) -> Outcome {
    judge_within(challenge, &Context::default(), seen)
}

/// Judges what was seen against one challenge.
pub fn judge_within(challenge: &Challenge, context: &Context, seen: &Observation) -> Outcome {
    let case = Case { challenge, context, seen, wanted: Wanted::of(challenge) };
    match case.verdict() {
        Ok(()) => Outcome::Proven,
        Err(why) => Outcome::NotProven(Explainer::of(&case).diagnosis(&why)),
    }
}

/// How each name server votes on a challenge, by its name; in canonical order.
pub fn votes(challenge: &Challenge, seen: &Observation) -> Vec<(String, Vote)> {
    let votes = votes_of(&seen.servers, challenge.record_value.as_bytes());
    votes.into_iter().map(|(server, vote)| (named(server), vote)).collect()
}

/// A cause, with what is needed to put it into words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// The code says it all.
    Plain(Code),
    /// A value that is nearly right, where it stands, and in which way it is wrong.
    Near(Near),
    /// The value, or a record that only this claim's instructions can have led to, stands at another name.
    Elsewhere { code: Code, name: String, values: Vec<Vec<u8>> },
}

/// A value at the name that is nearly right.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Near {
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
            Self::Near(near) => near.flaw.code(),
        }
    }
}

/// One challenge and what was seen of it.
struct Case<'a> {
    challenge: &'a Challenge,
    context: &'a Context,
    seen: &'a Observation,
    wanted: Wanted<'a>,
}

impl Case<'_> {
    fn tally(&self, answers: &[crate::ServerAnswer]) -> Tally {
        Tally::of(answers, self.wanted.value)
    }

    fn verdict(&self) -> Result<(), Cause> {
        // What stands at the end of aliases that are not followed any more is not what stands at the name, and of a
        // name that is not to be asked for nothing counts.
        if let Some(code) = barred(self.seen) {
            // A denial needs somebody who knows and says so.
            let denied =
                || self.seen.servers.iter().filter_map(said).any(|s| s.statement == Statement::NoName);
            if code.is_absence() && !denied() {
                return Err(silence(&self.seen.servers).into());
            }
            return self.unless_unsure(code.into());
        }
        let first = self.tally(&self.seen.servers);
        if first.shown {
            return self.confirmed(&first);
        }
        if let Some(code) = ended_by(self.seen) {
            return Err(code.into());
        }
        if first.answering == 0 {
            return Err(silence(&self.seen.servers).into());
        }
        self.unless_unsure(self.absence())
    }

    /// An absence, unless the second look says otherwise or there has to be one and there is none.
    fn unless_unsure(&self, cause: Cause) -> Result<(), Cause> {
        match self.doubt(cause.code()) {
            Some(doubt) => Err(doubt.into()),
            None => Err(cause),
        }
    }
}

/// What ended a look so that no answer counts.
fn barred(seen: &Observation) -> Option<Code> {
    match seen.failure.as_ref()? {
        ProbeFailure::NameRefused(_)
        | ProbeFailure::AliasLoop
        | ProbeFailure::AliasTooLong
        | ProbeFailure::NotDelegated(_)
        | ProbeFailure::Canary(_) => ended_by(seen),
        _ => None,
    }
}
