//! Causes that lie with servers or networks: what each server answered, and what the DNS provider has to repair.
use std::net::IpAddr;

use super::super::confirm::{OURSELVES, sees};
use super::super::tally::{Tally, Vote, said, votes_of};
use super::{Sentences, Words, listed, result, span};
use crate::diagnosis::Code;
use crate::evidence::rcode_name;
use crate::foreign::{named, printable};
use crate::{AliasOrigin, NetworkFault, ProbeFailure, Reply, Security, ServerAnswer};

/// What happens by itself; what the tenant has to do comes behind it.
const AGAIN: &str = "The check is repeated automatically.";
const WITH_EDNS: &str = "Send this message to your DNS provider: its name servers, or a firewall before them, have to answer \
                         questions with EDNS (RFC 6891).";

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
                    "The check of {} reached its limits after {} questions and {} ms, because name servers are slow or many names have to \
                     be followed.",
                    self.place(),
                    seen.queries,
                    seen.took_ms
                ),
                format!(
                    "{AGAIN} If this goes on for an hour, send this message to your DNS provider, and ask whether all of its name \
                     servers answer without delay."
                ),
            ),
            Code::NameRefused => {
                let why = match &seen.failure {
                    Some(ProbeFailure::NameRefused(why)) => crate::foreign::escaped(why.as_bytes(), 300),
                    _ => "the rules for names have changed".to_owned(),
                };
                (
                    format!("The domain name of {} may not be claimed any more: {why}.", self.record()),
                    "Claim another name, or ask the people who run this service.".to_owned(),
                )
            }
            Code::Internal => (
                format!("{} could not be checked because of a problem on our side.", self.record()),
                "Nothing to change: the check is repeated as soon as the problem is solved.".to_owned(),
            ),
            _ => self.silent(code),
        }
    }

    /// Nobody answered, in the first look or in the second.
    fn silent(&self, code: Code) -> Sentences {
        let seen = self.case.seen;
        let first = self.tally();
        if matches!(code, Code::DnssecIndeterminate | Code::EdnsBroken) && self.is_unvalidated() {
            return self.unvalidated(code, first);
        }
        if code == Code::Timeout && first.shown && self.is_of_unknown_origin() {
            return self.of_unknown_origin();
        }
        let again = seen.confirmation.repeated.as_deref().unwrap_or_default();
        if first.answering > 0 && !again.is_empty() {
            return self.unrepeated(code, first, again);
        }
        match &seen.failure {
            Some(ProbeFailure::NoDelegation(_) | ProbeFailure::ParentRefused(_)) => self.parents(),
            _ if seen.servers.is_empty() && code != Code::NsWithoutAddress => self.parents(),
            _ => self.unanswered(code),
        }
    }

    /// Servers of the zones above did not say whose the name is.
    fn parents(&self) -> Sentences {
        let said = match &self.case.seen.failure {
            Some(ProbeFailure::ParentRefused(rcode)) => format!("answered only {}", rcode_name(*rcode)),
            Some(ProbeFailure::NoDelegation(NetworkFault::EdnsBroken)) => {
                "do not answer questions with EDNS".to_owned()
            }
            Some(ProbeFailure::NoDelegation(NetworkFault::TruncatedNoTcp)) => {
                "do not answer over TCP".to_owned()
            }
            Some(ProbeFailure::NoDelegation(NetworkFault::Malformed)) => "sent no valid answer".to_owned(),
            _ => "did not answer".to_owned(),
        };
        (
            format!(
                "The name servers of {} could not be found: the servers of a zone above {said}.",
                self.place()
            ),
            format!(
                "{AGAIN} If this goes on for hours, ask the domain's registrar whether the domain works."
            ),
        )
    }

    /// None of the zone's servers gave an answer that counts.
    fn unanswered(&self, code: Code) -> Sentences {
        let (place, zone) = (self.place(), self.zone());
        let failures = Self::failures(&self.case.seen.servers, code);
        let each = if self.case.seen.servers.is_empty() { String::new() } else { format!(": {failures}") };
        match code {
            Code::NsWithoutAddress => (
                format!("No address was found for the name servers of {zone}{each}."),
                format!(
                    "Ask your DNS provider which name servers the registrar has to list for {zone}. At the registrar, enter exactly \
                     those; a name server whose name is below {zone} needs its address there too."
                ),
            ),
            Code::LameDelegation => (
                format!("Name servers are listed for {zone} that do not serve it{each}."),
                format!(
                    "Ask your DNS provider whether {zone} is active in your account, and which name servers the registrar has to list \
                     for it. At the registrar, enter exactly those."
                ),
            ),
            Code::Refused => (
                format!("The name servers of {zone} refuse to answer for {place}{each}."),
                format!(
                    "Ask your DNS provider whether {zone} is active in your account, and why its name servers refuse questions \
                     about it."
                ),
            ),
            Code::Servfail => (
                format!("The name servers of {zone} fail to answer for {place}{each}."),
                format!("{AGAIN} If this goes on for an hour, send this message to your DNS provider."),
            ),
            Code::EdnsBroken => (
                format!("The name servers of {zone} do not answer questions with EDNS for {place}{each}."),
                WITH_EDNS.to_owned(),
            ),
            Code::TruncatedNoTcp => (
                format!("The answer for {place} is too long for UDP, and the name servers of {zone} do not answer over TCP{each}."),
                "Send this message to your DNS provider: its name servers have to answer over TCP, port 53 (RFC 7766).".to_owned(),
            ),
            _ => (
                format!("No answer came from the name servers of {zone} for {place}{each}."),
                format!(
                    "{AGAIN} If this goes on for an hour, send this message to your DNS provider: its name servers have to answer \
                     questions from everywhere."
                ),
            ),
        }
    }

    fn tally(&self) -> Tally {
        Tally::of(&self.case.seen.servers, self.case.wanted.value)
    }

    /// Whether the validation ended without telling if the zone is signed.
    fn is_unvalidated(&self) -> bool {
        let validation = self.case.seen.confirmation.validation.as_ref();
        validation.is_some_and(|v| v.security == Security::Indeterminate)
    }

    /// What the first look found.
    fn at_first(&self, first: Tally) -> String {
        let what = if first.shown { "was found" } else { "was not found" };
        format!("The record {what} at {}", self.place())
    }

    /// The servers' word is there, and whether it had to be signed is not known.
    fn unvalidated(&self, code: Code, first: Tally) -> Sentences {
        let (first, zone) = (self.at_first(first), self.zone());
        if code == Code::EdnsBroken {
            return (
                format!(
                    "{first}, but whether {zone} is signed by DNSSEC could not be found out: its name servers answer only \
                     questions without EDNS."
                ),
                WITH_EDNS.to_owned(),
            );
        }
        let by = self.case.seen.confirmation.validation.as_ref().map(|v| v.by.as_str());
        let why = match by.filter(|by| *by != OURSELVES) {
            Some(by) => format!("the resolver {} could not validate it", printable(by.as_bytes())),
            None => "no usable answer came for its DS and DNSKEY records".to_owned(),
        };
        (
            format!("{first}, but whether {zone} is signed by DNSSEC could not be found out: {why}."),
            format!("{AGAIN} If this goes on for an hour, send this message to your DNS provider."),
        )
    }

    /// Whether a wildcard may have made the alias that leads to the record.
    fn is_of_unknown_origin(&self) -> bool {
        self.case.seen.findings.alias_origin == AliasOrigin::Unknown && !self.case.context.accept_wildcard
    }

    fn of_unknown_origin(&self) -> Sentences {
        (
            format!(
                "The record was found at {}, but whether that alias stands at this very name or comes from a wildcard record could \
                 not be found out: no answer came for a random name beside it.",
                self.place().trim_end_matches(',')
            ),
            format!("{AGAIN} If this goes on for an hour, send this message to your DNS provider."),
        )
    }

    fn unrepeated(&self, code: Code, first: Tally, again: &[ServerAnswer]) -> Sentences {
        let message = format!(
            "{}, but the second look, over TCP, got no usable answer: {}.",
            self.at_first(first),
            Self::failures(again, code)
        );
        let fix = match code {
            Code::Timeout | Code::TruncatedNoTcp => format!(
                "{AGAIN} If this goes on for an hour, send this message to your DNS provider: its name servers have to answer over \
                 TCP, port 53 (RFC 7766)."
            ),
            _ => format!("{AGAIN} If this goes on for an hour, send this message to your DNS provider."),
        };
        (message, fix)
    }

    /// `ns1 (serial 12)`, `ns1 (192.0.2.1, serial 12)`
    fn with_serial(&self, answer: &ServerAnswer, address: Option<IpAddr>) -> String {
        let name = named(&answer.server);
        let told = self.case.seen.findings.serials.iter().filter(|serial| {
            Some(serial.address) == answer.address
                && (serial.server == answer.server || answer.server.is_empty())
        });
        let of_denial = match &answer.reply {
            Reply::Message { soa: Some(soa), .. } => Some(soa.serial),
            _ => None,
        };
        let serial = told.map(|serial| serial.serial).max().or(of_denial);
        match (address, serial) {
            (Some(address), Some(serial)) => format!("{name} ({address}, serial {serial})"),
            (Some(address), None) => format!("{name} ({address})"),
            (None, Some(serial)) => format!("{name} (serial {serial})"),
            (None, None) => name,
        }
    }

    /// Which servers have the value and which have not, with their serials.
    fn sides(&self, answers: &[ServerAnswer]) -> String {
        let (mut with, mut without) = (vec![], vec![]);
        for answer in answers {
            let Some(said) = said(answer) else { continue };
            let side = if said.shows(self.case.wanted.value) { &mut with } else { &mut without };
            side.push(answer);
        }
        // A name with several addresses may be on both sides.
        let label = |answer: &&ServerAnswer, others: &[&ServerAnswer]| {
            let both = others.iter().any(|other| other.server == answer.server);
            self.with_serial(answer, answer.address.filter(|_| both))
        };
        let labelled = |side: &[&ServerAnswer], others: &[&ServerAnswer]| {
            listed(side.iter().map(|answer| label(answer, others)))
        };
        let (with, without) = (labelled(&with, &without), labelled(&without, &with));
        match (&*with, &*without) {
            ("none", _) => format!("missing on {without}"),
            (_, "none") => format!("present on {with}"),
            _ => format!("present on {with}, missing on {without}"),
        }
    }

    /// Whether some of these answers show the value and others do not.
    fn differ(&self, answers: &[ServerAnswer]) -> bool {
        let shows = |answer: &ServerAnswer| Some(said(answer)?.shows(self.case.wanted.value));
        let (mut all, mut none) = (true, true);
        for shows in answers.iter().filter_map(shows) {
            (all, none) = (all && shows, none && !shows);
        }
        !all && !none
    }

    fn inconsistent(&self) -> Sentences {
        let confirmation = &self.case.seen.confirmation;
        let first = self.tally();
        let again = confirmation.repeated.as_deref().unwrap_or_default();
        let second = Tally::of(again, self.case.wanted.value);
        let signed = confirmation.validation.as_ref().filter(|v| v.security == Security::Secure);
        let signed = signed.filter(|v| {
            v.rcode.is_some() && v.values.iter().any(|value| value == self.case.wanted.value) != first.shown
        });
        let dissent: Vec<&ServerAnswer> =
            self.case.seen.dissent.iter().chain(&confirmation.dissent).collect();
        let (place, value) = (self.place(), self.value());
        let message = if self.differ(&self.case.seen.servers) {
            format!(
                "The name servers do not agree about {place}: the record with the value {value} is {}.",
                self.sides(&self.case.seen.servers)
            )
        } else if second.answering > 0 && (self.differ(again) || second.shown != first.shown) {
            format!(
                "The name servers gave different answers about {place} when they were asked twice. The second time the record \
                 with the value {value} was {}.",
                self.sides(again)
            )
        } else if let Some(validation) = signed {
            let by = Some(validation.by.as_str()).filter(|by| *by != OURSELVES);
            let by = by
                .map(|by| format!(" that the resolver {} has", printable(by.as_bytes())))
                .unwrap_or_default();
            let (signed, others) =
                if first.shown { ("does not show", "show") } else { ("shows", "do not show") };
            format!(
                "The signed answer about {place}{by} {signed} the record with the value {value}, and the name servers {others} it."
            )
        } else if dissent.is_empty() {
            format!("The name servers do not agree about the record at {place} with the value {value}.")
        } else {
            format!(
                "On the way to {place} some name servers contradict the others, with another alias, none, or other name servers of \
                 the zone: {}.",
                Self::names(dissent)
            )
        };
        let fix = format!(
            "Leave the record in place, and wait: a change takes time to reach all name servers, and {} If this goes on for an hour, ask your DNS \
             provider why its name servers differ, and check at the registrar that no name server of an earlier provider is listed.",
            AGAIN.replacen("The", "the", 1)
        );
        (message, fix)
    }

    fn partially_lame(&self) -> Sentences {
        let servers = &self.case.seen.servers;
        let votes = votes_of(servers, self.case.wanted.value);
        let lame = votes.into_iter().filter(|(_, vote)| *vote == Vote::Lame).map(|(name, _)| named(name));
        let lame: Vec<String> = lame.collect();
        let unfit = listed(servers.iter().filter(|answer| said(answer).is_none()).map(result));
        let verb = if self.tally().shown { "show" } else { "answer for" };
        let fix = if lame.is_empty() {
            format!(
                "{AGAIN} If this goes on for an hour, send this message to your DNS provider: all name servers that are listed for \
                 the domain have to answer for it."
            )
        } else {
            format!(
                "{AGAIN} If this goes on for an hour, send this message to your DNS provider, and ask whether these belong in the \
                 list of name servers at the registrar: {}. Remove them there only if it says no.",
                listed(lame)
            )
        };
        (
            format!(
                "Too few name servers {verb} {}: the record with the value {} is {}. Listed for {}, but without a usable answer: \
                 {unfit}.",
                self.place(),
                self.value(),
                self.sides(servers),
                self.zone(),
            ),
            fix,
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
        let left = self.clears_in().map(|left| format!(", for up to {}", span(left))).unwrap_or_default();
        (
            format!(
                "The name servers show the record at {}, but {by} does not show it yet: it may keep an older answer{left}.",
                self.place()
            ),
            format!("Leave the record in place, and wait. {AGAIN}"),
        )
    }

    fn vantages(&self) -> Sentences {
        let confirmation = &self.case.seen.confirmation;
        let wanted = self.case.wanted.value;
        let expected = self.tally().shown;
        let agrees = |v: &&crate::VantageAnswer| sees(v, wanted) == Some(expected);
        let all = confirmation.vantages.len();
        let count = confirmation.vantages.iter().filter(agrees).count();
        let others =
            confirmation.vantages.iter().filter(|v| !agrees(v)).map(|v| printable(v.vantage.as_bytes()));
        let what = if expected { "seen" } else { "seen to be gone" };
        (
            format!(
                "The record at {} is {what} from {count} of {all} places, and {} are needed. Not from: {}.",
                self.place(),
                confirmation.quorum,
                listed(others)
            ),
            format!(
                "Leave the records as they are, and wait: a change takes time to be seen everywhere, and {} If this goes on for an hour, ask your DNS \
                 provider whether its name servers give the same answer everywhere.",
                AGAIN.replacen("The", "the", 1)
            ),
        )
    }
}
