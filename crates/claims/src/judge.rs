//! Turns an observation into a verdict on one challenge: exact values, majorities, never one packet.
use crate::diagnosis::{Code, Diagnosis};
use crate::evidence::{printable, rcode_name};
use crate::{Challenge, NetworkFault, Observation, ProbeFailure, Reply, Security, ServerAnswer};

/// The verdict of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The record stands, seen by a majority and confirmed.
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

/// An answer that counts: authoritative, whole, and NOERROR or NXDOMAIN.
struct Said<'a> {
    rcode: u16,
    values: &'a [Vec<u8>],
    oversize: bool,
}

fn said(answer: &ServerAnswer) -> Option<Said<'_>> {
    match &answer.reply {
        Reply::Message { rcode, authoritative: true, truncated: false, values, oversize, soa, .. }
            if matches!(rcode, 0 | 3) && (!values.is_empty() || soa.is_some() || *oversize) =>
        {
            Some(Said { rcode: *rcode, values, oversize: *oversize })
        }
        _ => None,
    }
}

fn majority(answers: &[ServerAnswer], wanted: &[u8]) -> (usize, usize) {
    let counted: Vec<_> = answers.iter().filter_map(said).collect();
    let matching = counted.iter().filter(|s| s.values.iter().any(|v| v == wanted)).count();
    (matching, counted.len())
}

/// Judges what was seen against one challenge.
pub fn judge(challenge: &Challenge, seen: &Observation) -> Outcome {
    let wanted = challenge.record_value.as_bytes();
    let (matching, answering) = majority(&seen.servers, wanted);
    let talk = Words { challenge, seen };
    // What stands at the end of aliases that are not followed any more is not what stands at the name.
    if let Some(Code::CnameLoop) = ended_by(seen) {
        return talk.says(Code::CnameLoop);
    }
    if matching * 2 > answering {
        return confirmed(&talk, wanted);
    }
    if matching > 0 {
        return talk.says(Code::InconsistentServers);
    }
    talk.says(twice_absent(cause(seen, answering), seen, wanted))
}

/// An absence that was looked at twice counts when both looks agree.
fn twice_absent(first: Code, seen: &Observation, wanted: &[u8]) -> Code {
    let Some(again) = &seen.confirmation.repeated else { return first };
    match majority(again, wanted) {
        (1.., _) => Code::InconsistentServers,
        (0, 0) if first.is_absence() => unanswered(again),
        _ => first,
    }
}

fn confirmed(talk: &Words<'_>, wanted: &[u8]) -> Outcome {
    let confirmation = &talk.seen.confirmation;
    match confirmation.validation.as_ref().map(|validation| validation.security) {
        Some(Security::Secure) => return Outcome::Proven,
        Some(Security::Bogus) => return talk.says(Code::DnssecBogus),
        _ => {}
    }
    let Some(again) = &confirmation.repeated else { return talk.says(Code::InconsistentServers) };
    match majority(again, wanted) {
        (_, 0) => talk.says(ended_by(talk.seen).unwrap_or_else(|| unanswered(again))),
        (matching, answering) if matching * 2 > answering => Outcome::Proven,
        _ => talk.says(Code::InconsistentServers),
    }
}

/// What ended the look, where something did.
fn ended_by(seen: &Observation) -> Option<Code> {
    Some(match seen.failure.as_ref()? {
        ProbeFailure::Internal(_) | ProbeFailure::Canary(_) => Code::Internal,
        ProbeFailure::NameRefused(_) => Code::NameRefused,
        ProbeFailure::AliasLoop | ProbeFailure::AliasTooLong => Code::CnameLoop,
        ProbeFailure::BudgetExhausted => Code::BudgetExhausted,
        ProbeFailure::NoAddress => Code::NsWithoutAddress,
        ProbeFailure::ParentRefused(5) => Code::Refused,
        ProbeFailure::NotDelegated(_) => Code::RecordNotFound,
        ProbeFailure::ParentRefused(0 | 3) => Code::LameDelegation,
        ProbeFailure::ParentRefused(_) => Code::Servfail,
        ProbeFailure::NoDelegation(fault) => of_fault(*fault),
    })
}

