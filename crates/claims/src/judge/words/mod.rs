//! Puts causes into words about one record: what was seen, of whom, and what to do. Everything foreign is escaped and
//! cut, so that a message is printable ASCII of bounded length whatever the DNS says.
mod extended;
mod record;
mod trouble;

pub(crate) use extended::ede_name;

use super::tally::said;
use super::{Case, Cause, absence::distinct};
use crate::diagnosis::{Code, Diagnosis};
use crate::evidence::{escaped, printable, rcode_name};
use crate::{NetworkFault, Reply, ServerAnswer};

/// Servers named in a message.
const SERVERS: usize = 4;
/// Characters of a message, and of a fix.
const LENGTH: usize = 1000;
/// Characters of a name or value of our own making: the longest name, the longest value.
const OWN: usize = 260;
/// Values shown.
const VALUES: usize = 3;

/// A message and a fix.
type Sentences = (String, String);

/// Puts causes into words about one record.
pub(super) struct Words<'a> {
    case: &'a Case<'a>,
}

impl<'a> Words<'a> {
    pub fn of(case: &'a Case<'a>) -> Self {
        Self { case }
    }

    pub fn diagnosis(&self, cause: &Cause) -> Diagnosis {
        let code = cause.code();
        let (message, fix) = match cause {
            Cause::Near(near) => self.near(&near.flaw),
            Cause::Elsewhere { code, name, values } => self.elsewhere(*code, name, values),
            Cause::Plain(code) => self.plain(*code),
        };
        let clears_in = (code == Code::StaleNegativeCache).then(|| self.clears_in()).flatten();
        let observed = self.observed(cause);
        Diagnosis { observed, clears_in, ..Diagnosis::new(code, cut(message), cut(fix)) }
    }

    fn plain(&self, code: Code) -> Sentences {
        match code.class() {
            crate::Class::Waiting => self.of_record(code),
            _ => self.of_trouble(code),
        }
    }

    /// Different values seen, at most three: the one that the message is about first.
    fn observed(&self, cause: &Cause) -> Vec<String> {
        let values: Vec<&[u8]> = match cause {
            Cause::Elsewhere { values, .. } => values.iter().map(Vec::as_slice).collect(),
            Cause::Near(near) => {
                let first = Some(near.value.as_slice()).filter(|value| !value.is_empty());
                first.into_iter().chain(self.seen_values()).collect()
            }
            Cause::Plain(
                Code::WrongValue
                | Code::WildcardAnswer
                | Code::CnameElsewhere
                | Code::Dname
                | Code::OversizeAnswer
                | Code::InconsistentServers
                | Code::PartiallyLame,
            ) => self.seen_values(),
            Cause::Plain(_) => vec![],
        };
        let mut observed: Vec<String> = vec![];
        for value in values.into_iter().map(printable) {
            if observed.len() < VALUES && !observed.contains(&value) {
                observed.push(value);
            }
        }
        observed
    }

    fn seen_values(&self) -> Vec<&'a [u8]> {
        distinct(&self.case.seen.servers.iter().filter_map(said).collect::<Vec<_>>())
    }

    /// The record's name.
    fn record(&self) -> String {
        format!("`{}`", escaped(self.case.challenge.record_name.as_bytes(), OWN))
    }

    /// The value that is expected.
    fn value(&self) -> String {
        format!("`{}`", escaped(self.case.challenge.record_value.as_bytes(), OWN))
    }

    fn value_length(&self) -> usize {
        self.case.challenge.record_value.chars().count()
    }

    /// The names of servers, at most four.
    fn names(answers: &[&ServerAnswer]) -> String {
        let mut names: Vec<String> = vec![];
        for answer in answers {
            let name = printable(answer.server.as_bytes());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        listed(&names)
    }

    /// The servers asked.
    fn servers(&self) -> String {
        Self::names(&self.case.seen.servers.iter().collect::<Vec<_>>())
    }

    /// ` Asked: ns1, ns2.`
    fn asked(&self) -> String {
        format!(" Asked: {}.", self.servers())
    }

    /// What each server said instead of an answer, at most four.
    fn results(answers: &[ServerAnswer]) -> String {
        let results: Vec<String> = answers.iter().filter(|a| said(a).is_none()).map(result).collect();
        listed(&results)
    }

    /// Where the servers were asked in the end.
    fn end(&self) -> Option<String> {
        self.case.seen.aliases.last().map(|end| format!("`{}`", printable(end.as_bytes())))
    }

    /// The name at which the servers were asked in the end.
    fn place(&self) -> String {
        match self.end() {
            None => self.record(),
            Some(end) => format!("{}, an alias of {end},", self.record()),
        }
    }

    fn zone(&self) -> String {
        match self.case.seen.zone.as_deref() {
            None => "the zone".to_owned(),
            Some("" | ".") => "the root zone".to_owned(),
            Some(zone) => format!("`{}`", printable(zone.as_bytes())),
        }
    }

    /// The record's name as editors want it that append the zone by themselves.
    fn relative(&self) -> Option<String> {
        let name = self.case.challenge.record_name.strip_suffix(self.case.seen.zone.as_deref()?)?;
        let name = name.strip_suffix('.').filter(|name| !name.is_empty())?;
        Some(format!("`{}`", escaped(name.as_bytes(), OWN)))
    }

    /// What has to be published.
    fn add(&self) -> String {
        let add = format!("Add a TXT record {} with the value {}.", self.record(), self.value());
        match self.relative() {
            Some(relative) if self.case.seen.aliases.is_empty() => {
                format!(
                    "{add} If your DNS editor appends {} by itself, enter {relative} as its name.",
                    self.zone()
                )
            }
            _ => add,
        }
    }
}

/// What a server said instead of an answer.
fn result(answer: &ServerAnswer) -> String {
    let name = printable(answer.server.as_bytes());
    let what = match &answer.reply {
        Reply::Blocked => match answer.address {
            Some(address) => return format!("{name} ({address})"),
            None => "not asked".to_owned(),
        },
        Reply::Fault(NetworkFault::Timeout) => format!("no answer in {} ms", answer.ms),
        Reply::Fault(NetworkFault::Unreachable) if answer.address.is_none() => "no address".to_owned(),
        Reply::Fault(NetworkFault::Unreachable) => "unreachable".to_owned(),
        Reply::Fault(NetworkFault::Malformed) => "malformed answer".to_owned(),
        Reply::Fault(NetworkFault::TruncatedNoTcp) => "truncated, no TCP".to_owned(),
        Reply::Fault(NetworkFault::EdnsBroken) => "no answer to EDNS".to_owned(),
        Reply::Fault(NetworkFault::Internal) => "not asked".to_owned(),
        Reply::Message { truncated: true, .. } => "truncated".to_owned(),
        Reply::Message { rcode, ede, authoritative, .. } => {
            let reason = ede.map(|code| format!(", {}", ede_name(code))).unwrap_or_default();
            let lame = if matches!(rcode, 0 | 3) && !authoritative { " without authority" } else { "" };
            format!("{}{lame}{reason}", rcode_name(*rcode))
        }
    };
    format!("{name} ({what})")
}

/// `a, b, c, d and 3 more`
fn listed(items: &[String]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let shown = items.iter().take(SERVERS).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(SERVERS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A span of time for people.
fn span(seconds: u32) -> String {
    match seconds {
        0 | 1 => "a second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds.div_ceil(60)),
        7200..=172_799 => format!("{} hours", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// Everything in it is ASCII by now, so that every byte is a character.
fn cut(mut text: String) -> String {
    if text.len() > LENGTH {
        text.truncate(LENGTH - 3);
        text.push_str("...");
    }
    text
}
