//! The kinds of mistakes in a value, the code of each, and which of them is nearest to the expected value.
use chrono::{DateTime, Utc};

use super::difference::Edit;
use super::notation::Notation;
use crate::diagnosis::Code;

/// In which way a value is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::judge) enum Flaw {
    /// Two records make the value: the rest of it is in this one.
    Split { rest: Vec<u8> },
    /// Quotation marks or backslashes are part of it: the first one.
    Quoted(char),
    /// White space or an invisible character, and its place, counted from 1.
    Space { what: char, place: usize },
    /// A space is missing, and where.
    SpaceMissing { place: usize },
    /// Capital letters.
    Case,
    /// The whole value so many times.
    Doubled { times: usize },
    /// The random part so many times behind one beginning.
    TokenDoubled { times: usize },
    /// Only the random part.
    OnlyToken,
    /// What stands before the random part, twice.
    PrefixTwice,
    /// The random part behind something else than it belongs to.
    OtherPrefix,
    /// The record's name was pasted into the value.
    NamePasted,
    /// The value of an earlier claim of this holder.
    Earlier(DateTime<Utc>),
    /// Only a piece of so many characters; whether it is the beginning.
    Truncated { kept: usize, beginning: bool },
    /// Characters are written as codes of a notation: the first code, and whether only those before the random part are.
    Encoded { notation: Notation, code: String, in_prefix: bool },
    /// The whole value, with something before it, behind it, or both.
    Surrounded { before: String, after: String },
    /// So many characters are wrong, missing or too many; which edit it is where it is one.
    Mistyped { edits: usize, edit: Option<Edit> },
    /// The right beginning with another random part; whether that is as long as it has to be.
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

    /// How near a value with this flaw is to the expected one, where several stand at a name: the kind of the flaw first,
    /// then how much of it there is. The least is the nearest.
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
            // A value that is left from before says less than one that was meant for this claim.
            Self::Earlier(_) => (11, 0),
            Self::OtherToken { as_long } => (12, usize::from(!*as_long)),
        }
    }
}
