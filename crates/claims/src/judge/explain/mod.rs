//! Explains causes: what was seen, of whom, and what to do, as phrases with parameters. Everything foreign is escaped and
//! cut, so that it is printable ASCII of bounded length whatever the DNS says.
mod alias;
mod record;
mod trouble;
mod value;

use super::compare::Flaw;
use super::tally::{Said, said, unfit};
use super::{Case, Cause, absence::distinct};
use crate::diagnosis::{Code, Diagnosis};
use crate::explain::{Parameters, Phrase, say};
use crate::foreign::{named, printable, verbatim};
use crate::{NetworkFault, Reply, ServerAnswer};

/// Characters of a name or value of our own making: the longest name, the longest value.
const OWN: usize = 260;
/// Values shown.
const VALUES: usize = 3;

/// What was seen, and what to do.
struct Explanation {
    message: Vec<Phrase>,
    fix: Vec<Phrase>,
}

/// Explains the causes of one check.
pub(super) struct Explainer<'a> {
    case: &'a Case<'a>,
}

impl<'a> Explainer<'a> {
    pub fn of(case: &'a Case<'a>) -> Self {
        Self { case }
    }

    pub fn diagnosis(&self, cause: &Cause) -> Diagnosis {
        let code = cause.code();
        let Explanation { message, fix } = match cause {
            Cause::Near(near) => self.near(near),
            Cause::Elsewhere { code, name, values } => self.elsewhere(*code, name, values),
            Cause::Plain(code) => self.plain(*code),
        };
        let clears_in = (code == Code::StaleNegativeCache).then(|| self.clears_in()).flatten();
        let (params, observed) = (self.common(), self.observed(cause));
        Diagnosis { code, class: code.class(), params, message, fix, observed, clears_in }
    }

    fn plain(&self, code: Code) -> Explanation {
        match code.class() {
            crate::Class::Waiting => self.of_record(code),
            _ => self.of_trouble(code),
        }
    }

    /// Parameters that all sentences of a diagnosis share.
    fn common(&self) -> Parameters {
        let seen = self.case.seen;
        let zone = seen.zone.as_deref().map(|zone| if zone.is_empty() { String::new() } else { named(zone) });
        let all = [
            ("record", Some(verbatim(&self.case.challenge.record_name, OWN))),
            ("value", Some(verbatim(&self.case.challenge.record_value, OWN))),
            ("zone", zone),
            ("label", self.label()),
            ("end", seen.aliases.last().map(|end| named(end))),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
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

    /// Who says it, who says something else, and who says nothing that counts.
    fn said_by(&self, it: impl Fn(&Said<'_>) -> bool) -> Option<Phrase> {
        let seen = &self.case.seen.servers;
        let (with, without): (Vec<_>, Vec<_>) =
            seen.iter().filter_map(|answer| Some((answer, it(&said(answer)?)))).partition(|(_, it)| *it);
        let servers =
            |answers: Vec<(&'a ServerAnswer, bool)>| answers.into_iter().map(|(answer, _)| server(answer));
        let unfit = seen.iter().filter(|answer| said(answer).is_none()).map(result);
        let phrase = say("said_by")
            .sorted("with", servers(with))
            .sorted("without", servers(without))
            .sorted("unfit", unfit);
        (!phrase.lists.is_empty()).then_some(phrase)
    }

    /// The same, of whatever the servers say that is no other value.
    fn said_by_all(&self) -> Option<Phrase> {
        self.said_by(|_| true)
    }

    /// The record's name as editors want it that append the zone by themselves.
    fn label(&self) -> Option<String> {
        let name = self.case.challenge.record_name.strip_suffix(self.case.seen.zone.as_deref()?)?;
        let name = name.strip_suffix('.').filter(|name| !name.is_empty())?;
        Some(verbatim(name, OWN))
    }

    /// Where the servers were asked in the end.
    fn end(&self) -> Option<String> {
        self.case.seen.aliases.last().map(|end| named(end))
    }
}

impl Phrase {
    /// The first of some values, and how many more there are.
    fn values(self, values: &[&[u8]]) -> Self {
        self.values_at_most(values, VALUES)
    }

    fn values_at_most(self, values: &[&[u8]], most: usize) -> Self {
        let items = values.iter().map(|value| say("value").with("text", printable(value))).collect();
        self.list("values", items, most)
    }
}

/// A server by its name.
fn server(answer: &ServerAnswer) -> Phrase {
    say("server").with("server", named(&answer.server))
}

/// What servers said instead of an answer, those with one cause apart from the others.
fn failures(phrase: Phrase, answers: &[ServerAnswer], code: Code) -> Phrase {
    let failed = |this: bool| {
        let of = answers.iter().filter(move |answer| unfit(answer).is_some_and(|why| (why == code) == this));
        of.map(result).collect::<Vec<_>>()
    };
    match (failed(true), failed(false)) {
        (these, others) if these.is_empty() => phrase.sorted("servers", others),
        (these, others) => phrase.sorted("servers", these).sorted("others", others),
    }
}

/// What a server said instead of an answer.
fn result(answer: &ServerAnswer) -> Phrase {
    let phrase = |key: &str| say(key).with("server", named(&answer.server));
    match &answer.reply {
        Reply::Blocked => match answer.address {
            Some(address) => phrase("server_at").with("address", address),
            None => phrase("result_not_asked"),
        },
        // Nothing was sent.
        Reply::Fault(_) if answer.address.is_none() => phrase("result_no_address"),
        Reply::Fault(NetworkFault::Timeout) => phrase("result_timeout").with("ms", answer.ms),
        Reply::Fault(NetworkFault::Unreachable) => phrase("result_unreachable"),
        Reply::Fault(NetworkFault::Malformed) => phrase("result_malformed"),
        Reply::Fault(NetworkFault::TruncatedNoTcp) => phrase("result_no_tcp"),
        Reply::Fault(NetworkFault::EdnsBroken) => phrase("result_no_edns"),
        Reply::Fault(NetworkFault::Internal) => phrase("result_not_asked"),
        Reply::Message { truncated: true, .. } => phrase("result_truncated"),
        Reply::Message { rcode, ede, authoritative, .. } => {
            let lame = matches!(rcode, 0 | 3) && !authoritative;
            let key = if lame { "result_without_authority" } else { "result_rcode" };
            phrase(key).with("rcode", rcode).maybe("ede", *ede)
        }
    }
}

/// One sentence, and the one about who says it.
fn and(phrase: Phrase, who: Option<Phrase>) -> Vec<Phrase> {
    std::iter::once(phrase).chain(who).collect()
}
