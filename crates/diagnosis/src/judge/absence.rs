//! Finds the cause of an absence that authoritative servers report. The order of servers and records has no influence.
use std::collections::BTreeSet;

use super::compare::{Candidate, Flaw, fully_folded};
use super::judgement::{Cause, Judgement, NearMatch};
use super::tally::CountedAnswer;
use crate::diagnosis::Code;
use crate::{Elsewhere, Place, Security, Statement};

/// Places where records are put by mistake, the likeliest mistake first.
const PLACES_BY_LIKELIHOOD: [Place; 3] = [Place::DoubledZone, Place::Apex, Place::ParentLabel];

impl Judgement<'_> {
    /// The one cause when servers answer and none shows the value.
    pub(super) fn absence_cause(&self) -> Cause {
        let counted: Vec<CountedAnswer<'_>> =
            self.observation.servers.iter().filter_map(CountedAnswer::of).collect();
        if self.observation.confirmation.validation.as_ref().is_some_and(|v| v.security == Security::Bogus) {
            return Code::DnssecBogus.into();
        }
        let values = distinct_values(&counted);
        self.at_other_place(|value| value == self.expected.value)
            .or_else(|| self.near_match(&counted, &values))
            .or_else(|| self.at_other_place(|value| self.expected.is_meant_for_claim(value)))
            .or_else(|| self.any_at_doubled_name(&values))
            .unwrap_or_else(|| self.unrelated(&counted, &values))
    }

    /// The likeliest place with a value that fits and does not come from a wildcard.
    fn at_other_place(&self, fits: impl Fn(&[u8]) -> bool) -> Option<Cause> {
        let own = |found: &Elsewhere, value: &Vec<u8>| !found.control.contains(value) && fits(value);
        PLACES_BY_LIKELIHOOD.iter().find_map(|place| {
            let of_place = |found: &&Elsewhere| found.place == *place;
            let found = self.observation.findings.elsewhere.iter().filter(of_place);
            found
                .filter(|found| found.values.iter().any(|value| own(found, value)))
                .min_by_key(|found| canonical(found))
                .map(|found| self.elsewhere(found))
        })
    }

    /// A record at the doubled name, which is a mistake whatever its value.
    fn any_at_doubled_name(&self, values: &BTreeSet<&[u8]>) -> Option<Cause> {
        if !values.is_empty() {
            return None;
        }
        let own = |found: &&Elsewhere| found.values.iter().any(|value| !found.control.contains(value));
        let doubled = |found: &&Elsewhere| found.place == Place::DoubledZone;
        let found = self.observation.findings.elsewhere.iter().filter(doubled).filter(own);
        found.min_by_key(|found| canonical(found)).map(|found| self.elsewhere(found))
    }

    /// The value at the name that is nearest to the expected one.
    fn near_match(&self, counted: &[CountedAnswer<'_>], values: &BTreeSet<&[u8]>) -> Option<Cause> {
        if let Some([first, rest]) = counted.iter().filter_map(|s| self.expected.halves(s.values)).min() {
            let flaw = Flaw::Split { rest: rest.to_vec() };
            return Some(Cause::NearMatch(NearMatch { value: first.to_vec(), flaw }));
        }
        let earlier: Vec<_> =
            self.context.earlier.iter().map(|e| (fully_folded(e.value.as_bytes()), e.issued_at)).collect();
        let earlier = |candidate: &Candidate<'_>| {
            earlier
                .iter()
                .find(|(value, _)| candidate.equals_folded(value))
                .map(|(_, issued_at)| Flaw::Earlier(*issued_at))
        };
        self.nearest_match(values, |candidate| {
            self.expected
                .flaw(candidate)
                .or_else(|| earlier(candidate))
                .or_else(|| self.expected.loose_flaw(candidate))
        })
    }

    fn nearest_match(
        &self,
        values: &BTreeSet<&[u8]>,
        flaw: impl Fn(&Candidate<'_>) -> Option<Flaw>,
    ) -> Option<Cause> {
        let near = values.iter().filter_map(|value| Some((*value, flaw(&Candidate::of(value))?)));
        let length = self.expected.length();
        // Ties are broken by byte order.
        let (value, flaw) = near.min_by_key(|(value, flaw)| (flaw.nearness(length), *value))?;
        Some(Cause::NearMatch(NearMatch { value: value.to_vec(), flaw }))
    }

    /// No value was meant for this claim. Values of other claims are recognised only here: at the end of an alias or a
    /// wildcard they may be right.
    fn unrelated(&self, counted: &[CountedAnswer<'_>], values: &BTreeSet<&[u8]>) -> Cause {
        match self.plain_code(counted, values) {
            code @ (Code::WrongValue | Code::OversizeAnswer) => self
                .nearest_match(values, |candidate| self.expected.other_token(candidate))
                .unwrap_or(code.into()),
            code => code.into(),
        }
    }

    /// The code that follows from the kind of the answers alone.
    fn plain_code(&self, counted: &[CountedAnswer<'_>], values: &BTreeSet<&[u8]>) -> Code {
        let denied = counted.iter().all(|s| s.statement == Statement::NoName);
        let wildcard: BTreeSet<&[u8]> =
            self.observation.findings.wildcard.iter().map(Vec::as_slice).collect();
        if self.observation.dname.is_some() {
            Code::Dname
        } else if !self.observation.aliases.is_empty() {
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

    fn elsewhere(&self, found: &Elsewhere) -> Cause {
        let code = match found.place {
            Place::Apex => Code::AtApex,
            Place::ParentLabel => Code::AtParentLabel,
            Place::DoubledZone => Code::DoubledZone,
        };
        let own = found.values.iter().filter(|value| !found.control.contains(value));
        let mut values = self.expected.nearest_first(own.map(Vec::as_slice));
        values.sort_by_cached_key(|value| !self.expected.is_meant_for_claim(value));
        let values = values.into_iter().map(<[u8]>::to_vec).collect();
        Cause::Elsewhere { code, name: found.name.clone(), values }
    }
}

/// The different values in these answers.
pub(super) fn distinct_values<'a>(counted: &[CountedAnswer<'a>]) -> BTreeSet<&'a [u8]> {
    counted.iter().flat_map(|s| s.values).map(Vec::as_slice).collect()
}

/// The order of findings, which does not depend on that of questions or records.
fn canonical(found: &Elsewhere) -> (&str, Vec<&[u8]>, Vec<&[u8]>) {
    let mut values: Vec<&[u8]> = found.values.iter().map(Vec::as_slice).collect();
    values.sort_unstable();
    let mut control: Vec<&[u8]> = found.control.iter().map(Vec::as_slice).collect();
    control.sort_unstable();
    (&found.name, values, control)
}
