//! Counts the votes of name servers on a value, and says why other answers do not count.
use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::Agreement;
use crate::diagnosis::Code;
use crate::{NetworkFault, Observation, ProbeFailure, Reply, ServerAnswer, Statement};

/// "Not Authoritative" (RFC 8914 §4.21): with a refusal it means that the server does not serve the zone.
const EDE_NOT_AUTHORITATIVE: u16 = 20;

/// An answer that counts: authoritative, not truncated, and with a statement about the name.
pub(super) struct CountedAnswer<'a> {
    pub statement: Statement,
    pub values: &'a [Vec<u8>],
    pub oversize: bool,
}

impl<'a> CountedAnswer<'a> {
    pub fn of(answer: &'a ServerAnswer) -> Option<Self> {
        match &answer.reply {
            Reply::Message { authoritative: true, truncated: false, values, oversize, statement, .. }
                if *statement != Statement::Nothing =>
            {
                Some(Self { statement: *statement, values, oversize: *oversize })
            }
            _ => None,
        }
    }

    pub fn shows(&self, expected: &[u8]) -> bool {
        self.values.iter().any(|value| value == expected)
    }
}

/// The votes on a value. Each name server has one vote, however many addresses it has: its operator chooses the number
/// of addresses, but only the parent zone chooses the number of name servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Name servers all of whose answering addresses show the value.
    pub showing: usize,
    /// Name servers of which an address answers.
    pub answering: usize,
    /// Name servers that the delegation lists, as far as the probe queries them.
    pub listed: usize,
    /// Name servers that are lame: none of their addresses answers, and at least one refuses to serve the zone.
    pub lame: usize,
    /// At least one address shows the value.
    pub shown: bool,
}

/// The vote of one name server, from the answers of all its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// Every address that answers shows the value.
    Shows,
    /// No address that answers shows it.
    Denies,
    /// Some addresses show it and others that answer do not.
    Contradicts,
    /// No address answers, and one says that it does not serve the zone.
    Lame,
    /// No address answers.
    Silent,
}

impl Vote {
    fn of(answer: &ServerAnswer, expected: &[u8]) -> Self {
        match CountedAnswer::of(answer) {
            Some(counted) if counted.shows(expected) => Self::Shows,
            Some(_) => Self::Denies,
            None if is_lame(answer) => Self::Lame,
            None => Self::Silent,
        }
    }

    /// The combined vote of two addresses of one name server.
    #[expect(
        clippy::match_same_arms,
        reason = "the order matters: a silent address says less than a refusal"
    )]
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Silent, other) | (other, Self::Silent) => other,
            (Self::Lame, other) | (other, Self::Lame) => other,
            _ => Self::Contradicts,
        }
    }
}

/// The vote of each name server, in canonical order of their names.
pub(super) fn votes_of<'a>(answers: &'a [ServerAnswer], expected: &[u8]) -> BTreeMap<&'a str, Vote> {
    let mut votes: BTreeMap<&str, Vote> = BTreeMap::new();
    for answer in answers {
        let vote = votes.entry(answer.server.as_str()).or_insert(Vote::Silent);
        *vote = vote.merge(Vote::of(answer, expected));
    }
    votes
}

impl Tally {
    pub fn of(answers: &[ServerAnswer], expected: &[u8]) -> Self {
        let votes = votes_of(answers, expected);
        let count = |of: &[Vote]| votes.values().filter(|vote| of.contains(vote)).count();
        Self {
            showing: count(&[Vote::Shows]),
            answering: count(&[Vote::Shows, Vote::Denies, Vote::Contradicts]),
            listed: votes.len(),
            lame: count(&[Vote::Lame]),
            shown: count(&[Vote::Shows, Vote::Contradicts]) > 0,
        }
    }

    /// Whether enough name servers show the value.
    pub fn suffices(self, agreement: Agreement) -> bool {
        self.showing > 0
            && match agreement {
                Agreement::Majority => self.showing * 2 > self.answering,
                Agreement::Strict => self.showing == self.answering,
            }
    }

    /// Whether this number of name servers is at least half of the listed ones.
    pub fn is_at_least_half(self, servers: usize) -> bool {
        servers * 2 >= self.listed
    }

