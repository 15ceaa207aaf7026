//! A workspace's own claim on the name in a path: found, or not there for this workspace.
use std::sync::Arc;

use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_claims::{Claim, Event, Holder, Ownership, OwnershipEvent, Scope, StreamId};
use deed_store::{Loaded, Position};

use super::error::DomainsError;
use super::view::ClaimView;
use crate::bodies::Claimant;
use crate::bodies::timeline::Timeline;
use crate::call::{Call, Writes};
use crate::names::apex_of;
use crate::request_error::RequestError;

/// The name in a path, its registrable domain, and the workspace that asks about it.
pub struct ClaimRef {
    /// The name as asked for.
    pub name: DomainName,
    /// Its registrable domain.
    pub root: DomainName,
    /// The stream that answers.
    pub stream: StreamId,
    /// Who asks.
    pub holder: Holder,
    /// The name is longer than any that can be claimed.
    too_long: Option<NameError>,
    /// The region of claims without one.
    default_region: Arc<str>,
}

impl ClaimRef {
    /// What the path of a call asks about.
    pub fn from_path(call: &Call) -> Result<Self, DomainsError> {
        Self::parse(call, call.param("domain"))
    }

    /// What a text asks about. What is claimed already stays reachable, whatever may be claimed today.
    pub fn parse(call: &Call, text: &str) -> Result<Self, DomainsError> {
        let name = call.state.name(text)?;
        let root = apex_of(&name);
        Ok(Self::new(call, name, root))
    }

    /// What a name and its registrable domain ask about.
    pub fn new(call: &Call, name: DomainName, root: DomainName) -> Self {
        let holder = Holder::Workspace { workspace_id: call.caller.workspace.clone() };
        Self {
            too_long: call.state.too_long(&name),
            default_region: call.state.default_region.clone(),
            stream: StreamId::ownership(Scope::Apex, &root),
            holder,
            name,
            root,
        }
    }

    /// The workspace's newest claim.
    pub fn claim<'a>(&self, ownership: &'a Ownership) -> Result<&'a Claim, DomainsError> {
        ownership.claim_of(&self.holder).ok_or_else(|| self.claim_not_found())
    }

    /// How far the log had come at the last event that is the claim's business.
    pub fn position(claim: &Claim, loaded: &Loaded) -> Option<Position> {
        Timeline::of(claim.id, Claimant::Workspace).position(&loaded.events)
    }

    /// The workspace's newest claim with everything it may see of it.
    pub fn view<'a>(&'a self, ownership: &'a Ownership) -> Result<ClaimView<'a>, DomainsError> {
        let claim = self.claim(ownership)?;
        let default_region = &self.default_region;
        Ok(ClaimView { root: &self.root, claim, ownership: Some(ownership), default_region, again_at: None })
    }

    /// The same in error words: there is no claim of this workspace.
    pub fn claim_not_found(&self) -> DomainsError {
        self.not_found(DomainsError::NoSuchClaim)
    }

    /// There is no domain of this workspace.
    pub fn domain_not_found(&self) -> DomainsError {
        self.not_found(DomainsError::NoSuchDomain)
    }

    fn not_found(&self, error: fn(Excerpt) -> DomainsError) -> DomainsError {
        match &self.too_long {
            Some(why) => DomainsError::Name(why.clone()),
            None => error(Excerpt::of(self.name.as_str())),
        }
    }

    /// What one decision about the name writes.
    pub fn writes(&self, events: Vec<OwnershipEvent>) -> Writes {
        vec![(self.stream.clone(), events.into_iter().map(Event::from).collect())]
    }
}

/// The first of the streams a decision was given.
pub fn only_stream(loaded: &[Loaded]) -> Result<&Loaded, RequestError> {
    loaded.first().ok_or_else(|| RequestError::internal("loading a stream", "nothing was loaded"))
}

/// The state after events.
pub fn apply(ownership: Ownership, events: &[OwnershipEvent]) -> Ownership {
    events.iter().fold(ownership, Ownership::evolve)
}
