//! The name is an alias: where that leads, and what to put in its place.
use super::{Sentences, Words, listed};
use crate::diagnosis::Code;
use crate::foreign::named;
use crate::{AliasOrigin, ProbeFailure};

/// Names of a chain that are shown.
const CHAIN: usize = 4;

impl Words<'_> {
    pub(super) fn of_alias(&self, code: Code) -> Sentences {
        let record = self.record();
        let end = self.end().unwrap_or_else(|| "another name".to_owned());
        if matches!(code, Code::CnameDangling | Code::CnameElsewhere) {
            if let Some(typed) = self.typed_as_target() {
                return typed;
            }
            if self.case.seen.findings.alias_origin == AliasOrigin::Wildcard {
                return self.of_wildcard(&end);
            }
            if !self.case.seen.beside_alias.is_empty() {
                return self.beside(&end);
            }
        }
        match code {
            Code::CnameDangling => (
                format!(
                    "{record} is a CNAME record (an alias) that points to {end}, and no such name exists.{}",
                    self.said_by_all()
                ),
                self.replace_or_publish_at(&end),
            ),
            Code::CnameElsewhere => (
                format!(
                    "{record} is a CNAME record (an alias) that points to {end}. {}{}",
                    self.there(),
                    self.said_by_all()
                ),
                self.replace_or_publish_at(&end),
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

    /// A TXT record stands beside a CNAME.
    fn beside(&self, end: &str) -> Sentences {
        let beside = &self.case.seen.beside_alias;
        let values = self.case.wanted.nearest_first(beside.iter().map(Vec::as_slice));
        let (record, value) = (self.record(), self.value());
        // Of a chain it is not known which name it is.
        let owner = if self.case.seen.aliases.len() == 1 {
            record.clone()
        } else {
            format!("{record}, or a name that it is an alias of,")
        };
        let message = format!(
            "{owner} has a CNAME record (an alias) and beside it a TXT record: {}. Expected is {value}. Beside a CNAME record no other \
             record counts: {record} leads to {end}. {}{}",
            Self::quoted(&values),
            self.there(),
            self.said_by_all()
        );
        let txt = if values.contains(&self.case.wanted.value) {
            format!("Keep the TXT record with the value {value}.")
        } else {
            format!("Change the value of the TXT record to exactly {value}.")
        };
        let fix = format!(
            "{txt} Ask who set up the CNAME record that points to {end}: if it is not needed, delete this CNAME record, and no other."
        );
        (message, fix)
    }

    /// What stands at the end of the aliases.
    fn there(&self) -> String {
        let (values, value) = (self.seen_values(), self.value());
        match values.len() {
            0 => "No TXT record stands there.".to_owned(),
            1 => {
                format!("The TXT record there has the value {}, expected is {value}.", Self::quoted(&values))
            }
            count => format!(
                "None of the {count} TXT records there has the expected value {value}: {}.",
                Self::quoted(&values)
            ),
        }
    }

    /// What to do with a CNAME that stands where the record belongs: nothing else may stand beside it (RFC 1034 §3.6.2).
    fn replace_alias(&self) -> String {
        let (record, name, value) = (self.record(), self.name_to_enter(), self.value());
        format!(
            "Delete the CNAME record at {record}, and no other. Then add a record: type TXT, name {name}, value {value}."
        )
    }

    /// The same, unless somebody needs the alias.
    fn replace_or_publish_at(&self, end: &str) -> String {
        let (record, value) = (self.record(), self.value());
        format!(
            "If nobody needs the CNAME record at {record}: delete it, and no other. Then add a record: type TXT, name {}, value \
             {value}. If it is needed: keep it, and have a TXT record with this value added at {end}, by whoever manages that name.",
            self.name_to_enter()
        )
    }

    /// A wildcard record makes the name an alias, and no record of its own stands at it (RFC 4592 §2.2.3).
    fn of_wildcard(&self, end: &str) -> Sentences {
        (
            format!(
                "{} is an alias of {end}, as a random name beside it is: that comes from a wildcard record such as {}. {}{}",
                self.record(),
                self.wildcard_name(),
                self.there(),
                self.said_by_all()
            ),
            format!("{} Do not change the wildcard record.", self.add()),
        )
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
                    "Delete the CNAME record at {owner}, and no other. Then add a record: type TXT, name {owner}, value {value}."
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
                "In the DNS zone of {target}, add a record: type TXT, name {end} (without {target} in an editor that appends it), value \
                 {}. If others manage {target}, send them this message. Do not change the DNAME record.",
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
