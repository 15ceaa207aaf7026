//! The name is an alias: where that leads, and what to put in its place.
use super::{Sentences, Words, listed};
use crate::ProbeFailure;
use crate::diagnosis::Code;
use crate::foreign::named;

/// Names of a chain that are shown.
const CHAIN: usize = 4;

impl Words<'_> {
    pub(super) fn of_alias(&self, code: Code) -> Sentences {
        let record = self.record();
        let end = self.end().unwrap_or_else(|| "another name".to_owned());
        let named = matches!(code, Code::CnameDangling | Code::CnameElsewhere);
        if let Some(typed) = named.then(|| self.typed_as_target()).flatten() {
            return typed;
        }
        match code {
            Code::CnameDangling => (
                format!(
                    "{record} is a CNAME record (an alias) that points to {end}, and no such name exists.{}{}",
                    self.beside(),
                    self.said_by_all()
                ),
                format!("{} {}", self.replace_alias(), Self::publish_at(&end)),
            ),
            Code::CnameElsewhere => (
                format!(
                    "{record} is a CNAME record (an alias) that points to {end}. {}{}{}",
                    self.there(),
                    self.beside(),
                    self.said_by_all()
                ),
                format!("{} {}", self.replace_alias(), Self::publish_at(&end)),
            ),
            Code::CnameLoop => {
                let length = self.case.seen.aliases.len();
                let message = if self.case.seen.failure == Some(ProbeFailure::AliasTooLong) {
                    format!(
                        "Too many CNAME records (aliases) follow each other from {record} on, {length}: {}.",
                        self.chain()
                    )
                } else {
                    format!(
                        "The CNAME records (aliases) from {record} on lead in a circle: {}.",
                        self.chain()
                    )
                };
                (message, self.replace_alias())
            }
            _ => self.moved(&end),
        }
    }

    /// What stands at the end of the aliases.
    fn there(&self) -> String {
        let (values, value) = (self.seen_values(), self.value());
        match values.len() {
            0 => "That name has no TXT record.".to_owned(),
            1 => {
                format!("The TXT record there has the value {}, expected is {value}.", Self::quoted(&values))
            }
            count => format!(
                "None of the {count} TXT records there has the expected value {value}: {}.",
                Self::quoted(&values)
            ),
        }
    }

    /// A TXT record beside the CNAME: whoever asks a resolver sees what the CNAME points to, and not that.
    fn beside(&self) -> String {
        let beside = &self.case.seen.beside_alias;
        if beside.is_empty() {
            return String::new();
        }
        let which = if beside.iter().any(|value| value == self.case.wanted.value) {
            "the TXT record with the expected value"
        } else {
            "a TXT record"
        };
        format!(
            " The CNAME record stands beside {which} and hides it: no other record may stand beside a CNAME (RFC 1034 3.6.2)."
        )
    }

    /// What to do with a CNAME that stands where the record belongs: nothing else may stand beside it (RFC 1034 §3.6.2).
    fn replace_alias(&self) -> String {
        let (record, name, value) = (self.record(), self.name_to_enter(), self.value());
        format!(
            "Delete the CNAME record at {record}. Then add a record: type TXT, name {name}, value {value}."
        )
    }

    /// For those who have the alias on purpose.
    fn publish_at(end: &str) -> String {
        format!("If the CNAME record is there on purpose, keep it and add the TXT record at {end} instead.")
    }

    /// The value was entered as the target of a CNAME.
    fn typed_as_target(&self) -> Option<Sentences> {
        let aliases = &self.case.seen.aliases;
        let at = aliases.iter().position(|alias| self.case.wanted.is_name(alias))?;
        let (target, value) = (named(&aliases[at]), self.value());
        let (owner, fix) = match at.checked_sub(1) {
            None => (self.record(), self.replace_alias()),
            Some(before) => {
                let owner = format!("`{}`", named(&aliases[before]));
                let fix = format!(
                    "Delete the CNAME record at {owner}. Then add a record: type TXT, name {owner}, value {value}."
                );
                (owner, fix)
            }
        };
        let message = format!(
            "The CNAME record at {owner} points to `{target}`. This is the value: publish it as TXT. Expected is a TXT record at \
             {owner} with the value {value}.{}",
            self.said_by_all()
        );
        Some((message, fix))
    }

    /// `a -> b -> c`
    fn chain(&self) -> String {
        let aliases = &self.case.seen.aliases;
        let shown = aliases.iter().take(CHAIN).map(|alias| format!("`{}`", named(alias)));
        let more = if aliases.len() > CHAIN { " -> ..." } else { "" };
        let chain = std::iter::once(self.record()).chain(shown).collect::<Vec<_>>().join(" -> ");
        format!("{chain}{more}")
    }

    fn moved(&self, end: &str) -> Sentences {
        let dname = self.case.seen.dname.as_ref();
        let name = |name: Option<&String>, or: &str| {
            name.map_or_else(|| or.to_owned(), |name| format!("`{}`", named(name)))
        };
        let owner = name(dname.map(|d| &d.owner), "a name above");
        let target = name(dname.map(|d| &d.target), "another name");
        (
            format!(
                "A DNAME record at {owner} moves every name below it to {target}, so that {} is looked up at {end}. {}{}",
                self.record(),
                self.there(),
                self.said_by_all()
            ),
            format!(
                "At the DNS provider of {target}, add a record: type TXT, name {end}, value {}.",
                self.value()
            ),
        )
    }

    /// Who else stands at the name.
    pub(super) fn other_types(&self) -> Option<String> {
        let types = &self.case.seen.findings.other_types;
        (!types.is_empty()).then(|| listed(types.iter().map(|of| named(of))))
    }
}
