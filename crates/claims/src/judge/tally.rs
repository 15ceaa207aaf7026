//! Which answers count, what they amount to, and why the others do not count.
use std::collections::BTreeMap;

use serde::Serialize;

use super::Agreement;
use crate::diagnosis::Code;
use crate::{NetworkFault, Observation, ProbeFailure, Reply, ServerAnswer, Statement};

/// "Not Authoritative" (RFC 8914 §4.21): says of a refusal that the server does not serve the zone.
const EDE_NOT_AUTHORITATIVE: u16 = 20;

/// An answer that counts: authoritative, whole, and a statement about the name.
pub(super) struct Said<'a> {
    pub statement: Statement,
    pub values: &'a [Vec<u8>],
    pub oversize: bool,
}

impl Said<'_> {
    pub fn shows(&self, wanted: &[u8]) -> bool {
        self.values.iter().any(|value| value == wanted)
    }
}

pub(super) fn said(answer: &ServerAnswer) -> Option<Said<'_>> {
    match &answer.reply {
        Reply::Message { authoritative: true, truncated: false, values, oversize, statement, .. }
            if *statement != Statement::Nothing =>
        {
            Some(Said { statement: *statement, values, oversize: *oversize })
        }
        _ => None,
    }
}

/// The votes on a value. Each name server has one vote, however many addresses it has: whoever runs a name server
/// chooses how many addresses it has, and the parent zone alone chooses how many name servers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Name servers all of whose answering addresses show the value.
    pub showing: usize,
    /// Name servers of which an address answers.
    pub answering: usize,
    /// Name servers that the zone is delegated to, as far as they were to be asked.
    pub listed: usize,
    /// Name servers that do not serve the zone they are listed for: none of their addresses answers, and one says so.
    pub lame: usize,
    /// At least one address shows the value.
    pub shown: bool,
}

/// What the addresses of one name server say together.
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
    fn of(answer: &ServerAnswer, wanted: &[u8]) -> Self {
        match said(answer) {
            Some(said) if said.shows(wanted) => Self::Shows,
            Some(_) => Self::Denies,
            None if is_lame(answer) => Self::Lame,
            None => Self::Silent,
        }
    }

    /// The vote of two addresses of one name server.
    #[expect(
        clippy::match_same_arms,
        reason = "the order decides: silence says less than a refusal to serve"
    )]
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Silent, other) | (other, Self::Silent) => other,
            (Self::Lame, other) | (other, Self::Lame) => other,
            _ => Self::Contradicts,
        }
    }
}

/// The vote of each name server, in canonical order of their names.
pub(super) fn votes_of<'a>(answers: &'a [ServerAnswer], wanted: &[u8]) -> BTreeMap<&'a str, Vote> {
    let mut votes: BTreeMap<&str, Vote> = BTreeMap::new();
    for answer in answers {
        let vote = votes.entry(answer.server.as_str()).or_insert(Vote::Silent);
        *vote = vote.with(Vote::of(answer, wanted));
    }
    votes
}

impl Tally {
    pub fn of(answers: &[ServerAnswer], wanted: &[u8]) -> Self {
        let votes = votes_of(answers, wanted);
        let count = |of: &[Vote]| votes.values().filter(|vote| of.contains(vote)).count();
        Self {
            showing: count(&[Vote::Shows]),
            answering: count(&[Vote::Shows, Vote::Denies, Vote::Contradicts]),
            listed: votes.len(),
            lame: count(&[Vote::Lame]),
            shown: count(&[Vote::Shows, Vote::Contradicts]) > 0,
        }
    }

    pub fn suffices(self, agreement: Agreement) -> bool {
        self.showing > 0
            && match agreement {
                Agreement::Majority => self.showing * 2 > self.answering,
                Agreement::Strict => self.showing == self.answering,
            }
    }

    /// Whether so many of the listed name servers are at least half.
    pub fn is_half(self, servers: usize) -> bool {
        servers * 2 >= self.listed
    }

