//! The name is an alias: where that leads, and what to put in its place.
use super::{Explainer, Explanation, and};
use crate::diagnosis::Code;
use crate::explain::{Phrase, say};
use crate::foreign::named;
use crate::{AliasOrigin, ProbeFailure};

/// Names of a chain that are shown.
const CHAIN: usize = 4;

impl Explainer<'_> {
    pub(super) fn of_alias(&self, code: Code) -> Explanation {
        if matches!(code, Code::CnameDangling | Code::CnameElsewhere) {
            if let Some(typed) = self.typed_as_target() {
                return typed;
            }
            if self.case.seen.findings.alias_origin == AliasOrigin::Wildcard {
                return self.of_wildcard();
            }
            if !self.case.seen.beside_alias.is_empty() {
                return self.beside();
            }
        }
        let target = |key: &str| say(key).maybe("target", self.end());
        match code {
            Code::CnameDangling => Explanation {
                message: and(target("alias_dangling"), self.said_by_all()),
                fix: vec![target("replace_or_publish")],
            },
            Code::CnameElsewhere => Explanation {
                message: [target("alias"), self.there()].into_iter().chain(self.said_by_all()).collect(),
                fix: vec![target("replace_or_publish")],
            },
            Code::CnameLoop => {
                let too_long = self.case.seen.failure == Some(ProbeFailure::AliasTooLong);
                let phrase = say(if too_long { "alias_long" } else { "alias_loop" });
                let phrase = phrase.with("length", self.case.seen.aliases.len());
                let names = self.case.seen.aliases.iter();
                let names = names.map(|alias| say("value").with("text", named(alias))).collect();
                let message = vec![phrase.list("chain", names, CHAIN)];
                Explanation { message, fix: vec![say("replace_alias")] }
            }
            _ => self.moved(),
        }
    }

    /// A TXT record stands beside a CNAME.
    fn beside(&self) -> Explanation {
        let beside = &self.case.seen.beside_alias;
        let values = self.case.wanted.nearest_first(beside.iter().map(Vec::as_slice));
        // Of a chain it is not known which name it is.
        let one = self.case.seen.aliases.len() == 1;
        let phrase = say(if one { "beside_alias" } else { "beside_alias_somewhere" });
        let phrase = phrase.maybe("target", self.end()).values(&values);
        let message = [phrase, self.there()].into_iter().chain(self.said_by_all()).collect();
        let right = values.contains(&self.case.wanted.value);
        let ask = say("ask_about_alias").maybe("target", self.end());
        Explanation { message, fix: vec![say(if right { "keep_txt" } else { "change_txt" }), ask] }
    }

    /// A wildcard record makes the name an alias, and no record of its own stands at it (RFC 4592 §2.2.3).
    fn of_wildcard(&self) -> Explanation {
        let alias = say("wildcard_alias").with("wildcard", self.wildcard_name());
        let message = [alias, self.there()].into_iter().chain(self.said_by_all()).collect();
        Explanation { message, fix: vec![say("add"), say("keep_wildcard")] }
    }

    /// What stands at the end of the aliases.
    fn there(&self) -> Phrase {
        let values = self.seen_values();
        match values.len() {
            0 => say("there_none"),
            1 => say("there_one").values(&values),
            count => say("there_others").with("count", count).values(&values),
        }
    }

    /// The value was entered as the target of a CNAME.
    fn typed_as_target(&self) -> Option<Explanation> {
        let aliases = &self.case.seen.aliases;
        let at = aliases.iter().position(|alias| self.case.wanted.is_name(alias))?;
        let owner = at.checked_sub(1).map(|before| named(&aliases[before]));
        let fix = match &owner {
            None => say("replace_alias"),
            Some(owner) => say("replace_alias_at").with("owner", owner),
        };
        let owner = owner.or_else(|| self.common().remove("record"));
        let typed = say("typed_target").maybe("owner", owner).with("typed", named(&aliases[at]));
        Some(Explanation { message: and(typed, self.said_by_all()), fix: vec![fix] })
    }

    fn moved(&self) -> Explanation {
        let dname = self.case.seen.dname.as_ref();
        let target = |key: &str| say(key).maybe("target", dname.map(|dname| named(&dname.target)));
        let moved = target("dname").maybe("above", dname.map(|dname| named(&dname.owner)));
        let message = [moved, self.there()].into_iter().chain(self.said_by_all()).collect();
        Explanation { message, fix: vec![target("publish_behind_dname")] }
    }
}
