//! Why a record is not there, when servers that know say so.
use super::compare::Flaw;
use super::tally::{Said, said};
use super::{Case, Cause, Near};
use crate::diagnosis::Code;
use crate::{Elsewhere, Place, Security, Statement};

/// Values of one record set that are looked at; more make the answer too big anyway.
const VALUES: usize = 64;

/// Which mistake is the likeliest where several places have the value.
const PLACES: [Place; 3] = [Place::DoubledZone, Place::Apex, Place::ParentLabel];

impl Case<'_> {
    /// The one cause when servers answer and none shows the value.
    pub(super) fn absence(&self) -> Cause {
        let counted: Vec<Said<'_>> = self.seen.servers.iter().filter_map(said).collect();
        if self.seen.confirmation.validation.as_ref().is_some_and(|v| v.security == Security::Bogus) {
            return Code::DnssecBogus.into();
        }
        if counted.iter().any(|s| s.oversize) {
            return Code::OversizeAnswer.into();
        }
        let values = distinct(&counted);
        self.elsewhere(|value| value == self.wanted.value)
            .or_else(|| self.near(&counted, &values))
            .or_else(|| self.elsewhere(|value| self.wanted.is_misspelt(value)))
            .or_else(|| self.stray(&values))
            .unwrap_or_else(|| self.plain(&counted, &values).into())
    }

    /// A place where a value is that fits, unless a wildcard puts it there.
    fn elsewhere(&self, fits: impl Fn(&[u8]) -> bool) -> Option<Cause> {
        let own = |found: &Elsewhere, value: &Vec<u8>| !found.control.contains(value) && fits(value);
        PLACES.iter().find_map(|place| {
            let of_place = |found: &&Elsewhere| found.place == *place;
            let mut found = self.seen.findings.elsewhere.iter().filter(of_place);
            found.find(|found| found.values.iter().any(|value| own(found, value))).map(here)
        })
    }

    /// A record at the doubled name: nobody makes one there but by mistake, whatever its value.
    fn stray(&self, values: &[&[u8]]) -> Option<Cause> {
        if !values.is_empty() {
            return None;
        }
        let own = |found: &&Elsewhere| found.values.iter().any(|value| !found.control.contains(value));
        let doubled = |found: &&Elsewhere| found.place == Place::DoubledZone;
        self.seen.findings.elsewhere.iter().filter(doubled).find(own).map(here)
    }

    /// A value at the name that is nearly right: the one that says most.
    fn near(&self, counted: &[Said<'_>], values: &[&[u8]]) -> Option<Cause> {
        let joined = counted.iter().find_map(|s| self.wanted.joined(s.values));
        if let Some(flaw) = joined {
            return Some(Cause::Near(Near { value: vec![], flaw }));
        }
        let near = values.iter().take(VALUES).filter_map(|value| {
            let flaw = self.wanted.flaw(value).or_else(|| self.earlier(value))?;
            Some(Near { value: value.to_vec(), flaw })
        });
        near.min_by_key(|near| near.flaw.rank()).map(Cause::Near)
    }

    fn earlier(&self, value: &[u8]) -> Option<Flaw> {
        let mut earlier = self.context.earlier.iter();
        let found = earlier.find(|e| self.wanted.is_same_but_form(value, e.value.as_bytes()))?;
        Some(Flaw::Earlier(found.issued_at))
    }

    fn plain(&self, counted: &[Said<'_>], values: &[&[u8]]) -> Code {
        let denied = counted.iter().all(|s| s.statement == Statement::NoName);
        if self.seen.dname.is_some() {
            Code::Dname
        } else if !self.seen.aliases.is_empty() {
            if denied && values.is_empty() { Code::CnameDangling } else { Code::CnameElsewhere }
        } else if values.is_empty() {
            if denied { Code::RecordNotFound } else { Code::NoTxtAtName }
        } else if values.iter().all(|value| self.seen.findings.wildcard.iter().any(|w| w == value)) {
            Code::WildcardAnswer
        } else {
            Code::WrongValue
        }
    }
}

fn here(found: &Elsewhere) -> Cause {
    let code = match found.place {
        Place::Apex => Code::AtApex,
        Place::ParentLabel => Code::AtParentLabel,
        Place::DoubledZone => Code::DoubledZone,
    };
    Cause::Elsewhere { code, name: found.name.clone(), values: found.values.clone() }
}

/// Different values that servers gave.
pub(super) fn distinct<'a>(counted: &[Said<'a>]) -> Vec<&'a [u8]> {
    let mut values: Vec<&[u8]> = vec![];
    for value in counted.iter().flat_map(|s| s.values) {
        if values.len() < VALUES && !values.contains(&value.as_slice()) {
            values.push(value);
        }
    }
    values
}
