//! Puts causes into words about one record: what was seen, of whom, and what to do. Everything foreign is escaped and
//! cut, so that a message is printable ASCII of bounded length whatever the DNS says.
mod alias;
mod extended;
mod record;
mod trouble;
mod value;

use std::collections::BTreeSet;
use std::fmt::Write as _;

pub(crate) use extended::ede_name;

use super::compare::Flaw;
use super::tally::{Said, said, unfit};
use super::{Case, Cause, absence::distinct};
use crate::diagnosis::{Code, Diagnosis};
use crate::evidence::rcode_name;
use crate::foreign::{named, printable, verbatim};
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
            Cause::Near(near) => self.near(near),
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

    /// Different values seen, at most three: the one that the message is about first, then the others, nearest first.
    fn observed(&self, cause: &Cause) -> Vec<String> {
        let values: Vec<&[u8]> = match cause {
            Cause::Elsewhere { values, .. } => values.iter().map(Vec::as_slice).collect(),
            Cause::Near(near) => {
                let rest = match &near.flaw {
                    Flaw::Split { rest } => Some(rest.as_slice()),
                    _ => None,
                };
                std::iter::once(near.value.as_slice()).chain(rest).chain(self.seen_values()).collect()
            }
            Cause::Plain(Code::CnameDangling | Code::CnameElsewhere) => {
                let beside = self.case.seen.beside_alias.iter().map(Vec::as_slice);
                self.case.wanted.nearest_first(self.seen_values().into_iter().chain(beside))
            }
            Cause::Plain(
                Code::WrongValue
                | Code::WildcardAnswer
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

    /// All different values that count, nearest first.
    fn seen_values(&self) -> Vec<&'a [u8]> {
        let counted: Vec<Said<'a>> = self.case.seen.servers.iter().filter_map(said).collect();
        self.case.wanted.nearest_first(distinct(&counted))
    }

    /// The first of some values, and how many more there are.
    fn quoted(values: &[&[u8]]) -> String {
        let mut shown: Vec<String> =
            values.iter().take(VALUES).map(|value| format!("`{}`", printable(value))).collect();
        if values.len() > VALUES {
            shown.push(format!("and {} more", values.len() - VALUES));
        }
        shown.join(", ")
    }

    /// The record's name.
    fn record(&self) -> String {
        format!("`{}`", verbatim(&self.case.challenge.record_name, OWN))
    }

    /// The value that is expected.
    fn value(&self) -> String {
        format!("`{}`", verbatim(&self.case.challenge.record_value, OWN))
    }

    /// The names of servers, at most four.
    fn names<'s>(answers: impl IntoIterator<Item = &'s ServerAnswer>) -> String {
        listed(answers.into_iter().map(|answer| named(&answer.server)))
    }

    /// Who says it, who says something else, and who says nothing that counts.
    fn said_by(&self, it: impl Fn(&Said<'_>) -> bool) -> String {
        let seen = &self.case.seen.servers;
        let (with, without): (Vec<_>, Vec<_>) =
            seen.iter().filter_map(|answer| Some((answer, it(&said(answer)?)))).partition(|(_, it)| *it);
        let mut text = String::new();
        for (who, answers) in [("Name servers that say so", with), ("Name servers that do not", without)] {
            if !answers.is_empty() {
                let names = Self::names(answers.into_iter().map(|(answer, _)| answer));
                // Writing to a string cannot fail, here and below.
                let _ = write!(text, " {who}: {names}.");
            }
        }
        let unfit: Vec<String> = seen.iter().filter(|answer| said(answer).is_none()).map(result).collect();
        if !unfit.is_empty() {
            let _ = write!(text, " No usable answer: {}.", listed(unfit));
        }
        text
    }

    /// The same, of whatever the servers say that is no other value.
    fn said_by_all(&self) -> String {
        self.said_by(|_| true)
    }

    /// What servers said instead of an answer, those with one cause apart from the others.
    fn failures(answers: &[ServerAnswer], code: Code) -> String {
        let of = |this: bool| {
            let failed =
                answers.iter().filter(move |answer| unfit(answer).is_some_and(|why| (why == code) == this));
            failed.map(result).collect::<Vec<_>>()
        };
        match (of(true), of(false)) {
            (these, others) if others.is_empty() => listed(these),
            (these, others) if these.is_empty() => listed(others),
            (these, others) => format!("{}. No usable answer either: {}", listed(these), listed(others)),
        }
    }

    /// Where the servers were asked in the end.
    fn end(&self) -> Option<String> {
        self.case.seen.aliases.last().map(|end| format!("`{}`", named(end)))
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
            Some(zone) => format!("`{}`", named(zone)),
        }
    }

    /// The record's name as editors want it that append the zone by themselves.
    fn relative(&self) -> Option<String> {
        let name = self.case.challenge.record_name.strip_suffix(self.case.seen.zone.as_deref()?)?;
        let name = name.strip_suffix('.').filter(|name| !name.is_empty())?;
        Some(format!("`{}`", verbatim(name, OWN)))
    }

    /// What to enter as a record's name.
    fn name_to_enter(&self) -> String {
        let record = self.record();
        match self.relative() {
            Some(relative) => {
                format!("{relative} (or {record}, if other names in your editor end in {})", self.zone())
            }
            None => format!("{record} (without the domain's own name in an editor that appends it)"),
        }
    }

    /// What has to be published.
    fn add(&self) -> String {
        format!(
            "At your DNS provider, add a record: type TXT, name {}, value {}.",
            self.name_to_enter(),
            self.value()
        )
    }
}

/// What a server said instead of an answer.
fn result(answer: &ServerAnswer) -> String {
    let name = named(&answer.server);
    let what = match &answer.reply {
        Reply::Blocked => match answer.address {
            Some(address) => return format!("{name} ({address})"),
            None => "not asked".to_owned(),
        },
        // Nothing was sent.
        Reply::Fault(_) if answer.address.is_none() => "no address found".to_owned(),
        Reply::Fault(NetworkFault::Timeout) => format!("no answer in {} ms", answer.ms),
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

/// `a, b, c, d and 3 more`, each once, in an order of their own: that of servers is another each time.
fn listed(items: impl IntoIterator<Item = String>) -> String {
    let items: BTreeSet<String> = items.into_iter().collect();
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
