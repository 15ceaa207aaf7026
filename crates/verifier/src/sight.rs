//! What one check has to look at, and the looking.
use std::time::Duration;

use deed_claims::{
    Challenge, Claim, ClaimId, ClaimState, Context, EarlierValue, Event, Evidence, Observation, Outcome,
    Ownership, OwnershipEvent, ProbeFailure, Scope, judge_within,
    name::{ClaimableName, DomainName},
};
use deed_probe::{Look, Question, Route};
use deed_store::RecordedEvent;

use crate::config::VerifierConfig;

/// Earlier claims of one holder that are remembered: the newest.
const EARLIER: usize = 16;

/// A claim about to be checked, and the present holder's claim where another has the name.
#[derive(Debug)]
pub(crate) struct Case {
    pub name: DomainName,
    pub own: Challenge,
    pub holder: Option<(ClaimId, Challenge)>,
    /// Whether somebody could lose the name, or the right to it, by what is seen.
    pub at_stake: bool,
    /// Whether the claim's holder has the name: a record that has proven it once goes on doing so.
    pub is_held: bool,
    pub scope: Scope,
    /// Where the hostname has to point; none for names that need not point anywhere.
    pub target: Option<String>,
    /// Values of earlier claims of the claim's own holder on this name; never of another's.
    pub earlier: Vec<EarlierValue>,
}

/// The verdicts of one check.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub own: Outcome,
    /// On the record of the claim that held the name when it was looked for.
    pub holder: Option<(ClaimId, Outcome)>,
    pub evidence: Evidence,
    pub took: Duration,
}

impl Case {
    pub fn of(ownership: &Ownership, claim: &Claim, events: &[RecordedEvent]) -> Option<Self> {
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
            earlier: earlier(claim, events),
        })
    }

    /// The same with the target that the hostname has to point at.
    pub fn pointing_at(self, target: Option<String>) -> Self {
        Self { target, ..self }
    }

    /// Looks at the claim's record and the holder's, which for most pairs stand at the same name, and judges both.
    pub async fn decide(&self, look: &dyn Look, config: &VerifierConfig) -> Verdict {
        let context = Context {
            agreement: config.agreement,
            held_by_another: self.holder.is_some(),
            challenged: false,
            // A wildcard that leads a hostname's record elsewhere leads the hostname there as well.
            accept_wildcard: config.accept_wildcard || self.is_held || self.scope == Scope::Host,
            at_stake: self.at_stake,
            earlier: self.earlier.clone(),
        };
        let apex = match self.apex(config) {
            Ok(apex) => apex,
            Err(refused) => {
                let own = judge_within(&self.own, &context, &refused);
                let evidence = Evidence::from(&*refused);
                return Verdict { own, holder: None, evidence, took: Duration::ZERO };
            }
        };
        let sight = Sight { look, config, apex: &apex, at_stake: self.at_stake };
        let shared = self.holder.as_ref().filter(|(_, theirs)| theirs.record_name == self.own.record_name);
        let values: Vec<_> = std::iter::once(&self.own).chain(shared.map(|(_, theirs)| theirs)).collect();
        let route = self.target.clone().map(|target| Route { host: self.name.to_string(), target });
        let seen = sight.look_for(&self.own, &values, route).await;
        let mut took = seen.took_ms;
        // The holder keeps what it has on the terms on which it got it, and its earlier claims are its own business.
        let theirs_context = Context {
            held_by_another: false,
            challenged: true,
            accept_wildcard: true,
            earlier: vec![],
            ..context.clone()
        };
        let holder = match &self.holder {
            None => None,
            Some((id, theirs)) if shared.is_some() => {
                Some((*id, judge_within(theirs, &theirs_context, &seen)))
            }
            Some((id, theirs)) => {
                let apart = sight.look_for(theirs, &[theirs], None).await;
                took = took.saturating_add(apart.took_ms);
                Some((*id, judge_within(theirs, &theirs_context, &apart)))
            }
        };
        Verdict {
            own: judge_within(&self.own, &context, &seen),
            holder,
            evidence: Evidence::of(&seen, &self.own).noting(&self.own, &seen),
            took: Duration::from_millis(took.into()),
        }
    }

    /// The registrable domain, or what is known without looking: the rules of names change, and nobody is asked about
    /// a name they refuse.
    fn apex(&self, config: &VerifierConfig) -> Result<DomainName, Box<Observation>> {
        ClaimableName::new(self.name.clone(), self.scope, &config.names, config.longest_prefix_len)
            .map(|name| name.into_parts().1)
            .map_err(|refused| {
                Box::new(blind(&self.own, ProbeFailure::NameRefused(refused.to_string()), config))
            })
    }
}

/// What the claim's holder was told to publish before, the newest last.
fn earlier(claim: &Claim, events: &[RecordedEvent]) -> Vec<EarlierValue> {
    let mut values: Vec<EarlierValue> = events
        .iter()
        .rev()
        .filter_map(|recorded| match &recorded.event {
            Event::Ownership(OwnershipEvent::ClaimInitiated(e))
                if e.holder == claim.holder && e.claim_id != claim.id =>
            {
                let value = e.challenge.record_value.clone();
                Some(EarlierValue { value, issued_at: e.at })
            }
            _ => None,
        })
        .take(EARLIER)
        .collect();
    values.reverse();
    values
}

/// How one check looks.
struct Sight<'a> {
    look: &'a dyn Look,
    config: &'a VerifierConfig,
    apex: &'a DomainName,
    at_stake: bool,
}

impl Sight<'_> {
    async fn look_for(&self, at: &Challenge, values: &[&Challenge], route: Option<Route>) -> Observation {
        let question = Question {
            name: at.record_name.to_string(),
            looking_for: values.iter().map(|challenge| challenge.record_value.as_bytes().to_vec()).collect(),
            confirm_absence: self.at_stake,
            apex: Some(self.apex.to_string()),
            route,
        };
        // The prober keeps to a budget of its own; this ends a look that got stuck.
        match tokio::time::timeout(self.config.look_deadline, self.look.look(question)).await {
            Ok(seen) => seen,
            Err(_) => {
                blind(at, ProbeFailure::Internal("the look did not end in time".to_owned()), self.config)
            }
        }
    }
}

/// An observation that saw nothing.
fn blind(at: &Challenge, failure: ProbeFailure, config: &VerifierConfig) -> Observation {
    Observation {
        name: at.record_name.to_string(),
        failure: Some(failure),
        vantage: config.vantage.clone(),
        ..Observation::default()
    }
}
