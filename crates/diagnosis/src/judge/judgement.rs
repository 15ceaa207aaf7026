//! One observation on the way to its outcome, and the causes that can stand there.
use super::compare::{ExpectedValue, Flaw};
use super::outcome::Context;
use super::tally::Tally;
use crate::diagnosis::Code;
use crate::{ExpectedRecord, Observation, ServerAnswer};

/// A cause, with the details that its message needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The code needs no details.
    Plain(Code),
    /// A value at the name that is nearly the expected one.
    NearMatch(NearMatch),
    /// The value, or a record that can only result from this claim's instructions, is at another name.
    Elsewhere { code: Code, name: String, values: Vec<Vec<u8>> },
}

/// A value at the name that is nearly the expected one, and its flaw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NearMatch {
    pub value: Vec<u8>,
    pub flaw: Flaw,
}

impl From<Code> for Cause {
    fn from(code: Code) -> Self {
        Self::Plain(code)
    }
}

impl Cause {
    pub fn code(&self) -> Code {
        match self {
            Self::Plain(code) | Self::Elsewhere { code, .. } => *code,
            Self::NearMatch(near) => near.flaw.code(),
        }
    }
}

/// One observation on the way to its outcome.
pub(super) struct Judgement<'a> {
    pub record: ExpectedRecord<'a>,
    pub context: &'a Context,
    pub observation: &'a Observation,
    pub expected: ExpectedValue<'a>,
}

impl Judgement<'_> {
    /// What these answers say about the expected value.
    pub fn tally(&self, answers: &[ServerAnswer]) -> Tally {
        Tally::of(answers, self.expected.value)
    }
}
