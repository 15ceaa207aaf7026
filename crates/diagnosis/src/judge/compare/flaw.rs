//! The flaws a value can have, the code of each, and how near it is to the expected value.
use chrono::{DateTime, Utc};

use super::difference::Edit;
use super::notation::Notation;
use crate::diagnosis::Code;

/// The difference between a value and the expected one, as a kind of mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Two records together are the value: this is the second part.
    Split { rest: Vec<u8> },
    /// The value contains quotation marks or backslashes: the first one.
    Quoted(char),
    /// The value contains white space or an invisible character, at this place, counted from 1.
    Space { what: char, place: usize },
    /// A space is missing at this place, counted from 1.
    SpaceMissing { place: usize },
    /// Only upper and lower case differ.
    Case,
    /// The whole value, repeated.
    Doubled { times: usize },
    /// One prefix with the token repeated.
    TokenDoubled { times: usize },
    /// Only the token, without the prefix.
    OnlyToken,
    /// The prefix more than once.
    PrefixTwice,
    /// The token behind another prefix.
    OtherPrefix,
    /// The record's name before the value.
    NamePasted,
    /// The value of an earlier claim of this holder.
    Earlier(DateTime<Utc>),
    /// Only a piece of the value: its length, and whether it is the beginning.
    Truncated { kept: usize, beginning: bool },
    /// Characters are written in a notation: the first escape code, and whether only the prefix is affected.
    Encoded { notation: Notation, code: String, in_prefix: bool },
    /// The whole value with other text before it, behind it, or both.
    Surrounded { before: String, after: String },
    /// Characters are wrong, missing or inserted: their number, and the kind where it is a single edit.
    Mistyped { edits: usize, edit: Option<Edit> },
    /// The right prefix with another token, and whether that has the right length.
    OtherToken { as_long: bool },
}

impl Flaw {
    pub const fn code(&self) -> Code {
        match self {
            Self::Split { .. } => Code::SplitOverRecords,
            Self::Quoted(_) => Code::ValueQuoted,
            Self::Space { .. } | Self::SpaceMissing { .. } => Code::ValueWhitespace,
            Self::Case => Code::ValueCase,
            Self::Doubled { .. } | Self::TokenDoubled { .. } => Code::ValueDoubled,
            Self::OnlyToken
            | Self::PrefixTwice
            | Self::OtherPrefix
            | Self::NamePasted
            | Self::Encoded { in_prefix: true, .. } => Code::ValuePrefixMissing,
            Self::Earlier(_) => Code::ValueOfEarlierClaim,
            Self::Truncated { .. } => Code::ValueTruncated,
            Self::Encoded { .. }
            | Self::Surrounded { .. }
            | Self::Mistyped { .. }
            | Self::OtherToken { .. } => Code::WrongValue,
        }
    }

    /// How near a value with this flaw is to the expected one: by the kind of the flaw, then by its extent. The
    /// smallest is the nearest.
    pub fn nearness(&self, length: usize) -> (u8, usize) {
        match self {
            Self::Split { .. } => (0, 0),
            Self::Quoted(_) => (1, 0),
            Self::Space { .. } | Self::SpaceMissing { .. } => (2, 0),
            Self::Case => (3, 0),
            Self::Doubled { times } | Self::TokenDoubled { times } => (4, *times),
            Self::NamePasted | Self::PrefixTwice => (5, 0),
            Self::OnlyToken | Self::OtherPrefix => (6, 0),
            Self::Encoded { .. } => (7, 0),
            Self::Truncated { kept, .. } => (8, length.saturating_sub(*kept)),
            Self::Surrounded { before, after } => (9, before.chars().count() + after.chars().count()),
            Self::Mistyped { edits, .. } => (10, *edits),
            // A leftover value says less than one that was meant for this claim.
            Self::Earlier(_) => (11, 0),
            Self::OtherToken { as_long } => (12, usize::from(!*as_long)),
        }
    }
}