    /// Why the servers do not suffice: those that do not serve the zone, where they could have tipped the scales.
    pub fn lacks(self, agreement: Agreement) -> Code {
        let tipped = (self.showing + self.lame) * 2 > self.answering + self.lame;
        if agreement == Agreement::Majority && self.lame > 0 && tipped {
            Code::PartiallyLame
        } else {
            Code::InconsistentServers
        }
    }
}

/// What ended the look, where something did.
pub(super) fn ended_by(seen: &Observation) -> Option<Code> {
    Some(match seen.failure.as_ref()? {
        ProbeFailure::Internal(_) | ProbeFailure::Canary(_) => Code::Internal,
        ProbeFailure::NameRefused(_) => Code::NameRefused,
        ProbeFailure::AliasLoop | ProbeFailure::AliasTooLong => Code::CnameLoop,
        ProbeFailure::NotDelegated(_) => Code::NotDelegated,
        ProbeFailure::BudgetExhausted => Code::BudgetExhausted,
        ProbeFailure::NoAddress => Code::NsWithoutAddress,
        ProbeFailure::ParentRefused(rcode) => of_rcode(*rcode, None),
        ProbeFailure::NoDelegation(fault) => of_fault(*fault),
    })
}

fn of_fault(fault: NetworkFault) -> Code {
    match fault {
        NetworkFault::Internal => Code::Internal,
        NetworkFault::TruncatedNoTcp => Code::TruncatedNoTcp,
        NetworkFault::EdnsBroken => Code::EdnsBroken,
        NetworkFault::Malformed => Code::Servfail,
        NetworkFault::Timeout | NetworkFault::Unreachable => Code::Timeout,
    }
}

fn of_rcode(rcode: u16, ede: Option<u16>) -> Code {
    match (rcode, ede) {
        (5, Some(EDE_NOT_AUTHORITATIVE)) | (0 | 3 | 9, _) => Code::LameDelegation,
        (5, _) => Code::Refused,
        (1 | 4 | 16, _) => Code::EdnsBroken,
        _ => Code::Servfail,
    }
}

/// Why an answer does not count; none when it does.
pub(super) fn unfit(answer: &ServerAnswer) -> Option<Code> {
    if said(answer).is_some() {
        return None;
    }
    Some(match &answer.reply {
        Reply::Blocked => Code::BlockedAddress,
        // Nobody found its address, for whatever reason of the zone that its name lies in.
        Reply::Fault(fault) if answer.address.is_none() && *fault != NetworkFault::Internal => {
            Code::NsWithoutAddress
        }
        Reply::Fault(fault) => of_fault(*fault),
        Reply::Message { truncated: true, .. } => Code::TruncatedNoTcp,
        Reply::Message { rcode, ede, .. } => of_rcode(*rcode, *ede),
    })
}

/// Whether a server says, in one way or another, that it does not serve the zone.
pub(super) fn is_lame(answer: &ServerAnswer) -> bool {
    matches!(unfit(answer), Some(Code::LameDelegation | Code::Refused))
}

/// Ties are broken in favour of what says most.
const TELLING: [Code; 8] = [
    Code::BlockedAddress,
    Code::NsWithoutAddress,
    Code::Timeout,
    Code::TruncatedNoTcp,
    Code::EdnsBroken,
    Code::LameDelegation,
    Code::Refused,
    Code::Servfail,
];

/// The prevailing cause among servers none of which answered.
pub(super) fn silence(answers: &[ServerAnswer]) -> Code {
    let codes: Vec<Code> = answers.iter().filter_map(unfit).collect();
    let count = |code: Code| codes.iter().filter(|c| **c == code).count();
    let of_zone = |code: &Code| !matches!(code, Code::BlockedAddress | Code::NsWithoutAddress);
    // Silence says something of the zone only where we are well ourselves.
    if count(Code::Internal) > 0 {
        return Code::Internal;
    }
    // Servers that cannot be asked speak only when there are no others.
    let asked = codes.iter().any(of_zone);
    TELLING
        .into_iter()
        .filter(|code| count(*code) > 0 && (!asked || of_zone(code)))
        .max_by_key(|code| count(*code))
        .unwrap_or(Code::Timeout)
}
