//! Explains aliases: where the name leads, and which record to publish instead.
use super::{Explainer, Explanation, with_servers};
use crate::diagnosis::Code;
use crate::escape::printable_name;
use crate::explain::{Phrase, say};
use crate::{AliasOrigin, ProbeFailure};

/// Names of a chain that a message shows.
const MAX_CHAIN: usize = 4;

impl Explainer<'_> {
    pub(super) fn explain_alias(&self, code: Code) -> Explanation {
        if matches!(code, Code::CnameDangling | Code::CnameElsewhere) {
            if let Some(typed) = self.value_as_target() {
                return typed;
            }
            if self.judgement.observation.findings.alias_origin == AliasOrigin::Wildcard {
                return self.wildcard_alias();
            }
            if !self.judgement.observation.beside_alias.is_empty() {
                return self.txt_beside_cname();
            }
        }
        let target = |key: &str| say(key).maybe("target", self.end());
        match code {
            Code::CnameDangling => Explanation {
                message: with_servers(target("alias_dangling"), self.all_servers()),
                fix: vec![target("replace_or_publish")],
            },
            Code::CnameElsewhere => Explanation {
                message: [target("alias"), self.values_at_target()]
                    .into_iter()
                    .chain(self.all_servers())
                    .collect(),
                fix: vec![target("replace_or_publish")],
            },
            Code::CnameLoop => {
                let too_long = self.judgement.observation.failure == Some(ProbeFailure::AliasTooLong);
                let phrase = say(if too_long { "alias_long" } else { "alias_loop" });
                let phrase = phrase.with("length", self.judgement.observation.aliases.len());
                let names = self.judgement.observation.aliases.iter();
                let names = names.map(|alias| say("value").with("text", printable_name(alias))).collect();
                let message = vec![phrase.list("chain", names, MAX_CHAIN)];
                Explanation { message, fix: vec![say("replace_alias")] }
            }
            _ => self.dname(),
        }
    }

    /// A TXT record is beside a CNAME record.
    fn txt_beside_cname(&self) -> Explanation {
        let beside = &self.judgement.observation.beside_alias;
        let values = self.judgement.expected.nearest_first(beside.iter().map(Vec::as_slice));
        // In a chain it is unknown which name has both.
        let one = self.judgement.observation.aliases.len() == 1;
        let phrase = say(if one { "beside_alias" } else { "beside_alias_somewhere" });
        let phrase = phrase.maybe("target", self.end()).values(&values);
        let message = [phrase, self.values_at_target()].into_iter().chain(self.all_servers()).collect();
        let right = values.contains(&self.judgement.expected.value);
        let ask = say("ask_about_alias").maybe("target", self.end());
        Explanation { message, fix: vec![say(if right { "keep_txt" } else { "change_txt" }), ask] }
    }

    /// A wildcard record makes the name an alias, and the name has no record of its own (RFC 4592 §2.2.3).
    fn wildcard_alias(&self) -> Explanation {
        let alias = say("wildcard_alias").with("wildcard", self.wildcard_name());
        let message = [alias, self.values_at_target()].into_iter().chain(self.all_servers()).collect();
        Explanation { message, fix: vec![say("add"), say("keep_wildcard")] }
    }

    /// The TXT values at the end of the aliases.
    fn values_at_target(&self) -> Phrase {
        let values = self.seen_values();
        match values.len() {
            0 => say("there_none"),
            1 => say("there_one").values(&values),
            count => say("there_others").with("count", count).values(&values),
        }
    }

    /// The value was entered as the target of a CNAME record.
    fn value_as_target(&self) -> Option<Explanation> {
        let aliases = &self.judgement.observation.aliases;
        let at = aliases.iter().position(|alias| self.judgement.expected.is_spelled_as_name(alias))?;
        let owner = at.checked_sub(1).map(|before| printable_name(&aliases[before]));
        let fix = match &owner {
            None => say("replace_alias"),
            Some(owner) => say("replace_alias_at").with("owner", owner),
        };
        let owner = owner.or_else(|| self.common().remove("record"));
        let typed = say("typed_target").maybe("owner", owner).with("typed", printable_name(&aliases[at]));
        Some(Explanation { message: with_servers(typed, self.all_servers()), fix: vec![fix] })
    }

    /// A DNAME record moves the name elsewhere.
    fn dname(&self) -> Explanation {
        let dname = self.judgement.observation.dname.as_ref();
        let target = |key: &str| say(key).maybe("target", dname.map(|dname| printable_name(&dname.target)));
        let moved = target("dname").maybe("above", dname.map(|dname| printable_name(&dname.owner)));
        let message = [moved, self.values_at_target()].into_iter().chain(self.all_servers()).collect();
        Explanation { message, fix: vec![target("publish_behind_dname")] }
    }
}
