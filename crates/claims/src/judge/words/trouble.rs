//! What passes by itself or is the servers' business, said so that whoever runs them can mend it.
use super::super::confirm::{OURSELVES, sees};
use super::super::tally::{Tally, said};
use super::{Sentences, Words, listed, printable, span};
use crate::diagnosis::Code;
use crate::{ProbeFailure, Reply, Security, ServerAnswer};

const AGAIN: &str = "Nothing to change for the record itself: it is looked for again automatically.";

impl Words<'_> {
    pub(super) fn of_trouble(&self, code: Code) -> Sentences {
        let seen = self.case.seen;
        match code {
            Code::InconsistentServers => self.inconsistent(),
            Code::PartiallyLame => self.partially_lame(),
            Code::StaleNegativeCache => self.stale(),
            Code::VantageDisagreement => self.vantages(),
            Code::BudgetExhausted => (
                format!(
                    "The check of {} took more than one check may use: it ended after {} questions and {} ms.",
                    self.place(),
                    seen.queries,
                    seen.took_ms
                ),
                format!(
                    "{AGAIN} If this goes on, see to it that fewer referrals, aliases and unreachable servers stand in the way to the name."
                ),
            ),
            Code::NameRefused => {
                let why = match &seen.failure {
                    Some(ProbeFailure::NameRefused(why)) => super::escaped(why.as_bytes(), 300),
                    _ => "its rules have changed".to_owned(),
                };
                (
                    format!("The name of {} may no longer be claimed: {why}.", self.record()),
                    "Claim another name.".to_owned(),
                )
            }
            Code::Internal => (
                format!("{} could not be checked because of trouble on our side.", self.record()),
                "Nothing to change: the check is made again as soon as that is over.".to_owned(),
            ),
            _ => self.silent(code),
        }
    }

    /// Nobody answered, in the first look or in the second.
    fn silent(&self, code: Code) -> Sentences {
        let seen = self.case.seen;
        let first = self.tally();
        if first.answering > 0 && self.is_unvalidated() {
            return self.unvalidated(first);
        }
        let again = seen.confirmation.repeated.as_deref().unwrap_or_default();
        if first.answering > 0 && !again.is_empty() {
            return self.unrepeated(code, first, again);
        }
        let (place, results) = (self.place(), Self::results(&seen.servers));
        let parents = match &seen.failure {
            Some(ProbeFailure::NoDelegation(_) | ProbeFailure::ParentRefused(_)) => true,
            _ => seen.servers.is_empty() && code != Code::NsWithoutAddress,
        };
        let whose = if parents {
            "servers of the zones above".to_owned()
        } else {
            format!("name servers of {}", self.zone())
        };
        let each = if seen.servers.is_empty() { String::new() } else { format!(": {results}") };
        let (message, fix) = match code {
            Code::NsWithoutAddress => (
                format!("The name servers listed for {place} have no address{each}."),
                "Give the listed name servers addresses, or delegate the domain to ones that have them.".to_owned(),
            ),
            Code::LameDelegation => (
                format!("The {whose} are listed for it but do not serve it{each}."),
                "Set the zone up on the listed name servers, or correct the delegation at the registrar.".to_owned(),
            ),
            Code::Refused => (
                format!("The {whose} refuse to answer for {place}{each}."),
                "Ask the DNS host whether the zone is set up there and may be asked by everybody.".to_owned(),
            ),
            Code::Servfail => (
                format!("The {whose} fail to answer for {place}{each}."),
                "If this goes on, ask the DNS host to repair the zone.".to_owned(),
            ),
            Code::EdnsBroken => (
                format!("The {whose} do not get along with EDNS when asked for {place}{each}."),
                "Update the name servers, or the firewall before them: they have to answer questions with EDNS (RFC 6891).".to_owned(),
            ),
            Code::TruncatedNoTcp => (
                format!("The answer for {place} is too big for UDP, and the {whose} do not accept TCP{each}."),
                "Remove old TXT records at the name, or open port 53 for TCP at the name servers (RFC 7766).".to_owned(),
            ),
            _ => (format!("No answer came from the {whose} for {place}{each}."), AGAIN.to_owned()),
        };
        (message, fix)
    }

    fn tally(&self) -> Tally {
        Tally::of(&self.case.seen.servers, self.case.wanted.value)
    }

    /// The first look was answered, the second was not.
    fn is_unvalidated(&self) -> bool {
        let validation = self.case.seen.confirmation.validation.as_ref();
        validation.is_some_and(|v| v.security == Security::Indeterminate)
    }

    /// The servers' word is there, and nobody could tell whether it had to be signed.
    fn unvalidated(&self, first: Tally) -> Sentences {
        let saw = if first.shown { "was seen" } else { "was not there" };
        let message = format!(
            "The record {saw} at {}, but whether {} is signed by DNSSEC could not be found out: the servers of the zone or of \
             those above it did not give their DS and DNSKEY records.",
            self.place(),
            self.zone()
        );
        let fix = format!(
            "{AGAIN} If this goes on, ask the DNS host whether its servers answer for DS and DNSKEY."
        );
        (message, fix)
    }

    fn unrepeated(&self, code: Code, first: Tally, again: &[ServerAnswer]) -> Sentences {
        let saw = if first.shown { "was seen" } else { "was not there" };
        let message = format!(
            "The record {saw} at {}, but the second look, over TCP, was not answered: {}.",
            self.place(),
            Self::results(again)
        );
        let fix = match code {
            Code::Timeout | Code::TruncatedNoTcp => {
                "Open port 53 for TCP at the name servers (RFC 7766); the record is looked for again automatically.".to_owned()
            }
            _ => AGAIN.to_owned(),
        };
        (message, fix)
    }

    /// `ns1 (serial 12)`
    fn with_serial(&self, answer: &ServerAnswer) -> String {
        let name = printable(answer.server.as_bytes());
        let found = self.case.seen.findings.serials.iter().find(|serial| {
            Some(serial.address) == answer.address
                && (serial.server == answer.server || answer.server.is_empty())
        });
        let of_denial = match &answer.reply {
            Reply::Message { soa: Some(soa), .. } => Some(soa.serial),
            _ => None,
        };
        match found.map(|serial| serial.serial).or(of_denial) {
            Some(serial) => format!("{name} (serial {serial})"),
            None => name,
        }
    }

    /// Which servers have the value and which have not, with their serials.
    fn sides(&self, answers: &[ServerAnswer]) -> String {
        let (mut with, mut without) = (vec![], vec![]);
        for answer in answers {
            let Some(said) = said(answer) else { continue };
            let side = if said.shows(self.case.wanted.value) { &mut with } else { &mut without };
            side.push(self.with_serial(answer));
        }
        match (with.is_empty(), without.is_empty()) {
            (true, _) => format!("missing on {}", listed(&without)),
            (_, true) => format!("present on {}", listed(&with)),
            _ => format!("present on {}, not yet on {}", listed(&with), listed(&without)),
        }
    }

    fn inconsistent(&self) -> Sentences {
        let seen = self.case.seen;
        let first = self.tally();
        if first.answering > 0 && self.is_unvalidated() {
            return self.unvalidated(first);
        }
        let again = seen.confirmation.repeated.as_deref().unwrap_or_default();
        let place = self.place();
        let message = if 0 < first.showing && first.showing < first.answering {
            format!("The name servers do not agree about {place}: {}.", self.sides(&seen.servers))
        } else if !again.is_empty() {
            format!(
                "The name servers said one thing about {place} and then another; asked again, the record was {}.",
                self.sides(again)
            )
        } else {
            let by = seen.confirmation.validation.as_ref().map(|v| printable(v.by.as_bytes()));
            match by.filter(|by| by != OURSELVES) {
                Some(by) => {
                    format!("The name servers contradict what the resolver {by} sees at {place}, signed.")
                }
                None => format!("The name servers contradict a signed answer about {place}."),
            }
        };
        (message, "Usually the record is still spreading to all servers; if this goes on, check that every server has the zone's newest version.".to_owned())
    }

    fn partially_lame(&self) -> Sentences {
        let seen = self.case.seen;
        let verb = if self.tally().shown { "show" } else { "answer for" };
        (
            format!(
                "Too few name servers {verb} {}: {}; listed for {} but not answering for it: {}.",
                self.place(),
                self.sides(&seen.servers),
                self.zone(),
                Self::results(&seen.servers)
            ),
            "Set the zone up on every listed name server, or take those that do not answer for it out of the delegation at the registrar.".to_owned(),
        )
    }

    /// How much longer a resolver may remember, as far as anybody said.
    pub(super) fn clears_in(&self) -> Option<u32> {
        let seen = self.case.seen;
        let denials = seen.servers.iter().chain(seen.confirmation.repeated.iter().flatten());
        let of_soa = denials.filter_map(|answer| match &answer.reply {
            Reply::Message { soa: Some(soa), .. } => Some(soa.negative_ttl),
            _ => None,
        });
        seen.confirmation.validation.as_ref().and_then(|v| v.negative_ttl).or_else(|| of_soa.max())
    }

    fn stale(&self) -> Sentences {
        let by = self.case.seen.confirmation.validation.as_ref().map(|v| printable(v.by.as_bytes()));
        let by = by.map_or_else(|| "the trusted resolver".to_owned(), |by| format!("the resolver {by}"));
        let left = self.clears_in().map(|left| format!(" for up to {}", span(left))).unwrap_or_default();
        (
            format!(
                "Published: the name servers show the record at {}. But {by} still remembers an older answer, and may{left}.",
                self.place()
            ),
            "Nothing to change: the record is looked for again when that answer is forgotten.".to_owned(),
        )
    }

    fn vantages(&self) -> Sentences {
        let confirmation = &self.case.seen.confirmation;
        let wanted = self.case.wanted.value;
        let expected = self.tally().shown;
        let agrees = |v: &&crate::VantageAnswer| sees(v, wanted) == Some(expected);
        let all = confirmation.vantages.len();
        let count = confirmation.vantages.iter().filter(agrees).count();
        let others: Vec<String> = confirmation
            .vantages
            .iter()
            .filter(|v| !agrees(v))
            .map(|v| printable(v.vantage.as_bytes()))
            .collect();
        let verb = if expected { "Seen" } else { "Seen to be gone" };
        (
            format!(
                "{verb} from {count} of {all} places at {}, and {} have to agree. Not from: {}.",
                self.place(),
                confirmation.quorum,
                listed(&others)
            ),
            "Usually the record is still spreading; if this goes on, check that the name servers answer everybody in the same way.".to_owned(),
        )
    }
}