    /// Why the votes do not suffice: lame servers, where their votes could have made the majority, or else
    /// disagreement.
    pub fn shortfall_code(self, agreement: Agreement) -> Code {
        let decisive = (self.showing + self.lame) * 2 > self.answering + self.lame;
        if agreement == Agreement::Majority && self.lame > 0 && decisive {
            Code::PartiallyLame
        } else {
            Code::InconsistentServers
        }
    }
}

/// The code of the failure that ended the probe, where one did.
pub(super) fn probe_failure_code(observation: &Observation) -> Option<Code> {
    Some(match observation.failure.as_ref()? {
        ProbeFailure::Internal(_) | ProbeFailure::Canary(_) => Code::Internal,
        ProbeFailure::NameRefused(_) => Code::NameRefused,
        ProbeFailure::AliasLoop | ProbeFailure::AliasTooLong => Code::CnameLoop,
        ProbeFailure::NotDelegated(_) => Code::NotDelegated,
        ProbeFailure::BudgetExhausted => Code::BudgetExhausted,
        ProbeFailure::NoAddress => Code::NsWithoutAddress,
        ProbeFailure::ParentRefused(rcode) => code_of_rcode(*rcode, None),
        ProbeFailure::NoDelegation(fault) => code_of_fault(*fault),
    })
}

fn code_of_fault(fault: NetworkFault) -> Code {
    match fault {
        NetworkFault::Internal => Code::Internal,
        NetworkFault::TruncatedNoTcp => Code::TruncatedNoTcp,
        NetworkFault::EdnsBroken => Code::EdnsBroken,
        NetworkFault::Malformed => Code::Servfail,
        NetworkFault::Timeout | NetworkFault::Unreachable => Code::Timeout,
    }
}

fn code_of_rcode(rcode: u16, ede: Option<u16>) -> Code {
    match (rcode, ede) {
        (5, Some(EDE_NOT_AUTHORITATIVE)) | (0 | 3 | 9, _) => Code::LameDelegation,
        (5, _) => Code::Refused,
        (1 | 4 | 16, _) => Code::EdnsBroken,
        _ => Code::Servfail,
    }
}

/// Why an answer does not count; none where it does.
pub(super) fn rejection_code(answer: &ServerAnswer) -> Option<Code> {
    if CountedAnswer::of(answer).is_some() {
        return None;
    }
    Some(match &answer.reply {
        Reply::Blocked => Code::BlockedAddress,
        // The lookup of the server's address failed, for any reason that lies in its own zone.
        Reply::Fault(fault) if answer.address.is_none() && *fault != NetworkFault::Internal => {
            Code::NsWithoutAddress
        }
        Reply::Fault(fault) => code_of_fault(*fault),
        Reply::Message { truncated: true, .. } => Code::TruncatedNoTcp,
        Reply::Message { rcode, ede, .. } => code_of_rcode(*rcode, *ede),
    })
}

/// Whether a server does not serve the zone: it refuses, or answers without authority.
pub(super) fn is_lame(answer: &ServerAnswer) -> bool {
    matches!(rejection_code(answer), Some(Code::LameDelegation | Code::Refused))
}

/// Codes by how specific they are, the most specific last; it wins a tie.
const TIE_BREAK_ORDER: [Code; 8] = [
    Code::BlockedAddress,
    Code::NsWithoutAddress,
    Code::Timeout,
    Code::TruncatedNoTcp,
    Code::EdnsBroken,
    Code::LameDelegation,
    Code::Refused,
    Code::Servfail,
];

/// The most frequent failure among servers none of which answered.
pub(super) fn dominant_failure(answers: &[ServerAnswer]) -> Code {
    let codes: Vec<Code> = answers.iter().filter_map(rejection_code).collect();
    let count = |code: Code| codes.iter().filter(|c| **c == code).count();
    let of_zone = |code: &Code| !matches!(code, Code::BlockedAddress | Code::NsWithoutAddress);
    // A failure on our side says nothing about the zone.
    if count(Code::Internal) > 0 {
        return Code::Internal;
    }
    // Servers that could not be queried count only when there are no others.
    let queried = codes.iter().any(of_zone);
    TIE_BREAK_ORDER
        .into_iter()
        .filter(|code| count(*code) > 0 && (!queried || of_zone(code)))
        .max_by_key(|code| count(*code))
        .unwrap_or(Code::Timeout)
}