/// The one cause when no server showed the value.
fn cause(seen: &Observation, answering: usize) -> Code {
    if let Some(code) = ended_by(seen) {
        return code;
    }
    if answering == 0 {
        return silence(&seen.servers).unwrap_or(Code::Timeout);
    }
    let counted: Vec<_> = seen.servers.iter().filter_map(said).collect();
    if counted.iter().any(|s| s.oversize) {
        Code::OversizeAnswer
    } else if counted.iter().any(|s| !s.values.is_empty()) {
        Code::WrongValue
    } else if counted.iter().all(|s| s.rcode == 3) {
        if seen.aliases.is_empty() { Code::RecordNotFound } else { Code::CnameDangling }
    } else {
        Code::NoTxtAtName
    }
}

fn of_fault(fault: NetworkFault) -> Code {
    match fault {
        NetworkFault::Internal => Code::Internal,
        NetworkFault::TruncatedNoTcp => Code::TruncatedNoTcp,
        NetworkFault::Malformed | NetworkFault::EdnsBroken => Code::Servfail,
        NetworkFault::Timeout | NetworkFault::Unreachable => Code::Timeout,
    }
}

/// The prevailing cause among servers none of which answered; a blocked address speaks only when all are blocked.
fn silence(answers: &[ServerAnswer]) -> Option<Code> {
    let codes: Vec<Code> = answers
        .iter()
        .filter_map(|answer| match &answer.reply {
            Reply::Blocked => None,
            Reply::Fault(fault) => Some(of_fault(*fault)),
            Reply::Message { truncated: true, .. } => Some(Code::TruncatedNoTcp),
            Reply::Message { rcode: 5, .. } => Some(Code::Refused),
            Reply::Message { rcode: 0 | 3, .. } => Some(Code::LameDelegation),
            Reply::Message { .. } => Some(Code::Servfail),
        })
        .collect();
    if codes.is_empty() {
        return (!answers.is_empty()).then_some(Code::BlockedAddress);
    }
    // Servers that do not answer say something of the zone only where we are well ourselves.
    let order = [
        Code::Servfail,
        Code::Refused,
        Code::LameDelegation,
        Code::TruncatedNoTcp,
        Code::Timeout,
        Code::Internal,
    ];
    order.into_iter().max_by_key(|code| (codes.iter().filter(|c| *c == code).count(), rank(*code)))
}

/// Why a second look got no answer: our own trouble, where there was any, before the servers'.
fn unanswered(again: &[ServerAnswer]) -> Code {
    let ours = again.iter().any(|answer| answer.reply == Reply::Fault(NetworkFault::Internal));
    if ours { Code::Internal } else { silence(again).unwrap_or(Code::Timeout) }
}

/// Breaks ties in favour of what says most.
fn rank(code: Code) -> u8 {
    match code {
        Code::Servfail => 5,
        Code::Refused => 4,
        Code::LameDelegation => 3,
        Code::TruncatedNoTcp => 2,
        Code::Timeout => 1,
        _ => 0,
    }
}

/// Puts causes into words about one record.
struct Words<'a> {
    challenge: &'a Challenge,
    seen: &'a Observation,
}

