//! Explains a cause: what was seen, from which servers, and what to do, as phrases with parameters. Foreign text is
//! escaped and cut, so that it is printable ASCII of bounded length.
mod alias;
mod record;
mod servers;
mod value;

use super::absence::distinct_values;
use super::compare::Flaw;
use super::judgement::{Cause, Judgement};
use super::tally::{CountedAnswer, rejection_code};
use crate::diagnosis::{Code, Diagnosis};
use crate::escape::{escape_text, printable, printable_name};
use crate::explain::{Parameters, Phrase, say};
use crate::{NetworkFault, Reply, ServerAnswer};

/// The longest record name or value that Deed makes, in characters.
const MAX_OWN_CHARS: usize = 260;
/// Values that a message shows.
const MAX_VALUES: usize = 3;

/// What was seen, and what to do.
struct Explanation {
    message: Vec<Phrase>,
    fix: Vec<Phrase>,
}

/// Turns the cause of one judgement into a diagnosis.
pub(super) struct Explainer<'a> {
    judgement: &'a Judgement<'a>,
}

impl<'a> Explainer<'a> {
    pub fn of(judgement: &'a Judgement<'a>) -> Self {
        Self { judgement }
    }

    pub fn diagnosis(&self, cause: &Cause) -> Diagnosis {
        let code = cause.code();
        let Explanation { message, fix } = match cause {
            Cause::NearMatch(near) => self.near_match(near),
            Cause::Elsewhere { code, name, values } => self.elsewhere(*code, name, values),
            Cause::Plain(code) => self.plain(*code),
        };
        let clears_in = (code == Code::StaleNegativeCache).then(|| self.clears_in()).flatten();
        let (params, observed) = (self.common(), self.observed(cause));
        Diagnosis { code, class: code.class(), params, message, fix, observed, clears_in }
    }

    fn plain(&self, code: Code) -> Explanation {
        match code.class() {
            crate::Class::Waiting => self.explain_record(code),
            _ => self.explain_server_failure(code),
        }
    }

    /// Parameters that all sentences of the diagnosis share.
    fn common(&self) -> Parameters {
        let observation = self.judgement.observation;
        let zone = observation
            .zone
            .as_deref()
            .map(|zone| if zone.is_empty() { String::new() } else { printable_name(zone) });
        let all = [
            ("record", Some(escape_text(self.judgement.record.name, MAX_OWN_CHARS))),
            ("value", Some(escape_text(self.judgement.record.value, MAX_OWN_CHARS))),
            ("zone", zone),
            ("label", self.label()),
            ("end", observation.aliases.last().map(|end| printable_name(end))),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Up to three different values that were seen: first the one that the message is about, then the nearest.
    fn observed(&self, cause: &Cause) -> Vec<String> {
        let values: Vec<&[u8]> = match cause {
            Cause::Elsewhere { values, .. } => values.iter().map(Vec::as_slice).collect(),
            Cause::NearMatch(near) => {
                let rest = match &near.flaw {
                    Flaw::Split { rest } => Some(rest.as_slice()),
                    _ => None,
                };
                std::iter::once(near.value.as_slice()).chain(rest).chain(self.seen_values()).collect()
            }
            Cause::Plain(Code::CnameDangling | Code::CnameElsewhere) => {
                let beside = self.judgement.observation.beside_alias.iter().map(Vec::as_slice);
                self.judgement.expected.nearest_first(self.seen_values().into_iter().chain(beside))
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
            if observed.len() < MAX_VALUES && !observed.contains(&value) {
                observed.push(value);
            }
        }
        observed
    }

    /// All different values in answers that count, nearest first.
    fn seen_values(&self) -> Vec<&'a [u8]> {
        let counted: Vec<CountedAnswer<'a>> =
            self.judgement.observation.servers.iter().filter_map(CountedAnswer::of).collect();
        self.judgement.expected.nearest_first(distinct_values(&counted))
    }

    /// The servers whose answers meet a condition, those whose answers do not, and those whose answers do not count.
    fn servers_that(&self, meets: impl Fn(&CountedAnswer<'_>) -> bool) -> Option<Phrase> {
        let answers = &self.judgement.observation.servers;
        let (with, without): (Vec<_>, Vec<_>) = answers
            .iter()
            .filter_map(|answer| Some((answer, meets(&CountedAnswer::of(answer)?))))
            .partition(|(_, meets)| *meets);
        let servers =
            |answers: Vec<(&'a ServerAnswer, bool)>| answers.into_iter().map(|(answer, _)| server(answer));
        let unusable = answers.iter().filter(|answer| CountedAnswer::of(answer).is_none()).map(result);
        let phrase = say("said_by")
            .sorted("with", servers(with))
            .sorted("without", servers(without))
            .sorted("unfit", unusable);
        (!phrase.lists.is_empty()).then_some(phrase)
    }

    /// The same with every answer that counts.
    fn all_servers(&self) -> Option<Phrase> {
        self.servers_that(|_| true)
    }

    /// The record's name for editors that append the zone by themselves.
    fn label(&self) -> Option<String> {
        let name = self.judgement.record.name.strip_suffix(self.judgement.observation.zone.as_deref()?)?;
        let name = name.strip_suffix('.').filter(|name| !name.is_empty())?;
        Some(escape_text(name, MAX_OWN_CHARS))
    }

    /// The name at the end of the aliases.
    fn end(&self) -> Option<String> {
        self.judgement.observation.aliases.last().map(|end| printable_name(end))
    }
}

impl Phrase {
    /// A list of the first values and the number of the others.
    fn values(self, values: &[&[u8]]) -> Self {
        let items = values.iter().map(|value| say("value").with("text", printable(value))).collect();
        self.list("values", items, MAX_VALUES)
    }
}

/// A list item with the name of a server.
fn server(answer: &ServerAnswer) -> Phrase {
    say("server").with("server", printable_name(&answer.server))
}

/// A list of the servers that failed with this code, and a list of the others.
fn failures(phrase: Phrase, answers: &[ServerAnswer], code: Code) -> Phrase {
    let failed = |this: bool| {
        let of = answers
            .iter()
            .filter(move |answer| rejection_code(answer).is_some_and(|of| (of == code) == this));
        of.map(result).collect::<Vec<_>>()
    };
    match (failed(true), failed(false)) {
        (these, others) if these.is_empty() => phrase.sorted("servers", others),
        (these, others) => phrase.sorted("servers", these).sorted("others", others),
    }
}

/// A list item with a server and its reply that does not count.
fn result(answer: &ServerAnswer) -> Phrase {
    let phrase = |key: &str| say(key).with("server", printable_name(&answer.server));
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

/// A sentence, followed by the one that lists the servers.
fn with_servers(phrase: Phrase, servers: Option<Phrase>) -> Vec<Phrase> {
    std::iter::once(phrase).chain(servers).collect()
}
