//! The properties: each examines the evidence and reports findings.
mod dns;
mod holders;
mod idle;
mod log;
mod promises;
mod published;
#[cfg(test)]
mod tests;
mod views;

use super::evidence::Evidence;
use super::payload::{ClaimEvent, is_about_claims};
use super::report::{Finding, PropertyVerdict, Report};

/// The number of items checked, and the findings.
pub(super) type PropertyResult = (usize, Vec<Finding>);

/// A property with its description and check.
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// The description.
    pub says: &'static str,
    check: fn(&ParsedEvidence<'_>) -> PropertyResult,
}

/// The evidence with its parsed events.
pub(super) struct ParsedEvidence<'a> {
    pub evidence: &'a Evidence,
    pub events: Vec<ClaimEvent<'a>>,
    pub unreadable: Vec<Finding>,
}

macro_rules! properties {
    ($($name:literal, $says:literal, $check:path;)+) => {
        /// All properties, in the order of the report.
        pub const PROPERTIES: &[Property] =
            &[$(Property { name: $name, says: $says, check: $check }),+];
    };
}

properties! {
    "positions", "positions of the log count from 1 without a gap", log::positions;
    "versions", "versions of every stream count from 1 without a gap", log::versions;
    "readable", "every event about claims can be read", log::readable;
    "order", "within a stream time does not run backwards, and nothing is written before it happened", log::order;
    "attempts", "an attempt of a claim is settled once, and attempts grow", log::attempts;
    "acknowledged-in-log", "what a client was told is in the log", promises::in_log;
    "acknowledged-in-views", "every claim that was acknowledged is in the lists", promises::in_views;
    "app-and-host", "the claim on a hostname and its app's part in it were written together", holders::app_and_host;
    "one-claim", "a holder has one open claim on a name at most", holders::one_open_claim;
    "one-holder", "a name has one holder at most, at every position of the log", holders::one_holder;
    "grant-proven", "a name is granted only to a claim that was verified before", holders::grant_proven;
    "verified-served", "what was verified had been served by the DNS, over UDP and over TCP", dns::verified_was_served;
    "transfer-absence", "a name moved only after the DNS had shown that the holder's record is gone", dns::transfer_after_absence;
    "published-verified", "every claim whose record was published is verified", dns::published_is_verified;
    "published-held", "every claim whose record stands has the name", dns::standing_is_held;
    "caught-up", "lists and relay have followed the log to its end", views::caught_up;
    "ownerships", "the folded state of every name is what our own fold gives", views::ownerships;
    "claims", "the list of claims is what our own fold gives", views::claims;
    "due-rows", "due work is what our own fold gives", views::due_rows;
    "rebuild", "a rebuild gives the same rows", views::rebuild;
    "announced", "every event of the log was published as it is, and nothing else was", published::announced;
    "due-work", "no due work is overdue", idle::due_work;
    "queues", "no message waits, none is dead", idle::queues;
}

/// Checks all properties.
pub fn check(evidence: &Evidence) -> Report {
    let (mut events, mut unreadable) = (vec![], vec![]);
    for row in evidence.log.iter().filter(|row| is_about_claims(row)) {
        match ClaimEvent::read(row) {
            Ok(event) => events.push(event),
            Err(finding) => unreadable.push(finding),
        }
    }
    let input = ParsedEvidence { evidence, events, unreadable };
    let verdict = |property: &Property| {
        let (checked, findings) = (property.check)(&input);
        PropertyVerdict::of(property.name, property.says, checked, findings)
    };
    Report::of(PROPERTIES.iter().map(verdict).collect())
}
