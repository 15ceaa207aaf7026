//! Explains failures of servers and networks: the reply of each server, and what the DNS provider has to repair.
use super::super::confirm::vantage_shows;
use super::super::tally::{CountedAnswer, Tally, Vote, votes_of};
use super::{Explainer, Explanation, failures, result, server};
use crate::diagnosis::Code;
use crate::escape::{printable, printable_name};
use crate::explain::{Phrase, say};
use crate::observation::OWN_VALIDATOR;
use crate::{AliasOrigin, NetworkFault, ProbeFailure, Reply, Security, ServerAnswer, VantageAnswer};

/// The phrases with these keys.
fn phrases(keys: &[&str]) -> Vec<Phrase> {
    keys.iter().map(|key| say(key)).collect()
}

impl Explainer<'_> {
    pub(super) fn explain_server_failure(&self, code: Code) -> Explanation {
        let observation = self.judgement.observation;
        let (message, fix) = match code {
            Code::InconsistentServers => {
                (self.inconsistent(), phrases(&["wait_servers", "later_ask_differing"]))
            }
            Code::PartiallyLame => return self.partially_lame(),
            Code::StaleNegativeCache => (self.stale_cache(), phrases(&["wait", "again"])),
            Code::VantageDisagreement => {
                (self.vantage_counts(), phrases(&["wait_places", "later_ask_places"]))
            }
            Code::BudgetExhausted => (
                say("limits").with("queries", observation.queries).with("ms", observation.took_ms),
                phrases(&["again", "later_send_slow"]),
            ),
            Code::NameRefused => {
                let why = match &observation.failure {
                    Some(ProbeFailure::NameRefused(why)) => crate::escape::escape_bytes(why.as_bytes(), 300),
                    _ => "the rules for names have changed".to_owned(),
                };
                (say("name_refused").with("why", why), phrases(&["claim_another"]))
            }
            Code::Internal => (say("internal"), phrases(&["nothing_to_change"])),
            _ => return self.no_usable_answer(code),
        };
        Explanation { message: vec![message], fix }
    }

    /// No server gave a usable answer, to the first queries or to their repeat.
    fn no_usable_answer(&self, code: Code) -> Explanation {
        let observation = self.judgement.observation;
        let first = self.tally();
        let again = observation.confirmation.repeated.as_deref().unwrap_or_default();
        let no_delegation = matches!(
            observation.failure,
            Some(ProbeFailure::NoDelegation(_) | ProbeFailure::ParentRefused(_))
        );
        let (message, fix) =
            if matches!(code, Code::DnssecIndeterminate | Code::EdnsBroken) && self.is_indeterminate() {
                self.indeterminate(code, first)
            } else if code == Code::Timeout && first.shown && self.is_of_unknown_origin() {
                (say("unknown_origin"), phrases(&["again", "later_send"]))
            } else if first.answering > 0 && !again.is_empty() {
                failed_repeat(code, first, again)
            } else if no_delegation || (observation.servers.is_empty() && code != Code::NsWithoutAddress) {
                (self.parent_failure(), phrases(&["again", "later_ask_registrar"]))
            } else {
                self.zone_failure(code)
            };
        Explanation { message: vec![message], fix }
    }

    /// The servers of a parent zone gave no delegation.
    fn parent_failure(&self) -> Phrase {
        match &self.judgement.observation.failure {
            Some(ProbeFailure::ParentRefused(rcode)) => say("parents_rcode").with("rcode", rcode),
            Some(ProbeFailure::NoDelegation(NetworkFault::EdnsBroken)) => say("parents_edns"),
            Some(ProbeFailure::NoDelegation(NetworkFault::TruncatedNoTcp)) => say("parents_tcp"),
            Some(ProbeFailure::NoDelegation(NetworkFault::Malformed)) => say("parents_malformed"),
            _ => say("parents_silent"),
        }
    }

    /// None of the zone's servers gave an answer that counts.
    fn zone_failure(&self, code: Code) -> (Phrase, Vec<Phrase>) {
        let (what, fix): (&str, &[&str]) = match code {
            Code::NsWithoutAddress => ("no_address", &["list_servers"]),
            Code::LameDelegation => ("lame", &["is_it_active"]),
            Code::Refused => ("refused", &["why_refused"]),
            Code::Servfail => ("servfail", &["again", "later_send"]),
            Code::EdnsBroken => ("edns", &["send_edns"]),
            Code::TruncatedNoTcp => ("no_tcp", &["send_tcp"]),
            _ => ("silent", &["again", "later_send_everywhere"]),
        };
        (failures(say(what), &self.judgement.observation.servers, code), phrases(fix))
    }

    fn tally(&self) -> Tally {
        Tally::of(&self.judgement.observation.servers, self.judgement.expected.value)
    }

    /// Whether the validation ended without a result.
    fn is_indeterminate(&self) -> bool {
        let validation = self.judgement.observation.confirmation.validation.as_ref();
        validation.is_some_and(|v| v.security == Security::Indeterminate)
    }

    /// Servers answer, but it is unknown whether the zone is signed.
    fn indeterminate(&self, code: Code, first: Tally) -> (Phrase, Vec<Phrase>) {
        let key = |found: &'static str, absent: &'static str| say(if first.shown { found } else { absent });
        if code == Code::EdnsBroken {
            return (key("unvalidated_edns_found", "unvalidated_edns_absent"), phrases(&["send_edns"]));
        }
        let by = self.judgement.observation.confirmation.validation.as_ref().map(|v| v.by.as_str());
        let why = match by.filter(|by| *by != OWN_VALIDATOR) {
            Some(by) => {
                key("unvalidated_by_found", "unvalidated_by_absent").with("by", printable(by.as_bytes()))
            }
            None => key("unvalidated_found", "unvalidated_absent"),
        };
        (why, phrases(&["again", "later_send"]))
    }

    /// Whether a wildcard may be the origin of the alias.
    fn is_of_unknown_origin(&self) -> bool {
        self.judgement.observation.findings.alias_origin == AliasOrigin::Unknown
            && !self.judgement.context.accept_wildcard
    }

    /// A list item with a server and its serial, and with its address where its name is among the others too.
    fn server_with_serial(&self, answer: &ServerAnswer, others: &[&ServerAnswer]) -> Phrase {
        let both = others.iter().any(|other| other.server == answer.server);
        let serials = self.judgement.observation.findings.serials.iter().filter(|serial| {
            Some(serial.address) == answer.address
                && (serial.server == answer.server || answer.server.is_empty())
        });
        let of_denial = match &answer.reply {
            Reply::Message { soa: Some(soa), .. } => Some(soa.serial),
            _ => None,
        };
        let serial = serials.map(|serial| serial.serial).max().or(of_denial);
        let address = answer.address.filter(|_| both);
        let key = match (address, serial) {
            (Some(_), _) => "server_at",
            (None, Some(_)) => "server_serial",
            (None, None) => "server",
        };
        say(key)
            .with("server", printable_name(&answer.server))
            .maybe("address", address)
            .maybe("serial", serial)
    }

    /// Lists of the servers that have the value and of those that do not, with their serials.
    fn sides(&self, phrase: Phrase, answers: &[ServerAnswer]) -> Phrase {
        let (mut present, mut missing) = (vec![], vec![]);
        for answer in answers {
            let Some(counted) = CountedAnswer::of(answer) else { continue };
            let side = if counted.shows(self.judgement.expected.value) { &mut present } else { &mut missing };
            side.push(answer);
        }
        let items = |side: &[&ServerAnswer], others: &[&ServerAnswer]| {
            side.iter().map(|answer| self.server_with_serial(answer, others)).collect::<Vec<_>>()
        };
        let (with, without) = (items(&present, &missing), items(&missing, &present));
        phrase.sorted("present", with).sorted("missing", without)
    }

    /// Whether some of these answers show the value and others do not.
    fn differ(&self, answers: &[ServerAnswer]) -> bool {
        let shows =
            |answer: &ServerAnswer| Some(CountedAnswer::of(answer)?.shows(self.judgement.expected.value));
        let (mut all, mut none) = (true, true);
        for shows in answers.iter().filter_map(shows) {
            (all, none) = (all && shows, none && !shows);
        }
        !all && !none
    }

    /// Servers contradict each other, their own earlier answer, or a signed answer.
    fn inconsistent(&self) -> Phrase {
        let confirmation = &self.judgement.observation.confirmation;
        let first = self.tally();
        let again = confirmation.repeated.as_deref().unwrap_or_default();
        let second = Tally::of(again, self.judgement.expected.value);
        let signed = confirmation.validation.as_ref().filter(|v| v.security == Security::Secure);
        let signed = signed.filter(|v| {
            v.rcode.is_some()
                && v.values.iter().any(|value| value == self.judgement.expected.value) != first.shown
        });
        let mut dissent =
            self.judgement.observation.dissent.iter().chain(&confirmation.dissent).map(server).peekable();
        if self.differ(&self.judgement.observation.servers) {
            self.sides(say("disagree"), &self.judgement.observation.servers)
        } else if second.answering > 0 && (self.differ(again) || second.shown != first.shown) {
            self.sides(say("disagree_again"), again)
        } else if let Some(validation) = signed {
            let by = Some(validation.by.as_str()).filter(|by| *by != OWN_VALIDATOR);
            say(if first.shown { "signed_without" } else { "signed_with" })
                .maybe("by", by.map(|by| printable(by.as_bytes())))
        } else if dissent.peek().is_none() {
            say("disagree_somehow")
        } else {
            say("dissent").sorted("servers", dissent)
        }
    }

    fn partially_lame(&self) -> Explanation {
        let servers = &self.judgement.observation.servers;
        let votes = votes_of(servers, self.judgement.expected.value);
        let lame = votes.into_iter().filter(|(_, vote)| *vote == Vote::Lame);
        let lame = lame.map(|(name, _)| say("name").with("text", printable_name(name)));
        let ask = say("later_ask_listed").sorted("servers", lame);
        let ask = if ask.lists.is_empty() { say("later_send_all") } else { ask };
        let few = say(if self.tally().shown { "too_few_show" } else { "too_few_answer" });
        let few = self.sides(few, servers);
        let few = few
            .sorted("unfit", servers.iter().filter(|answer| CountedAnswer::of(answer).is_none()).map(result));
        Explanation { message: vec![few], fix: vec![say("again"), ask] }
    }

    /// The seconds for which a resolver may still cache a negative answer, where known.
    pub(super) fn clears_in(&self) -> Option<u32> {
        let observation = self.judgement.observation;
        let denials = observation.servers.iter().chain(observation.confirmation.repeated.iter().flatten());
        let of_soa = denials.filter_map(|answer| match &answer.reply {
            Reply::Message { soa: Some(soa), .. } => Some(soa.negative_ttl),
            _ => None,
        });
        observation.confirmation.validation.as_ref().and_then(|v| v.negative_ttl).or_else(|| of_soa.max())
    }

    fn stale_cache(&self) -> Phrase {
        let by =
            self.judgement.observation.confirmation.validation.as_ref().map(|v| printable(v.by.as_bytes()));
        say(if by.is_some() { "stale" } else { "stale_somewhere" })
            .maybe("by", by)
            .maybe("left", self.clears_in())
    }

    fn vantage_counts(&self) -> Phrase {
        let confirmation = &self.judgement.observation.confirmation;
        let value = self.judgement.expected.value;
        let shown = self.tally().shown;
        let agrees = |v: &&VantageAnswer| vantage_shows(v, value) == Some(shown);
        let count = confirmation.vantages.iter().filter(agrees).count();
        let others = confirmation.vantages.iter().filter(|v| !agrees(v));
        let others = others.map(|v| say("name").with("text", printable(v.vantage.as_bytes())));
        say(if shown { "places_see" } else { "places_miss" })
            .with("count", count)
            .with("all", confirmation.vantages.len())
            .with("quorum", confirmation.quorum)
            .sorted("others", others)
    }
}

/// The repeat over TCP got no usable answer.
fn failed_repeat(code: Code, first: Tally, again: &[ServerAnswer]) -> (Phrase, Vec<Phrase>) {
    let message =
        failures(say(if first.shown { "unrepeated_found" } else { "unrepeated_absent" }), again, code);
    let send = match code {
        Code::Timeout | Code::TruncatedNoTcp => "later_send_tcp",
        _ => "later_send",
    };
    (message, phrases(&["again", send]))
}
