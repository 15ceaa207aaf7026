//! Why a record is not there, when servers that know say so. Nothing here depends on the order of servers or records.
use std::collections::BTreeSet;

use super::compare::{Flaw, Sample, bare};
use super::tally::{Said, said};
use super::{Case, Cause, Near};
use crate::diagnosis::Code;
use crate::{Elsewhere, Place, Security, Statement};

/// Which mistake is the likeliest where several places have the value.
const PLACES: [Place; 3] = [Place::DoubledZone, Place::Apex, Place::ParentLabel];

impl Case<'_> {
    /// The one cause when servers answer and none shows the value.
    pub(super) fn absence(&self) -> Cause {
        let counted: Vec<Said<'_>> = self.seen.servers.iter().filter_map(said).collect();
        if self.seen.confirmation.validation.as_ref().is_some_and(|v| v.security == Security::Bogus) {
            return Code::DnssecBogus.into();
        }
        let values = distinct(&counted);
        self.elsewhere(|value| value == self.wanted.value)
            .or_else(|| self.near(&counted, &values))
            .or_else(|| self.elsewhere(|value| self.wanted.is_meant(value)))
            .or_else(|| self.stray(&values))
            .unwrap_or_else(|| self.unmistaken(&counted, &values))
    }

    /// A place where a value is that fits, unless a wildcard puts it there.
    fn elsewhere(&self, fits: impl Fn(&[u8]) -> bool) -> Option<Cause> {
        let own = |found: &Elsewhere, value: &Vec<u8>| !found.control.contains(value) && fits(value);
        PLACES.iter().find_map(|place| {
            let of_place = |found: &&Elsewhere| found.place == *place;
            let found = self.seen.findings.elsewhere.iter().filter(of_place);
            found
                .filter(|found| found.values.iter().any(|value| own(found, value)))
                .min_by_key(|found| &found.name)
                .map(|found| self.here(found))
        })
    }

    /// A record at the doubled name: nobody makes one there but by mistake, whatever its value.
    fn stray(&self, values: &BTreeSet<&[u8]>) -> Option<Cause> {
        if !values.is_empty() {
            return None;
        }
        let own = |found: &&Elsewhere| found.values.iter().any(|value| !found.control.contains(value));
        let doubled = |found: &&Elsewhere| found.place == Place::DoubledZone;
        let strays = self.seen.findings.elsewhere.iter().filter(doubled).filter(own);
        strays.min_by_key(|found| &found.name).map(|found| self.here(found))
    }

    /// A value at the name that is nearly right: the one that is nearest.
    fn near(&self, counted: &[Said<'_>], values: &BTreeSet<&[u8]>) -> Option<Cause> {
        if let Some([first, rest]) = counted.iter().filter_map(|s| self.wanted.halves(s.values)).min() {
            let flaw = Flaw::Split { rest: rest.to_vec() };
            return Some(Cause::Near(Near { value: first.to_vec(), flaw }));
        }
        let earlier: Vec<_> =
            self.context.earlier.iter().map(|e| (bare(e.value.as_bytes()), e.issued_at)).collect();
        let earlier = |sample: &Sample<'_>| {
            earlier
                .iter()
                .find(|(value, _)| sample.is_but_form(value))
                .map(|(_, issued_at)| Flaw::Earlier(*issued_at))
        };
        self.nearest(values, |sample| {
            self.wanted.flaw(sample).or_else(|| earlier(sample)).or_else(|| self.wanted.imitation(sample))
        })
    }

    fn nearest(&self, values: &BTreeSet<&[u8]>, flaw: impl Fn(&Sample<'_>) -> Option<Flaw>) -> Option<Cause> {
        let near = values.iter().filter_map(|value| Some((*value, flaw(&Sample::of(value))?)));
        let length = self.wanted.length();
        // Of equally near ones the first by its bytes.
        let (value, flaw) = near.min_by_key(|(value, flaw)| (flaw.nearness(length), *value))?;
        Some(Cause::Near(Near { value: value.to_vec(), flaw }))
    }

    /// Nothing was meant for this claim. Values of other claims are recognised only here: they may rightly stand where an
    /// alias or a wildcard leads.
    fn unmistaken(&self, counted: &[Said<'_>], values: &BTreeSet<&[u8]>) -> Cause {
        match self.plain(counted, values) {
            code @ (Code::WrongValue | Code::OversizeAnswer) => {
                self.nearest(values, |sample| self.wanted.other_token(sample)).unwrap_or(code.into())
            }
            code => code.into(),
        }
    }

    fn plain(&self, counted: &[Said<'_>], values: &BTreeSet<&[u8]>) -> Code {
        let denied = counted.iter().all(|s| s.statement == Statement::NoName);
        let wildcard: BTreeSet<&[u8]> = self.seen.findings.wildcard.iter().map(Vec::as_slice).collect();
        if self.seen.dname.is_some() {
            Code::Dname
        } else if !self.seen.aliases.is_empty() {
            if denied && values.is_empty() { Code::CnameDangling } else { Code::CnameElsewhere }
        } else if counted.iter().any(|s| s.oversize) {
            Code::OversizeAnswer
        } else if !values.is_empty() && values.is_subset(&wildcard) {
            Code::WildcardAnswer
        } else if !values.is_empty() {
            Code::WrongValue
        } else if denied {
            Code::RecordNotFound
        } else {
            Code::NoTxtAtName
        }
    }

    fn here(&self, found: &Elsewhere) -> Cause {
        let code = match found.place {
            Place::Apex => Code::AtApex,
            Place::ParentLabel => Code::AtParentLabel,
            Place::DoubledZone => Code::DoubledZone,
        };
        let own = found.values.iter().filter(|value| !found.control.contains(value));
        let mut values = self.wanted.nearest_first(own.map(Vec::as_slice));
        values.sort_by_cached_key(|value| !self.wanted.is_meant(value));
        let values = values.into_iter().map(<[u8]>::to_vec).collect();
        Cause::Elsewhere { code, name: found.name.clone(), values }
    }
}

/// Different values that servers gave.
pub(super) fn distinct<'a>(counted: &[Said<'a>]) -> BTreeSet<&'a [u8]> {
    counted.iter().flat_map(|s| s.values).map(Vec::as_slice).collect()
}
