//! What one check has to look at, and the looking.
use std::time::Duration;

use deed_claims::{
    Challenge, Claim, ClaimId, Confirmation, Evidence, Findings, Observation, Outcome, Ownership,
    ProbeFailure, judge,
    name::{ClaimableName, DomainName},
};
use deed_probe::{Look, Question};

use crate::config::VerifierConfig;

/// A claim about to be checked, and the present holder's claim where another has the name.
#[derive(Debug)]
pub(crate) struct Case {
    pub name: DomainName,
    pub own: Challenge,
    pub holder: Option<(ClaimId, Challenge)>,
    /// Whether somebody has the name who could lose it by what is seen.
    pub at_stake: bool,
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
    pub fn of(ownership: &Ownership, claim: &Claim) -> Option<Self> {
        let holder = ownership.holder_claim().filter(|holder| holder.id != claim.id);
        Some(Self {
            name: ownership.name.clone()?,
            own: claim.challenge.clone(),
            holder: holder.map(|holder| (holder.id, holder.challenge.clone())),
            at_stake: ownership.holding.is_some(),
        })
    }

    /// Looks at the claim's record and the holder's, which for most pairs stand at the same name, and judges both.
    pub async fn decide(&self, look: &dyn Look, config: &VerifierConfig) -> Verdict {
        if let Some(refused) = self.refused(config) {
            let own = judge(&self.own, &refused);
            return Verdict { own, holder: None, evidence: Evidence::from(&refused), took: Duration::ZERO };
        }
        let shared = self.holder.as_ref().filter(|(_, theirs)| theirs.record_name == self.own.record_name);
        let values: Vec<_> = std::iter::once(&self.own).chain(shared.map(|(_, theirs)| theirs)).collect();
        let seen = self.look_for(&self.own, &values, look, config).await;
        let mut took = seen.took_ms;
        let holder = match &self.holder {
            None => None,
            Some((id, theirs)) if shared.is_some() => Some((*id, judge(theirs, &seen))),
            Some((id, theirs)) => {
                let apart = self.look_for(theirs, &[theirs], look, config).await;
                took = took.saturating_add(apart.took_ms);
                Some((*id, judge(theirs, &apart)))
            }
        };
        Verdict {
            own: judge(&self.own, &seen),
            holder,
            evidence: Evidence::from(&seen),
            took: Duration::from_millis(took.into()),
        }
    }

    /// What is known without looking: the rules of names change, and nobody is asked about a name they refuse.
    fn refused(&self, config: &VerifierConfig) -> Option<Observation> {
        let refused =
            ClaimableName::new(self.name.clone(), &config.names, config.longest_prefix_len).err()?;
        Some(blind(&self.own, ProbeFailure::NameRefused(refused.to_string()), config))
    }

    async fn look_for(
        &self,
        at: &Challenge,
        values: &[&Challenge],
        look: &dyn Look,
        config: &VerifierConfig,
    ) -> Observation {
        let question = Question {
            name: at.record_name.to_string(),
            looking_for: values.iter().map(|challenge| challenge.record_value.as_bytes().to_vec()).collect(),
            confirm_absence: self.at_stake,
            apex: None,
        };
        // The prober keeps to a budget of its own; this ends a look that got stuck.
        match tokio::time::timeout(config.look_deadline, look.look(question)).await {
            Ok(seen) => seen,
            Err(_) => blind(at, ProbeFailure::Internal("the look did not end in time".to_owned()), config),
        }
    }
}

/// An observation that saw nothing.
fn blind(at: &Challenge, failure: ProbeFailure, config: &VerifierConfig) -> Observation {
    Observation {
        name: at.record_name.to_string(),
        zone: None,
        aliases: vec![],
        dname: None,
        servers: vec![],
        failure: Some(failure),
        confirmation: Confirmation::default(),
        findings: Findings::default(),
        queries: 0,
        took_ms: 0,
        vantage: config.vantage.clone(),
    }
}
