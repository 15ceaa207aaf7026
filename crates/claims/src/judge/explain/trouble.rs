//! Causes that lie with servers or networks: what each server answered, and what the DNS provider has to repair.
use super::super::confirm::{OURSELVES, sees};
use super::super::tally::{Tally, Vote, said, votes_of};
use super::{Explainer, Explanation, failures, result, server};
use crate::diagnosis::Code;
use crate::explain::{Phrase, say};
use crate::foreign::{named, printable};
use crate::{AliasOrigin, NetworkFault, ProbeFailure, Reply, Security, ServerAnswer};

/// Sentences of these keys.
fn all(keys: &[&str]) -> Vec<Phrase> {
    keys.iter().map(|key| say(key)).collect()
}

impl Explainer<'_> {
    pub(super) fn of_trouble(&self, code: Code) -> Explanation {
        let seen = self.case.seen;
        let (message, fix) = match code {
            Code::InconsistentServers => (self.inconsistent(), all(&["wait_servers", "later_ask_differing"])),
            Code::PartiallyLame => return self.partially_lame(),
            Code::StaleNegativeCache => (self.stale(), all(&["wait", "again"])),
            Code::VantageDisagreement => (self.vantages(), all(&["wait_places", "later_ask_places"])),
            Code::BudgetExhausted => (
                say("limits").with("queries", seen.queries).with("ms", seen.took_ms),
                all(&["again", "later_send_slow"]),
            ),
            Code::NameRefused => {
                let why = match &seen.failure {
                    Some(ProbeFailure::NameRefused(why)) => crate::foreign::escaped(why.as_bytes(), 300),
                    _ => "the rules for names have changed".to_owned(),
                };
                (say("name_refused").with("why", why), all(&["claim_another"]))
            }
            Code::Internal => (say("internal"), all(&["nothing_to_change"])),
            _ => return self.silent(code),
        };
        Explanation { message: vec![message], fix }
    }

    /// Nobody answered, in the first look or in the second.
    fn silent(&self, code: Code) -> Explanation {
        let seen = self.case.seen;
        let first = self.tally();
        let again = seen.confirmation.repeated.as_deref().unwrap_or_default();
        let lost =
            matches!(seen.failure, Some(ProbeFailure::NoDelegation(_) | ProbeFailure::ParentRefused(_)));
        let (message, fix) =
            if matches!(code, Code::DnssecIndeterminate | Code::EdnsBroken) && self.is_unvalidated() {
                self.unvalidated(code, first)
            } else if code == Code::Timeout && first.shown && self.is_of_unknown_origin() {
                (say("unknown_origin"), all(&["again", "later_send"]))
            } else if first.answering > 0 && !again.is_empty() {
                unrepeated(code, first, again)
            } else if lost || (seen.servers.is_empty() && code != Code::NsWithoutAddress) {
                (self.parents(), all(&["again", "later_ask_registrar"]))
            } else {
                self.unanswered(code)
            };
        Explanation { message: vec![message], fix }
    }

    /// Servers of the zones above did not say whose the name is.
    fn parents(&self) -> Phrase {
        match &self.case.seen.failure {
            Some(ProbeFailure::ParentRefused(rcode)) => say("parents_rcode").with("rcode", rcode),
            Some(ProbeFailure::NoDelegation(NetworkFault::EdnsBroken)) => say("parents_edns"),
            Some(ProbeFailure::NoDelegation(NetworkFault::TruncatedNoTcp)) => say("parents_tcp"),
            Some(ProbeFailure::NoDelegation(NetworkFault::Malformed)) => say("parents_malformed"),
            _ => say("parents_silent"),
        }
    }

    /// None of the zone's servers gave an answer that counts.
    fn unanswered(&self, code: Code) -> (Phrase, Vec<Phrase>) {
        let (what, fix): (&str, &[&str]) = match code {
            Code::NsWithoutAddress => ("no_address", &["list_servers"]),
            Code::LameDelegation => ("lame", &["is_it_active"]),
            Code::Refused => ("refused", &["why_refused"]),
            Code::Servfail => ("servfail", &["again", "later_send"]),
            Code::EdnsBroken => ("edns", &["send_edns"]),
            Code::TruncatedNoTcp => ("no_tcp", &["send_tcp"]),
            _ => ("silent", &["again", "later_send_everywhere"]),
        };
        (failures(say(what), &self.case.seen.servers, code), all(fix))
    }

    fn tally(&self) -> Tally {
        Tally::of(&self.case.seen.servers, self.case.wanted.value)
    }

    /// Whether the validation ended without telling if the zone is signed.
    fn is_unvalidated(&self) -> bool {
        let validation = self.case.seen.confirmation.validation.as_ref();
        validation.is_some_and(|v| v.security == Security::Indeterminate)
    }

    /// The servers' word is there, and whether it had to be signed is not known.
    fn unvalidated(&self, code: Code, first: Tally) -> (Phrase, Vec<Phrase>) {
        let key = |found: &'static str, absent: &'static str| say(if first.shown { found } else { absent });
        if code == Code::EdnsBroken {
            return (key("unvalidated_edns_found", "unvalidated_edns_absent"), all(&["send_edns"]));
        }
        let by = self.case.seen.confirmation.validation.as_ref().map(|v| v.by.as_str());
        let why = match by.filter(|by| *by != OURSELVES) {
            Some(by) => {
                key("unvalidated_by_found", "unvalidated_by_absent").with("by", printable(by.as_bytes()))
            }
            None => key("unvalidated_found", "unvalidated_absent"),
        };
        (why, all(&["again", "later_send"]))
    }

    /// Whether a wildcard may have made the alias that leads to the record.
    fn is_of_unknown_origin(&self) -> bool {
        self.case.seen.findings.alias_origin == AliasOrigin::Unknown && !self.case.context.accept_wildcard
    }

    /// A server, told apart by what `others` need: its address where one name is on both sides, and its serial.
    fn told_apart(&self, answer: &ServerAnswer, others: &[&ServerAnswer]) -> Phrase {
        let both = others.iter().any(|other| other.server == answer.server);
        let serials = self.case.seen.findings.serials.iter().filter(|serial| {
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
        say(key).with("server", named(&answer.server)).maybe("address", address).maybe("serial", serial)
    }

    /// Which servers have the value and which have not, with their serials.
    fn sides(&self, phrase: Phrase, answers: &[ServerAnswer]) -> Phrase {
        let (mut present, mut missing) = (vec![], vec![]);
        for answer in answers {
            let Some(said) = said(answer) else { continue };
            let side = if said.shows(self.case.wanted.value) { &mut present } else { &mut missing };
            side.push(answer);
        }
        let apart = |side: &[&ServerAnswer], others: &[&ServerAnswer]| {
            side.iter().map(|answer| self.told_apart(answer, others)).collect::<Vec<_>>()
        };
        let (with, without) = (apart(&present, &missing), apart(&missing, &present));
        phrase.sorted("present", with).sorted("missing", without)
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

    fn inconsistent(&self) -> Phrase {
        let confirmation = &self.case.seen.confirmation;
        let first = self.tally();
        let again = confirmation.repeated.as_deref().unwrap_or_default();
        let second = Tally::of(again, self.case.wanted.value);
        let signed = confirmation.validation.as_ref().filter(|v| v.security == Security::Secure);
        let signed = signed.filter(|v| {
            v.rcode.is_some() && v.values.iter().any(|value| value == self.case.wanted.value) != first.shown
        });
        let mut dissent = self.case.seen.dissent.iter().chain(&confirmation.dissent).map(server).peekable();
        if self.differ(&self.case.seen.servers) {
            self.sides(say("disagree"), &self.case.seen.servers)
        } else if second.answering > 0 && (self.differ(again) || second.shown != first.shown) {
            self.sides(say("disagree_again"), again)
        } else if let Some(validation) = signed {
            let by = Some(validation.by.as_str()).filter(|by| *by != OURSELVES);
            say(if first.shown { "signed_without" } else { "signed_with" })
                .maybe("by", by.map(|by| printable(by.as_bytes())))
        } else if dissent.peek().is_none() {
            say("disagree_somehow")
        } else {
            say("dissent").sorted("servers", dissent)
        }
    }

    fn partially_lame(&self) -> Explanation {
        let servers = &self.case.seen.servers;
        let votes = votes_of(servers, self.case.wanted.value);
        let lame = votes.into_iter().filter(|(_, vote)| *vote == Vote::Lame);
        let lame = lame.map(|(name, _)| say("name").with("text", named(name)));
        let ask = say("later_ask_listed").sorted("servers", lame);
        let ask = if ask.lists.is_empty() { say("later_send_all") } else { ask };
        let few = say(if self.tally().shown { "too_few_show" } else { "too_few_answer" });
        let few = self.sides(few, servers);
        let few = few.sorted("unfit", servers.iter().filter(|answer| said(answer).is_none()).map(result));
        Explanation { message: vec![few], fix: vec![say("again"), ask] }
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

    fn stale(&self) -> Phrase {
        let by = self.case.seen.confirmation.validation.as_ref().map(|v| printable(v.by.as_bytes()));
        say(if by.is_some() { "stale" } else { "stale_somewhere" })
            .maybe("by", by)
            .maybe("left", self.clears_in())
    }

    fn vantages(&self) -> Phrase {
        let confirmation = &self.case.seen.confirmation;
        let wanted = self.case.wanted.value;
        let expected = self.tally().shown;
        let agrees = |v: &&crate::VantageAnswer| sees(v, wanted) == Some(expected);
        let count = confirmation.vantages.iter().filter(agrees).count();
        let others = confirmation.vantages.iter().filter(|v| !agrees(v));
        let others = others.map(|v| say("name").with("text", printable(v.vantage.as_bytes())));
        say(if expected { "places_see" } else { "places_miss" })
            .with("count", count)
            .with("all", confirmation.vantages.len())
            .with("quorum", confirmation.quorum)
            .sorted("others", others)
    }
}

/// The second look failed.
fn unrepeated(code: Code, first: Tally, again: &[ServerAnswer]) -> (Phrase, Vec<Phrase>) {
    let message =
        failures(say(if first.shown { "unrepeated_found" } else { "unrepeated_absent" }), again, code);
    let send = match code {
        Code::Timeout | Code::TruncatedNoTcp => "later_send_tcp",
        _ => "later_send",
    };
    (message, all(&["again", send]))
}
