//! What the tenant has to change: the record, its place, its value, the zone around it.
use super::super::tally::{Tally, said};
use super::{Sentences, Words, listed, result};
use crate::diagnosis::Code;
use crate::foreign::{ede_text, named, printable, verbatim};
use crate::{AliasOrigin, ProbeFailure, Reply, ServerAnswer, Signatures};

impl Words<'_> {
    /// The value, or a record that can only be meant for us, at another place.
    pub(super) fn elsewhere(&self, code: Code, name: &str, values: &[Vec<u8>]) -> Sentences {
        let found = format!("`{}`", named(name));
        let exact = values.iter().any(|value| value == self.case.wanted.value);
        let ours = values.iter().any(|value| self.case.wanted.is_meant(value));
        let (record, value) = (self.record(), self.value());
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let what = if exact {
            format!(
                "The expected value {value} stands at {found}, but it has to stand at {record}, where it does not."
            )
        } else if ours {
            format!(
                "A value that is nearly right stands at {found}: {}. Expected is {value}, at {record}, where it does not stand.",
                Self::quoted(values.get(..1).unwrap_or_default())
            )
        } else {
            format!(
                "A TXT record stands at {found}: {}. Expected is {value}, at {record}, which has no TXT record.",
                Self::quoted(&values)
            )
        };
        let alias = if self.case.seen.aliases.is_empty() {
            String::new()
        } else {
            format!("If nobody needs the CNAME record at {record}: delete it, and no other. Then continue. ")
        };
        let mend = match (code, self.relative()) {
            (Code::DoubledZone, relative) => {
                let name = relative.map_or_else(
                    || {
                        format!(
                            "so that it becomes {record}: your editor appends the domain's own name by itself"
                        )
                    },
                    |relative| format!("to {relative}: your editor appends {} by itself", self.zone()),
                );
                let set =
                    if exact { String::new() } else { format!(" Change its value to exactly {value}.") };
                format!("Change the name of the TXT record {name}.{set}")
            }
            // Other records stand at such a name, on which mail may depend: the wrong one is told by its value.
            _ => {
                let shown = if code == Code::AtApex { " (shown as `@` or as empty)" } else { "" };
                format!(
                    "{} You can then delete the TXT record at {found}{shown} that has the value {}. Leave the others there.",
                    self.add(),
                    Self::quoted(values.get(..1).unwrap_or_default())
                )
            }
        };
        (format!("{what}{}", self.said_by_all()), format!("{alias}{mend}"))
    }

    /// Everything else that waits for the tenant.
    pub(super) fn of_record(&self, code: Code) -> Sentences {
        let place = self.place();
        match code {
            Code::NoTxtAtName => {
                let has = match self.other_types() {
                    Some(types) => format!("{place} exists, but has no TXT record (it has: {types})."),
                    None => format!("There is no TXT record at {place}."),
                };
                (format!("{has}{}", self.said_by_all()), self.add_or_wait())
            }
            Code::WrongValue => self.wrong_value(),
            Code::WildcardAnswer => self.wildcard(),
            Code::CnameDangling | Code::CnameElsewhere | Code::CnameLoop | Code::Dname => self.of_alias(code),
            Code::NotDelegated => self.not_delegated(),
            Code::OversizeAnswer => {
                let values = self.seen_values();
                (
                    format!(
                        "There are {} TXT records at {place}. None has the expected value {}. Some of them: {}.{}",
                        values.len(),
                        self.value(),
                        Self::quoted(values.get(..super::VALUES).unwrap_or(&values)),
                        self.said_by_all()
                    ),
                    format!("{} The other TXT records may stay.", self.add()),
                )
            }
            Code::BlockedAddress => (
                format!(
                    "The name servers of {} have only addresses that are not public: {}. Such addresses are not asked.",
                    self.zone(),
                    listed(self.case.seen.servers.iter().map(result))
                ),
                format!(
                    "Ask your DNS provider which name servers with public addresses the registrar has to list for {}. At the registrar, \
                     enter exactly those.",
                    self.zone()
                ),
            ),
            Code::DnssecBogus => self.bogus(),
            _ => (format!("No record exists at {place}.{}", self.said_by_all()), self.add_or_wait()),
        }
    }

    /// What to do where nothing was found.
    fn add_or_wait(&self) -> String {
        format!(
            "{} If you have added it already: it can take some minutes to appear. The record has to be at the provider that runs the \
             name servers named in this message.",
            self.add()
        )
    }

    fn wrong_value(&self) -> Sentences {
        let (place, value, values) = (self.place(), self.value(), self.seen_values());
        let what = match values.len() {
            1 => format!(
                "The TXT record at {place} has the value {}, expected is {value}.",
                Self::quoted(&values)
            ),
            count => format!(
                "{count} TXT records stand at {place}, and none has the expected value {value}: {}.",
                Self::quoted(&values)
            ),
        };
        let who = self.said_by(|said| !said.values.is_empty());
        (format!("{what}{who}"), format!("{} Other TXT records at the name may stay.", self.add()))
    }

    /// The wildcard record nearest to the name.
    pub(super) fn wildcard_name(&self) -> String {
        let parent = self.case.challenge.record_name.split_once('.').map_or("", |(_, parent)| parent);
        format!("`*.{}`", verbatim(parent, super::OWN))
    }

    fn wildcard(&self) -> Sentences {
        let wildcard = self.wildcard_name();
        let shown = Tally::of(&self.case.seen.servers, self.case.wanted.value).shown;
        if let (AliasOrigin::Wildcard, Some(end)) = (self.case.seen.findings.alias_origin, self.end()) {
            return self.wildcard_alias(&wildcard, &end);
        }
        let value = self.value();
        let expected = if shown {
            format!("The expected value {value} is among them, but it needs")
        } else {
            format!("None of them is the expected value {value}, which needs")
        };
        (
            format!(
                "{} has the same TXT values as a random name beside it: {}. They come from a wildcard record such as {wildcard}. \
                 {expected} a record of its own at this name.{}",
                self.record(),
                Self::quoted(&self.seen_values()),
                self.said_by_all()
            ),
            format!("{} The wildcard record may stay.", self.add()),
        )
    }

    /// The value stands where a wildcard alias leads.
    fn wildcard_alias(&self, wildcard: &str, end: &str) -> Sentences {
        (
            format!(
                "{} is an alias of {end}, as a random name beside it is: that comes from a wildcard record such as {wildcard}. The \
                 expected value {} stands at {end}, but it needs a record of its own at this name.{}",
                self.record(),
                self.value(),
                self.said_by_all()
            ),
            format!("{} The wildcard record may stay.", self.add()),
        )
    }

    fn not_delegated(&self) -> Sentences {
        let parent = match &self.case.seen.failure {
            Some(ProbeFailure::NotDelegated(parent)) => parent.trim_end_matches('.'),
            _ => "",
        };
        let missing = format!("`{}`", named(below(&self.case.challenge.record_name, parent)));
        let parent = match parent {
            "" => "the root zone".to_owned(),
            parent => format!("the zone `{}`", named(parent)),
        };
        (
            format!(
                "{missing} is not in {parent}. Usually such a domain is not registered, has expired, or is on hold.{}",
                self.said_by_all()
            ),
            format!(
                "Check the spelling of {missing}. If it is wrong, claim the right name. If it is right, register or renew the domain, or ask \
                 its registrar why it is not in the DNS."
            ),
        )
    }

    fn bogus(&self) -> Sentences {
        let validation = self.case.seen.confirmation.validation.as_ref();
        let why = validation.and_then(|v| Some((v.ede.as_ref()?, ede_text(v)))).map_or_else(
            || "the signatures are broken or missing".to_owned(),
            |(ede, text)| match text {
                None => super::ede_name(ede.code),
                Some(text) => format!("{} (\"{text}\")", super::ede_name(ede.code)),
            },
        );
        let by = match validation.map(|v| v.by.as_str()) {
            None | Some(super::super::confirm::OURSELVES) => String::new(),
            Some(by) => format!(" Checked by the resolver {}.", printable(by.as_bytes())),
        };
        let shown = self.case.seen.servers.iter().filter_map(said).any(|s| s.shows(self.case.wanted.value));
        let record = if shown {
            "The record stands there, but does not count before this is repaired."
        } else {
            "No answer counts before this is repaired."
        };
        let signed = |of: &[Signatures]| {
            let signatures = |answer: &&ServerAnswer| match &answer.reply {
                Reply::Message { signatures, .. } => of.contains(signatures),
                _ => false,
            };
            self.case.seen.servers.iter().filter(signatures).collect::<Vec<_>>()
        };
        let outdated = signed(&[Signatures::Expired, Signatures::NotYetValid]);
        let outdated = if outdated.is_empty() {
            String::new()
        } else {
            format!(" Name servers with such signatures: {}.", Self::names(outdated))
        };
        // To unsign a zone does harm where only some copies of it are broken.
        let unsign = if signed(&[Signatures::Current]).is_empty() {
            " Delete the DS record at the registrar only if your DNS provider tells you to."
        } else {
            ""
        };
        let zone = self.zone();
        (
            format!("DNSSEC validation fails at {}: {why}.{outdated} {record}{by}", self.place()),
            format!(
                "Ask the DNS provider of {zone} to repair DNSSEC: to sign the zone again, and to check that all of its name servers \
                 have the new signatures.{unsign}"
            ),
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
