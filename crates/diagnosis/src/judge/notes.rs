//! Notes: facts about a check that did not change its outcome and are worth knowing.
use std::collections::BTreeSet;

use super::outcome::Agreement;
use super::tally::{CountedAnswer, Tally, Vote, is_lame, votes_of};
use crate::escape::printable_name;
use crate::{AliasOrigin, ExpectedRecord, Observation, Reply, Security, ServerAnswer, Signatures};

/// A fact worth knowing that did not change the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// The value comes from a wildcard.
    WildcardAnswer,
    /// Some of the listed servers do not serve the zone.
    PartiallyLame,
    /// Some of the listed servers have no public address and are not queried.
    BlockedAddress,
    /// The name is an alias.
    Alias,
    /// DNSSEC validation was indeterminate; the confirmation did without it.
    NotValidated,
    /// Some servers of a signed zone have signatures that are not valid now.
    StaleSignatures,
    /// Some of the servers that answer do not show the value, although enough do.
    InconsistentServers,
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
            Self::StaleSignatures => "stale_signatures",
            Self::InconsistentServers => "inconsistent_servers",
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
            Self::StaleSignatures => {
                "some of the name servers have a copy of the signed zone whose signatures are not valid now"
            }
            Self::InconsistentServers => "some of the name servers have another version of the record",
        }
    }
}

/// The notes on a check, whatever its outcome.
pub fn notes<'a>(expected: impl Into<ExpectedRecord<'a>>, observation: &Observation) -> Vec<Note> {
    let expected = expected.into().value.as_bytes();
    let tally = Tally::of(&observation.servers, expected);
    let answering = tally.answering > 0;
    let security = observation.confirmation.validation.as_ref().map(|validation| validation.security);
    let from_wildcard = observation.findings.wildcard.iter().any(|value| value == expected)
        || observation.findings.alias_origin == AliasOrigin::Wildcard;
    let candidates = [
        (Note::WildcardAnswer, tally.shown && from_wildcard),
        (Note::PartiallyLame, answering && observation.servers.iter().any(is_lame)),
        (Note::BlockedAddress, answering && observation.servers.iter().any(|a| a.reply == Reply::Blocked)),
        (Note::Alias, !observation.aliases.is_empty()),
        (Note::NotValidated, security == Some(Security::Indeterminate)),
        (Note::StaleSignatures, security == Some(Security::Secure) && !stale_servers(observation).is_empty()),
        (Note::InconsistentServers, tally.suffices(Agreement::Majority) && tally.showing < tally.answering),
    ];
    candidates.into_iter().filter(|(_, holds)| *holds).map(|(note, _)| note).collect()
}

/// The name servers that a note is about, printable, in canonical order; none for notes about the record.
pub fn note_servers<'a>(
    note: Note,
    expected: impl Into<ExpectedRecord<'a>>,
    observation: &Observation,
) -> Vec<String> {
    let of = |is: &dyn Fn(&ServerAnswer) -> bool| -> Vec<String> {
        let names: BTreeSet<&str> = observation
            .servers
            .iter()
            .filter(|answer| is(answer))
            .map(|answer| answer.server.as_str())
            .collect();
        names.into_iter().map(printable_name).collect()
    };
    match note {
        Note::WildcardAnswer | Note::Alias | Note::NotValidated => vec![],
        Note::PartiallyLame => of(&is_lame),
        Note::BlockedAddress => of(&|answer| answer.reply == Reply::Blocked),
        Note::StaleSignatures => stale_servers(observation).into_iter().map(printable_name).collect(),
        Note::InconsistentServers => {
            let votes = votes_of(&observation.servers, expected.into().value.as_bytes());
            let differs = |vote: &Vote| matches!(vote, Vote::Denies | Vote::Contradicts);
            let names = votes.into_iter().filter(|(_, vote)| differs(vote)).map(|(name, _)| name);
            names.map(printable_name).collect()
        }
    }
}

/// The name servers whose copy of a signed zone has no signature that is valid now.
pub(crate) fn stale_servers(observation: &Observation) -> Vec<&str> {
    let is_stale = |answer: &&ServerAnswer| match &answer.reply {
        Reply::Message { signatures, .. } if CountedAnswer::of(answer).is_some() => {
            *signatures != Signatures::Current
        }
        _ => false,
    };
    let mut names: Vec<&str> =
        observation.servers.iter().filter(is_stale).map(|a| a.server.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
