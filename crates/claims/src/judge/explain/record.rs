//! What the tenant has to change: the record, its place, its value, the zone around it.
use super::super::confirm::OURSELVES;
use super::super::tally::{Tally, said};
use super::{Explainer, Explanation, and, result, server};
use crate::diagnosis::Code;
use crate::explain::{Phrase, say};
use crate::foreign::{ede_text, named, printable, verbatim};
use crate::{AliasOrigin, ProbeFailure, Reply, ServerAnswer, Signatures};

impl Explainer<'_> {
    /// The value, or a record that can only be meant for us, at another place.
    pub(super) fn elsewhere(&self, code: Code, name: &str, values: &[Vec<u8>]) -> Explanation {
        let found = |key: &str| say(key).with("found", named(name));
        let exact = values.iter().any(|value| value == self.case.wanted.value);
        let ours = values.iter().any(|value| self.case.wanted.is_meant(value));
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let first = values.get(..1).unwrap_or_default();
        let what = match (exact, ours) {
            (true, _) => found("elsewhere_exact"),
            (false, true) => found("elsewhere_near").values(first),
            (false, false) => found("elsewhere_other").values(&values),
        };
        let unalias = (!self.case.seen.aliases.is_empty()).then(|| say("first_unalias"));
        let mut fix: Vec<Phrase> = unalias.into_iter().collect();
        if code == Code::DoubledZone {
            fix.push(say(if self.label().is_some() { "rename_doubled" } else { "rename_doubled_whole" }));
            fix.extend((!exact).then(|| say("set_value")));
        } else {
            // Other records stand at such a name, on which mail may depend: the wrong one is told by its value.
            let delete = if code == Code::AtApex { "then_delete_apex" } else { "then_delete" };
            fix.extend([say("add"), found(delete).values(first)]);
        }
        Explanation { message: and(what, self.said_by_all()), fix }
    }

    /// Everything else that waits for the tenant.
    pub(super) fn of_record(&self, code: Code) -> Explanation {
        match code {
            Code::NoTxtAtName => {
                let types = self.case.seen.findings.other_types.iter();
                let types = types.map(|of| say("name").with("text", named(of)));
                let has = say("no_txt_but").sorted("types", types);
                let has = if has.lists.is_empty() { say("no_txt") } else { has };
                Explanation { message: and(has, self.said_by_all()), fix: vec![say("add"), say("if_added")] }
            }
            Code::WrongValue => self.wrong_value(),
            Code::WildcardAnswer => self.wildcard(),
            Code::CnameDangling | Code::CnameElsewhere | Code::CnameLoop | Code::Dname => self.of_alias(code),
            Code::NotDelegated => self.not_delegated(),
            Code::OversizeAnswer => {
                let values = self.seen_values();
                let shown = values.get(..super::VALUES).unwrap_or(&values);
                let large = say("large_set").with("count", values.len()).values(shown);
                let fix = vec![say("add"), say("others_may_stay")];
                Explanation { message: and(large, self.said_by_all()), fix }
            }
            Code::BlockedAddress => Explanation {
                message: vec![say("blocked").sorted("servers", self.case.seen.servers.iter().map(result))],
                fix: vec![say("list_public_servers")],
            },
            Code::DnssecBogus => self.bogus(),
            _ => Explanation {
                message: and(say("no_record"), self.said_by_all()),
                fix: vec![say("add"), say("if_added")],
            },
        }
    }

    fn wrong_value(&self) -> Explanation {
        let values = self.seen_values();
        let what = match values.len() {
            1 => say("one_value"),
            count => say("other_values").with("count", count),
        };
        let who = self.said_by(|said| !said.values.is_empty());
        Explanation { message: and(what.values(&values), who), fix: vec![say("add"), say("others_may_stay")] }
    }

    /// The wildcard record nearest to the name.
    pub(super) fn wildcard_name(&self) -> String {
        let parent = self.case.challenge.record_name.split_once('.').map_or("", |(_, parent)| parent);
        format!("*.{}", verbatim(parent, super::OWN))
    }

    fn wildcard(&self) -> Explanation {
        let wildcard = |key: &str| say(key).with("wildcard", self.wildcard_name());
        let fix = vec![say("add"), say("wildcard_may_stay")];
        let aliased = self.case.seen.findings.alias_origin == AliasOrigin::Wildcard;
        let first = if aliased && self.end().is_some() {
            vec![wildcard("wildcard_alias"), say("value_behind_wildcard")]
        } else {
            let shown = Tally::of(&self.case.seen.servers, self.case.wanted.value).shown;
            let among = say(if shown { "value_among_them" } else { "value_not_among_them" });
            vec![wildcard("wildcard_values").values(&self.seen_values()), among]
        };
        Explanation { message: first.into_iter().chain(self.said_by_all()).collect(), fix }
    }

    fn not_delegated(&self) -> Explanation {
        let parent = match &self.case.seen.failure {
            Some(ProbeFailure::NotDelegated(parent)) => parent.trim_end_matches('.'),
            _ => "",
        };
        let missing = named(below(&self.case.challenge.record_name, parent));
        let parent = if parent.is_empty() { String::new() } else { named(parent) };
        let what = say("not_delegated").with("missing", &missing).with("parent", parent);
        let fix = vec![say("check_spelling").with("missing", missing)];
        Explanation { message: and(what, self.said_by_all()), fix }
    }

    fn bogus(&self) -> Explanation {
        let validation = self.case.seen.confirmation.validation.as_ref();
        let ede = validation.and_then(|v| Some((v.ede.as_ref()?, ede_text(v))));
        let what = match ede {
            None => say("bogus"),
            Some((ede, text)) => say("bogus_ede").with("ede", ede.code).maybe("text", text),
        };
        let signed = |of: &[Signatures]| {
            let signatures = |answer: &&ServerAnswer| match &answer.reply {
                Reply::Message { signatures, .. } => of.contains(signatures),
                _ => false,
            };
            self.case.seen.servers.iter().filter(signatures).collect::<Vec<_>>()
        };
        let outdated = signed(&[Signatures::Expired, Signatures::NotYetValid]);
        let outdated = say("bogus_servers").sorted("servers", outdated.into_iter().map(server));
        let shown = self.case.seen.servers.iter().filter_map(said).any(|s| s.shows(self.case.wanted.value));
        let counts = say(if shown { "bogus_record" } else { "bogus_nothing" });
        let by = validation.map(|v| v.by.as_str()).filter(|by| *by != OURSELVES);
        let by = by.map(|by| say("checked_by").with("by", printable(by.as_bytes())));
        let mut message = vec![what];
        message.extend((!outdated.lists.is_empty()).then_some(outdated));
        message.push(counts);
        message.extend(by);
        // To unsign a zone does harm where only some copies of it are broken.
        let unsign = signed(&[Signatures::Current]).is_empty().then(|| say("keep_ds"));
        Explanation { message, fix: and(say("repair_dnssec"), unsign) }
    }
}

/// The name one label below a zone on the way to `name`.
fn below<'a>(name: &'a str, zone: &str) -> &'a str {
    let above =
        if zone.is_empty() { Some(name) } else { name.strip_suffix(zone).and_then(|n| n.strip_suffix('.')) };
    match above {
        Some(above) => name.get(above.rfind('.').map_or(0, |dot| dot + 1)..).unwrap_or(name),
        None => name,
    }
}
