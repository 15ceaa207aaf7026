//! What is said of a check besides its verdict: things that were accepted, and should be known.
use std::collections::BTreeSet;

use super::Agreement;
use super::tally::{Tally, Vote, is_lame, said, votes_of};
use crate::foreign::named;
use crate::{AliasOrigin, Challenge, Observation, Reply, Security, ServerAnswer, Signatures};

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
    /// Some servers of a signed zone have signatures that are out of date.
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

/// What should be known of a check whatever its verdict is.
pub fn notes(challenge: &Challenge, seen: &Observation) -> Vec<Note> {
    let wanted = challenge.record_value.as_bytes();
    let tally = Tally::of(&seen.servers, wanted);
    let answering = tally.answering > 0;
    let security = seen.confirmation.validation.as_ref().map(|validation| validation.security);
    let from_wildcard = seen.findings.wildcard.iter().any(|value| value == wanted)
        || seen.findings.alias_origin == AliasOrigin::Wildcard;
    let candidates = [
        (Note::WildcardAnswer, tally.shown && from_wildcard),
        (Note::PartiallyLame, answering && seen.servers.iter().any(is_lame)),
        (Note::BlockedAddress, answering && seen.servers.iter().any(|a| a.reply == crate::Reply::Blocked)),
        (Note::Alias, !seen.aliases.is_empty()),
        (Note::NotValidated, security == Some(Security::Indeterminate)),
        (Note::StaleSignatures, security == Some(Security::Secure) && !stale_servers(seen).is_empty()),
        (Note::InconsistentServers, tally.suffices(Agreement::Majority) && tally.showing < tally.answering),
    ];
    candidates.into_iter().filter(|(_, holds)| *holds).map(|(note, _)| note).collect()
}

/// The name servers that a note is about, printable, in canonical order; none for notes about the record.
pub fn note_servers(note: Note, challenge: &Challenge, seen: &Observation) -> Vec<String> {
    let of = |is: &dyn Fn(&ServerAnswer) -> bool| -> Vec<String> {
        let names: BTreeSet<&str> =
            seen.servers.iter().filter(|answer| is(answer)).map(|answer| answer.server.as_str()).collect();
        names.into_iter().map(named).collect()
    };
    match note {
        Note::WildcardAnswer | Note::Alias | Note::NotValidated => vec![],
        Note::PartiallyLame => of(&is_lame),
        Note::BlockedAddress => of(&|answer| answer.reply == Reply::Blocked),
        Note::StaleSignatures => stale_servers(seen).into_iter().map(named).collect(),
        Note::InconsistentServers => {
            let votes = votes_of(&seen.servers, challenge.record_value.as_bytes());
            let differs = |vote: &Vote| matches!(vote, Vote::Denies | Vote::Contradicts);
            let names = votes.into_iter().filter(|(_, vote)| differs(vote)).map(|(name, _)| name);
            names.map(named).collect()
        }
    }
}

/// The name servers whose copy of a signed zone has no signature that is valid now.
pub(crate) fn stale_servers(seen: &Observation) -> Vec<&str> {
    let is_stale = |answer: &&ServerAnswer| match &answer.reply {
        Reply::Message { signatures, .. } if said(answer).is_some() => *signatures != Signatures::Current,
        _ => false,
    };
    let mut names: Vec<&str> = seen.servers.iter().filter(is_stale).map(|a| a.server.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
