//! What is said of a check besides its verdict: things that were accepted, and should be known.
use super::tally::{is_lame, said};
use crate::{Challenge, Observation};

/// Something worth knowing that decided nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// The value comes from a wildcard.
    WildcardAnswer,
    /// Some of the listed servers do not serve the zone.
    PartiallyLame,
    /// Some of the listed servers may not be asked: their addresses are not public.
    BlockedAddress,
    /// The name is an alias.
    Alias,
    /// DNSSEC could not be judged; the second look was made without it.
    NotValidated,
}

impl Note {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WildcardAnswer => "wildcard_answer",
            Self::PartiallyLame => "partially_lame",
            Self::BlockedAddress => "blocked_address",
            Self::Alias => "alias",
            Self::NotValidated => "not_validated",
        }
    }

    /// A sentence for people.
    pub const fn about(self) -> &'static str {
        match self {
            Self::WildcardAnswer => {
                "the value comes from a wildcard record; no record exists at the exact name"
            }
            Self::PartiallyLame => "some of the listed name servers do not serve the zone",
            Self::BlockedAddress => "some of the listed name servers have addresses that are not asked",
            Self::Alias => "the name is an alias; what counts is the record at its target",
            Self::NotValidated => "nobody could tell whether the zone is signed",
        }
    }
}

/// What should be known of a check whatever its verdict is.
pub fn notes(challenge: &Challenge, seen: &Observation) -> Vec<Note> {
    let wanted = challenge.record_value.as_bytes();
    let answering = seen.servers.iter().any(|answer| said(answer).is_some());
    let matching = seen.servers.iter().filter_map(said).any(|s| s.shows(wanted));
    let validation = seen.confirmation.validation.as_ref();
    let candidates = [
        (Note::WildcardAnswer, matching && seen.findings.wildcard.iter().any(|value| value == wanted)),
        (Note::PartiallyLame, answering && seen.servers.iter().any(is_lame)),
        (Note::BlockedAddress, answering && seen.servers.iter().any(|a| a.reply == crate::Reply::Blocked)),
        (Note::Alias, !seen.aliases.is_empty()),
        (Note::NotValidated, validation.is_some_and(|v| v.security == crate::Security::Indeterminate)),
    ];
    candidates.into_iter().filter(|(_, holds)| *holds).map(|(note, _)| note).collect()
}
