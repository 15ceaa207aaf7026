//! One check: what is known of the claim and the present holder, the probes of their records, and the outcomes.
use std::time::Duration;

use deed_claims::{
    Challenge, Claim, ClaimId, ClaimState, Ownership, Scope,
    name::{ClaimableName, DomainName},
};
use deed_diagnosis::{Context, EarlierValue, Evidence, Observation, Outcome, ProbeFailure, judge_within};
use deed_probe::{Probe, Question, RoutingQuestion};

use crate::config::VerifierConfig;

/// The most earlier values of one holder that a check recognises; the newest ones are kept.
const MAX_EARLIER_VALUES: usize = 16;

/// A claim to check, and the present holder's claim where another has the name.
#[derive(Debug)]
pub(crate) struct CheckContext {
    pub name: DomainName,
    pub own: Challenge,
    pub holder: Option<(ClaimId, Challenge)>,
    /// Whether a claimant can lose the name, or the right to it, by the outcome.
    pub at_stake: bool,
    /// Whether the claim's holder has the name: a record that proved the name once keeps its validity.
    pub is_held: bool,
    pub scope: Scope,
    /// The CNAME target of the hostname; `None` when the name has none.
    pub target: Option<String>,
    /// Values of earlier claims of the same holder on this name; never those of another holder.
    pub earlier: Vec<EarlierValue>,
}

/// The outcomes of one check.
#[derive(Debug)]
pub(crate) struct CheckResult {
    pub own: Outcome,
    /// The claim that held the name when the check began, and the outcome for its record.
    pub holder: Option<(ClaimId, Outcome)>,
    pub evidence: Evidence,
    pub took: Duration,
}

impl CheckContext {
    pub fn of(ownership: &Ownership, claim: &Claim) -> Option<Self> {
        let holder = ownership.holder_claim().filter(|holder| holder.id != claim.id);
        let contesting = matches!(claim.state, ClaimState::Contesting(_));
        Some(Self {
            name: ownership.name.clone()?,
            scope: claim.holder.scope(),
            own: claim.challenge.clone(),
            holder: holder.map(|holder| (holder.id, holder.challenge.clone())),
            at_stake: contesting || ownership.holding.is_some(),
            is_held: claim.is_held(),
            target: None,
            earlier: earlier_values(ownership, claim),
        })
    }

    /// Sets the CNAME target of the hostname.
    pub fn with_target(self, target: Option<String>) -> Self {
        Self { target, ..self }
    }

    /// Looks up the records of the claim and the holder, which usually have the same name, and judges both.
    pub async fn run(&self, probe: &dyn Probe, config: &VerifierConfig) -> CheckResult {
        let context = self.judge_context(config);
        let apex = match self.apex(config) {
            Ok(apex) => apex,
            Err(refused) => {
                let own = judge_within(&self.own, &context, &refused);
                let evidence =
                    Evidence::from(&*refused).with_suffix_list(deed_claims::name::suffix_list_version());
                return CheckResult { own, holder: None, evidence, took: Duration::ZERO };
            }
        };
        let lookup = RecordLookup { probe, config, apex: &apex, at_stake: self.at_stake };
        let shared = self.holder.as_ref().filter(|(_, theirs)| theirs.record_name == self.own.record_name);
        let values: Vec<_> = std::iter::once(&self.own).chain(shared.map(|(_, theirs)| theirs)).collect();
        let route = self.target.clone().map(|target| RoutingQuestion { host: self.name.to_string(), target });
        let seen = lookup.observe(&self.own, &values, route).await;
        let mut took = seen.took_ms;
        // The holder's record is judged by the rules of the holding, without the holder's earlier claims.
        let holder_context = Context {
            held_by_another: false,
            challenged: true,
            accept_wildcard: true,
            earlier: vec![],
            ..context.clone()
        };
        let holder = match &self.holder {
            None => None,
            Some((id, theirs)) if shared.is_some() => {
                Some((*id, judge_within(theirs, &holder_context, &seen)))
            }
            Some((id, theirs)) => {
                let apart = lookup.observe(theirs, &[theirs], None).await;
                took = took.saturating_add(apart.took_ms);
                Some((*id, judge_within(theirs, &holder_context, &apart)))
            }
        };
        CheckResult {
            own: judge_within(&self.own, &context, &seen),
            holder,
            evidence: Evidence::of(&seen, &self.own)
                .noting(&self.own, &seen)
                .with_suffix_list(deed_claims::name::suffix_list_version()),
            took: Duration::from_millis(took.into()),
        }
    }

    /// The context in which the claim's own record is judged.
    fn judge_context(&self, config: &VerifierConfig) -> Context {
        Context {
            agreement: config.agreement,
            held_by_another: self.holder.is_some(),
            challenged: false,
            // A wildcard alias above a hostname's record is above the hostname as well, so it proves control of both.
            accept_wildcard: config.accept_wildcard || self.is_held || self.scope == Scope::Host,
            at_stake: self.at_stake,
            earlier: self.earlier.clone(),
        }
    }

    /// The registrable domain; or an observation without queries, when the rules of names refuse the name by now.
    fn apex(&self, config: &VerifierConfig) -> Result<DomainName, Box<Observation>> {
        ClaimableName::new(self.name.clone(), self.scope, &config.names, config.longest_prefix_len)
            .map(|name| name.into_parts().1)
            .map_err(|refused| {
                let failure = ProbeFailure::NameRefused(refused.to_string());
                Box::new(failed_observation(&self.own, failure, config))
            })
    }
}

/// The record values of the holder's earlier claims on this name that are kept, the newest last.
fn earlier_values(ownership: &Ownership, claim: &Claim) -> Vec<EarlierValue> {
    let of_holder = ownership.claims.values().filter(|c| c.holder == claim.holder && c.id != claim.id);
    let values = of_holder.map(|earlier| EarlierValue {
        value: earlier.challenge.record_value.clone(),
        issued_at: earlier.initiated_at,
    });
    let mut values: Vec<EarlierValue> = claim.earlier.iter().cloned().chain(values).collect();
    values.sort_by(|one, other| (one.issued_at, &one.value).cmp(&(other.issued_at, &other.value)));
    values.split_off(values.len().saturating_sub(MAX_EARLIER_VALUES))
}

/// Looks up validation records for one check.
struct RecordLookup<'a> {
    probe: &'a dyn Probe,
    config: &'a VerifierConfig,
    apex: &'a DomainName,
    at_stake: bool,
}

impl RecordLookup<'_> {
    async fn observe(
        &self,
        at: &Challenge,
        values: &[&Challenge],
        route: Option<RoutingQuestion>,
    ) -> Observation {
        let question = Question {
            name: at.record_name.to_string(),
            looking_for: values.iter().map(|challenge| challenge.record_value.as_bytes().to_vec()).collect(),
            confirm_absence: self.at_stake,
            apex: Some(self.apex.to_string()),
            route,
        };
        // The prober has a time budget of its own; this deadline ends a probe that hangs.
        let seen = tokio::time::timeout(self.config.probe_deadline, self.probe.probe(question)).await;
        seen.unwrap_or_else(|_| {
            let failure = ProbeFailure::Internal("the probe did not end before its deadline".to_owned());
            failed_observation(at, failure, self.config)
        })
    }
}

/// The observation of a probe that failed before it sent a query.
fn failed_observation(at: &Challenge, failure: ProbeFailure, config: &VerifierConfig) -> Observation {
    Observation {
        name: at.record_name.to_string(),
        failure: Some(failure),
        vantage: config.vantage.clone(),
        ..Observation::default()
    }
}