impl Words<'_> {
    fn says(&self, code: Code) -> Outcome {
        Outcome::NotProven(self.diagnosis(code))
    }

    fn diagnosis(&self, code: Code) -> Diagnosis {
        let (message, fix) = self.sentences(code);
        let observed = if matches!(code, Code::WrongValue | Code::OversizeAnswer | Code::InconsistentServers)
        {
            self.observed()
        } else {
            vec![]
        };
        Diagnosis { code, class: code.class(), message, fix, observed }
    }

    /// Whether the first look found the record.
    fn is_seen_once(&self) -> bool {
        majority(&self.seen.servers, self.challenge.record_value.as_bytes()).0 > 0
    }

    /// Distinct values seen, at most three.
    fn observed(&self) -> Vec<String> {
        let mut values: Vec<String> = vec![];
        for value in self.seen.servers.iter().filter_map(said).flat_map(|s| s.values) {
            let value = printable(value);
            if values.len() < 3 && !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    fn servers(&self) -> String {
        let mut names: Vec<String> =
            self.seen.servers.iter().take(4).map(|s| printable(s.server.as_bytes())).collect();
        names.dedup();
        match (names.len(), self.seen.servers.len()) {
            (0, _) => "no server".to_owned(),
            (_, all) if all > 4 => format!("{} and {} more", names.join(", "), all - 4),
            _ => names.join(", "),
        }
    }

    /// The name at which the servers were asked in the end.
    fn place(&self) -> String {
        match self.seen.aliases.last() {
            None => format!("`{}`", self.challenge.record_name),
            Some(end) => {
                format!("`{}`, an alias of `{}`,", self.challenge.record_name, printable(end.as_bytes()))
            }
        }
    }

    fn add(&self) -> String {
        format!(
            "Add a TXT record `{}` with the value `{}`.",
            self.challenge.record_name, self.challenge.record_value
        )
    }

    fn sentences(&self, code: Code) -> (String, String) {
        let (place, servers) = (self.place(), self.servers());
        let wait = "Nothing to change for the record itself; Deed looks again by itself.".to_owned();
        match code {
            Code::RecordNotFound => (format!("No record exists at {place}; asked: {servers}."), self.add()),
            Code::NoTxtAtName => {
                (format!("The name {place} exists but has no TXT record; asked: {servers}."), self.add())
            }
            Code::WrongValue => (
                format!("TXT records stand at {place} but none has the expected value; asked: {servers}."),
                format!(
                    "Set the value to exactly `{}`; other TXT records at the name may stay.",
                    self.challenge.record_value
                ),
            ),
            Code::CnameDangling => (
                format!("The name {place} does not exist at the end of the alias; asked: {servers}."),
                format!(
                    "Remove the CNAME at `{}` and add the TXT record there, or publish the record at the alias's target.",
                    self.challenge.record_name
                ),
            ),
            Code::CnameLoop => (
                format!(
                    "The aliases from `{}` lead in a circle or are more than {}.",
                    self.challenge.record_name,
                    self.seen.aliases.len()
                ),
                format!("Remove the CNAME at `{}` and add the TXT record there.", self.challenge.record_name),
            ),
            Code::OversizeAnswer => (
                format!("More TXT records than are read stand at {place}."),
                "Remove old TXT records at the name.".to_owned(),
            ),
            Code::BlockedAddress => (
                format!(
                    "The name servers of the zone ({servers}) have only addresses that are not public, which are not asked."
                ),
                "Delegate the domain to name servers with public addresses.".to_owned(),
            ),
            Code::DnssecBogus => (
                format!("The answer for {place} does not pass DNSSEC validation."),
                "Repair the zone's signatures at the DNS host, or remove the DS record at the registrar."
                    .to_owned(),
            ),
            _ => self.trouble(code, &place, &servers, wait),
        }
    }

    fn trouble(&self, code: Code, place: &str, servers: &str, wait: String) -> (String, String) {
        let zone = self
            .seen
            .zone
            .as_deref()
            .map_or_else(|| "the zone".to_owned(), |z| format!("`{}`", printable(z.as_bytes())));
        match code {
            Code::NsWithoutAddress => (
                format!("The name servers listed for {zone} have no address."),
                "Give the listed name servers addresses, or delegate the domain to ones that have them.".to_owned(),
            ),
            Code::LameDelegation => (
                format!("The servers listed for {zone} do not answer with authority: {servers}."),
                "Set the zone up on the listed name servers, or correct the delegation at the registrar.".to_owned(),
            ),
            Code::Refused => (
                format!("The name servers refuse to answer for {place}: {servers} ({}).", rcode_name(5)),
                "If this goes on, ask the DNS host why the zone is not served.".to_owned(),
            ),
            Code::Servfail => (
                format!("The name servers fail to answer for {place}: {servers} ({}).", rcode_name(2)),
                "If this goes on, ask the DNS host to repair the zone.".to_owned(),
            ),
            Code::Timeout if self.is_seen_once() => (
                format!("The record was seen at {place}, but no name server answered the second look, over TCP: {servers}."),
                "Enable DNS over TCP (port 53) at the name servers; Deed looks again by itself.".to_owned(),
            ),
            Code::Timeout => (format!("No name server answered for {place} in time; asked: {servers}."), wait),
            Code::TruncatedNoTcp => (
                format!("The answer for {place} is too big for one packet and the servers do not accept TCP: {servers}."),
                "Remove old TXT records at the name, or enable DNS over TCP at the servers.".to_owned(),
            ),
            Code::InconsistentServers => (
                format!("The name servers do not agree about {place}: {servers}."),
                "Usually the record is still spreading to all servers; if this goes on, check that every server has the zone's newest version.".to_owned(),
            ),
            Code::BudgetExhausted => (format!("Finding the servers for {place} took more questions or time than one check may use."), wait),
            Code::NameRefused => {
                let why = match &self.seen.failure {
                    Some(ProbeFailure::NameRefused(why)) => why.as_str(),
                    _ => "its rules have changed",
                };
                (format!("The name may no longer be claimed: {why}"), "Claim another name.".to_owned())
            }
            _ => ("The check could not be made because of trouble on our side.".to_owned(), wait),
        }
    }
}
