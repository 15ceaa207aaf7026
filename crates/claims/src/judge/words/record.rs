//! What the tenant has to change: the record, its place, its value, the zone around it.
use super::super::compare::{Flaw, mark_of, name_of};
use super::super::tally::said;
use super::{Sentences, Words, listed, result};
use crate::ProbeFailure;
use crate::diagnosis::Code;
use crate::evidence::{ede_text, escaped, printable};

impl Words<'_> {
    /// A value at the name that is nearly right.
    pub(super) fn near(&self, flaw: &Flaw) -> Sentences {
        let (place, value) = (self.place(), self.value());
        let exactly = format!("Set the value to exactly {value}.");
        let (what, fix) = match flaw {
            Flaw::Split { first } => (
                format!(
                    "The value stands at {place} in two TXT records, one with its first {first} characters and one with the rest."
                ),
                format!("Make them one TXT record with the value {value}: records are never joined."),
            ),
            Flaw::Quoted(mark) => (
                format!("The value at {place} is right but for {} that are part of it.", mark_of(*mark)),
                format!("Enter the value without any quotation marks: {value}."),
            ),
            Flaw::Space { what, place: at } => (
                format!(
                    "The value at {place} is right but for {} at position {at}, which does not belong there.",
                    name_of(*what)
                ),
                format!("Enter the value again without it, best as plain text: {value}."),
            ),
            Flaw::SpaceMissing { place: at } => (
                format!("The value at {place} is right but for a space that is missing at position {at}."),
                exactly,
            ),
            Flaw::Case => (
                format!("The value at {place} differs from the expected one only in upper and lower case."),
                format!("Enter the value in exactly these letters: {value}."),
            ),
            Flaw::Doubled { times } => (
                format!("The value stands at {place} {} within one TXT record.", often(*times)),
                format!("Enter the value once: {value}."),
            ),
            Flaw::TokenDoubled { times } => (
                format!(
                    "The random part of the value stands at {place} {} within one TXT record.",
                    often(*times)
                ),
                format!("Enter the value once: {value}."),
            ),
            Flaw::Earlier(issued_at) => (
                format!(
                    "The value at {place} is that of an earlier claim of yours, handed out on {}.",
                    issued_at.format("%Y-%m-%d")
                ),
                format!("Replace it with the value of this claim: {value}."),
            ),
            Flaw::Truncated { kept, beginning } => {
                let part = if *beginning {
                    format!("only the first {kept} of its {} characters", self.value_length())
                } else {
                    format!("only {kept} of its {} characters, without the beginning,", self.value_length())
                };
                (
                    format!("The value at {place} is cut off: {part} stand there."),
                    format!("Enter the whole value: {value}."),
                )
            }
            other => (self.beginning(other, &place), exactly),
        };
        (format!("{what}{}", self.asked()), fix)
    }

    fn beginning(&self, flaw: &Flaw, place: &str) -> String {
        let prefix = format!("`{}`", escaped(self.case.wanted.prefix().as_bytes(), super::OWN));
        match flaw {
            Flaw::OnlyToken => {
                format!("The value at {place} has only the random part; {prefix} before it is missing.")
            }
            Flaw::PrefixTwice => format!("The value at {place} begins with {prefix} more than once."),
            Flaw::NamePasted => {
                format!("The value at {place} has the record's name in it, which is not part of the value.")
            }
            _ => format!("The value at {place} has the right random part, but not {prefix} before it."),
        }
    }

    /// The value, or a record that can only be meant for us, at another place.
    pub(super) fn elsewhere(&self, code: Code, name: &str, values: &[Vec<u8>]) -> Sentences {
        let found = format!("`{}`", printable(name.as_bytes()));
        let ours = values.iter().any(|value| self.case.wanted.is_misspelt(value));
        let record = self.record();
        let message = match (ours, code) {
            (false, _) => format!(
                "A TXT record with another value was found at {found}, and none at {record}.{}",
                self.asked()
            ),
            (true, _) => format!("Found at {found}; it belongs at {record}.{}", self.asked()),
        };
        let alias = if self.case.seen.aliases.is_empty() {
            ""
        } else {
            " Remove the CNAME that stands at this name."
        };
        let exact = values.iter().any(|value| value == self.case.wanted.value);
        let value =
            if exact { String::new() } else { format!(" Set its value to exactly {}.", self.value()) };
        let fix = match (code, self.relative()) {
            (Code::DoubledZone, Some(relative)) => {
                format!(
                    "Your DNS editor appends the zone by itself: enter only {relative} as the record's name."
                )
            }
            (Code::DoubledZone, None) => {
                format!(
                    "Your DNS editor appends the zone by itself: enter the name without it, so that it becomes {record}."
                )
            }
            (_, Some(relative)) => format!(
                "Move the TXT record to {record}: in an editor that appends the zone by itself its name is {relative}."
            ),
            (_, None) => format!("Move the TXT record to {record}."),
        };
        (message, format!("{fix}{value}{alias}"))
    }

    /// Everything else that waits for the tenant.
    pub(super) fn of_record(&self, code: Code) -> Sentences {
        let (place, record) = (self.place(), self.record());
        let asked = self.asked();
        match code {
            Code::NoTxtAtName => {
                let types = &self.case.seen.findings.other_types;
                let types: Vec<String> = types.iter().map(|t| printable(t.as_bytes())).collect();
                let has = if types.is_empty() {
                    "exists, by other records or by names below it, but has no TXT record".to_owned()
                } else {
                    format!("exists but has no TXT record (it has: {})", listed(&types))
                };
                (format!("{place} {has}.{asked}"), self.add())
            }
            Code::WrongValue => (
                format!("TXT records stand at {place}, and none has the expected value.{asked}"),
                format!("Set the value to exactly {}; other TXT records at the name may stay.", self.value()),
            ),
            Code::WildcardAnswer => {
                let parent = self.case.challenge.record_name.split_once('.').map_or("", |(_, parent)| parent);
                let wildcard = format!("`*.{}`", escaped(parent.as_bytes(), super::OWN));
                (
                    format!(
                        "The answer for {record} comes from a wildcard such as {wildcard}; no record exists at the exact name.{asked}"
                    ),
                    format!("{} The wildcard may stay.", self.add()),
                )
            }
            Code::CnameDangling | Code::CnameElsewhere | Code::CnameLoop | Code::Dname => self.of_alias(code),
            Code::NotDelegated => self.not_delegated(),
            Code::OversizeAnswer => (
                format!("More TXT records, or longer ones, stand at {place} than are read.{asked}"),
                format!("Remove old TXT records at {record}, and keep {}.", self.value()),
            ),
            Code::BlockedAddress => (
                format!(
                    "The name servers of {} have only addresses that are not public, which are not asked: {}.",
                    self.zone(),
                    listed(&self.case.seen.servers.iter().map(result).collect::<Vec<_>>())
                ),
                "Delegate the domain to name servers with public addresses.".to_owned(),
            ),
            Code::DnssecBogus => self.bogus(),
            _ => (format!("No record exists at {place}.{asked}"), self.add()),
        }
    }

    /// `a -> b -> c`
    fn chain(&self) -> String {
        let aliases = &self.case.seen.aliases;
        let shown = aliases.iter().take(4).map(|alias| format!("`{}`", printable(alias.as_bytes())));
        let more = if aliases.len() > 4 { " -> ..." } else { "" };
        let chain = std::iter::once(self.record()).chain(shown).collect::<Vec<_>>().join(" -> ");
        format!("{chain}{more}")
    }

    fn of_alias(&self, code: Code) -> Sentences {
        let (record, asked) = (self.record(), self.asked());
        let end = self.end().unwrap_or_else(|| "another name".to_owned());
        let instead = format!(
            "Remove the CNAME at {record} and add there a TXT record with the value {}",
            self.value()
        );
        match code {
            Code::CnameDangling => (
                format!("{record} is an alias of {end}, and that name does not exist.{asked}"),
                format!("{instead}, or publish that record at {end}."),
            ),
            Code::CnameElsewhere => {
                let count = self.seen_values().len();
                let there = if count == 0 {
                    "no TXT record stands there"
                } else {
                    "no TXT record there has the expected value"
                };
                (
                    format!("{record} is an alias of {end}; {there}.{asked}"),
                    format!("{instead}, or publish that record at {end}."),
                )
            }
            Code::CnameLoop => {
                let length = self.case.seen.aliases.len();
                let message = if self.case.seen.failure == Some(ProbeFailure::AliasTooLong) {
                    format!(
                        "The aliases from {record} are more than are followed ({length}): {}.",
                        self.chain()
                    )
                } else {
                    format!("The aliases from {record} lead in a circle: {}.", self.chain())
                };
                (message, format!("{instead}."))
            }
            _ => {
                let dname = self.case.seen.dname.as_ref();
                let owner = dname.map_or_else(
                    || "a name above".to_owned(),
                    |d| format!("`{}`", printable(d.owner.as_bytes())),
                );
                let target = dname.map_or_else(
                    || "another name".to_owned(),
                    |d| format!("`{}`", printable(d.target.as_bytes())),
                );
                (
                    format!(
                        "A DNAME at {owner} moves every name below it to {target}, so that {record} is looked for at {end}, and no matching TXT record stands there.{asked}"
                    ),
                    format!("Publish the TXT record at {end}, with the value {}.", self.value()),
                )
            }
        }
    }

    fn not_delegated(&self) -> Sentences {
        let parent = match &self.case.seen.failure {
            Some(ProbeFailure::NotDelegated(parent)) => parent.trim_end_matches('.'),
            _ => "",
        };
        let missing = below(&self.case.challenge.record_name, parent);
        let parent = match parent {
            "" => "the root zone".to_owned(),
            parent => format!("the zone `{}`", printable(parent.as_bytes())),
        };
        (
            format!(
                "`{}` is not in {parent}: it is not registered, has expired, or is on hold.{}",
                printable(missing.as_bytes()),
                self.asked()
            ),
            "Register or renew the domain, or ask the registrar why it is not in the DNS.".to_owned(),
        )
    }

    fn bogus(&self) -> Sentences {
        let validation = self.case.seen.confirmation.validation.as_ref();
        let why = validation.and_then(|v| v.ede.as_ref()).map_or_else(
            || "the signatures are broken or missing".to_owned(),
            |ede| match ede_text(ede) {
                text if text.is_empty() => super::ede_name(ede.code),
                text => format!("{} (\"{text}\")", super::ede_name(ede.code)),
            },
        );
        let by = match validation.map(|v| v.by.as_str()) {
            None | Some(super::super::confirm::OURSELVES) => String::new(),
            Some(by) => format!(" Validated by: {}.", printable(by.as_bytes())),
        };
        let shown = self.case.seen.servers.iter().filter_map(said).any(|s| s.shows(self.case.wanted.value));
        let record = if shown {
            "The record stands there, but cannot be accepted"
        } else {
            "Nothing there can be accepted"
        };
        (
            format!("DNSSEC is broken at {}: {why}. {record} before that is mended.{by}", self.place()),
            "Have the zone signed anew at the DNS host, or remove the DS record at the registrar.".to_owned(),
        )
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

/// `twice`, `3 times`
fn often(times: usize) -> String {
    if times == 2 { "twice".to_owned() } else { format!("{times} times") }
}
