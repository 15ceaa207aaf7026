//! Explains what the tenant has to change: the record, its place, its value, or its zone.
use super::super::tally::{CountedAnswer, Tally};
use super::{Explainer, Explanation, result, server, with_servers};
use crate::diagnosis::Code;
use crate::escape::{escape_text, printable, printable_name};
use crate::explain::{Phrase, say};
use crate::observation::OWN_VALIDATOR;
use crate::{AliasOrigin, ProbeFailure, Reply, ServerAnswer, Signatures};

impl Explainer<'_> {
    /// The value, or a record that can only be meant for this claim, is at another name.
    pub(super) fn elsewhere(&self, code: Code, name: &str, values: &[Vec<u8>]) -> Explanation {
        let found = |key: &str| say(key).with("found", printable_name(name));
        let exact = values.iter().any(|value| value == self.judgement.expected.value);
        let ours = values.iter().any(|value| self.judgement.expected.is_meant_for_claim(value));
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let first = values.get(..1).unwrap_or_default();
        let what = match (exact, ours) {
            (true, _) => found("elsewhere_exact"),
            (false, true) => found("elsewhere_near").values(first),
            (false, false) => found("elsewhere_other").values(&values),
        };
        let unalias = (!self.judgement.observation.aliases.is_empty()).then(|| say("first_unalias"));
        let mut fix: Vec<Phrase> = unalias.into_iter().collect();
        if code == Code::DoubledZone {
            let rename = if self.label().is_some() { "rename_doubled" } else { "rename_doubled_whole" };
            fix.push(say(rename).values(first));
            fix.extend((!exact).then(|| say("set_value")));
        } else {
            // Mail depends on other TXT records at the apex, and some editors show all of them in one row.
            let rest =
                if code == Code::AtApex { found("leave_apex") } else { found("then_delete").values(first) };
            fix.extend([say("add"), rest]);
        }
        Explanation { message: with_servers(what, self.all_servers()), fix }
    }

    /// Causes of class `waiting`.
    pub(super) fn explain_record(&self, code: Code) -> Explanation {
        match code {
            Code::NoTxtAtName => {
                let types = self.judgement.observation.findings.other_types.iter();
                let types = types.map(|of| say("name").with("text", printable_name(of)));
                let has = say("no_txt_but").sorted("types", types);
                let has = if has.lists.is_empty() { say("no_txt") } else { has };
                Explanation {
                    message: with_servers(has, self.all_servers()),
                    fix: vec![say("add"), say("if_added")],
                }
            }
            Code::WrongValue => self.wrong_value(),
            Code::WildcardAnswer => self.wildcard(),
            Code::CnameDangling | Code::CnameElsewhere | Code::CnameLoop | Code::Dname => {
                self.explain_alias(code)
            }
            Code::NotDelegated => self.not_delegated(),
            Code::OversizeAnswer => {
                let values = self.seen_values();
                let shown = values.get(..super::MAX_VALUES).unwrap_or(&values);
                let large = say("large_set").with("count", values.len()).values(shown);
                let fix = vec![say("add"), say("others_may_stay")];
                Explanation { message: with_servers(large, self.all_servers()), fix }
            }
            Code::BlockedAddress => Explanation {
                message: vec![
                    say("blocked").sorted("servers", self.judgement.observation.servers.iter().map(result)),
                ],
                fix: vec![say("list_public_servers")],
            },
            Code::DnssecBogus => self.bogus(),
            _ => Explanation {
                message: with_servers(say("no_record"), self.all_servers()),
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
        let servers = self.servers_that(|counted| !counted.values.is_empty());
        Explanation {
            message: with_servers(what.values(&values), servers),
            fix: vec![say("add"), say("others_may_stay")],
        }
    }

    /// The wildcard record nearest to the name.
    pub(super) fn wildcard_name(&self) -> String {
        let parent = self.judgement.record.name.split_once('.').map_or("", |(_, parent)| parent);
        format!("*.{}", escape_text(parent, super::MAX_OWN_CHARS))
    }

    fn wildcard(&self) -> Explanation {
        let wildcard = |key: &str| say(key).with("wildcard", self.wildcard_name());
        let fix = vec![say("add"), say("wildcard_may_stay")];
        let aliased = self.judgement.observation.findings.alias_origin == AliasOrigin::Wildcard;
        let first = if aliased && self.end().is_some() {
            vec![wildcard("wildcard_alias"), say("value_behind_wildcard")]
        } else {
            let shown = Tally::of(&self.judgement.observation.servers, self.judgement.expected.value).shown;
            let among = say(if shown { "value_among_them" } else { "value_not_among_them" });
            vec![wildcard("wildcard_values").values(&self.seen_values()), among]
        };
        Explanation { message: first.into_iter().chain(self.all_servers()).collect(), fix }
    }

    fn not_delegated(&self) -> Explanation {
        let parent = match &self.judgement.observation.failure {
            Some(ProbeFailure::NotDelegated(parent)) => parent.trim_end_matches('.'),
            _ => "",
        };
        let missing = printable_name(below(self.judgement.record.name, parent));
        let parent = if parent.is_empty() { String::new() } else { printable_name(parent) };
        let what = say("not_delegated").with("missing", &missing).with("parent", parent);
        let fix = vec![say("check_spelling").with("missing", missing)];
        Explanation { message: with_servers(what, self.all_servers()), fix }
    }

    fn bogus(&self) -> Explanation {
        let validation = self.judgement.observation.confirmation.validation.as_ref();
        let ede = validation.and_then(|v| Some((v.ede.as_ref()?, v.ede_text())));
        let what = match ede {
            None => say("bogus"),
            Some((ede, text)) => say("bogus_ede").with("ede", ede.code).maybe("text", text),
        };
        let signed = |of: &[Signatures]| {
            let signatures = |answer: &&ServerAnswer| match &answer.reply {
                Reply::Message { signatures, .. } => of.contains(signatures),
                _ => false,
            };
            self.judgement.observation.servers.iter().filter(signatures).collect::<Vec<_>>()
        };
        let outdated = signed(&[Signatures::Expired, Signatures::NotYetValid]);
        let outdated = say("bogus_servers").sorted("servers", outdated.into_iter().map(server));
        let shown = self
            .judgement
            .observation
            .servers
            .iter()
            .filter_map(CountedAnswer::of)
            .any(|s| s.shows(self.judgement.expected.value));
        let counts = say(if shown { "bogus_record" } else { "bogus_nothing" });
        let by = validation.map(|v| v.by.as_str()).filter(|by| *by != OWN_VALIDATOR);
        let by = by.map(|by| say("checked_by").with("by", printable(by.as_bytes())));
        let mut message = vec![what];
        message.extend((!outdated.lists.is_empty()).then_some(outdated));
        message.push(counts);
        message.extend(by);
        // Unsigning the zone does harm where only some of its copies are broken.
        let unsign = signed(&[Signatures::Current]).is_empty().then(|| say("keep_ds"));
        Explanation { message, fix: with_servers(say("repair_dnssec"), unsign) }
    }
}

/// The name one label below `zone` that `name` is in.
fn below<'a>(name: &'a str, zone: &str) -> &'a str {
    let above =
        if zone.is_empty() { Some(name) } else { name.strip_suffix(zone).and_then(|n| n.strip_suffix('.')) };
    match above {
        Some(above) => name.get(above.rfind('.').map_or(0, |dot| dot + 1)..).unwrap_or(name),
        None => name,
    }
}
