//! Finds a workspace's own claim on the name in a path.
use std::sync::Arc;

use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_claims::{Claim, Event, Holder, Ownership, OwnershipEvent, Scope, StreamId};
use deed_http::Writes;

use super::error::DomainsError;
use super::view::ClaimView;
use crate::call::Call;
use crate::names::apex_of;

/// Refers to the caller's claim on a name: the name, its registrable domain, and the caller.
pub struct ClaimRef {
    /// The name as given in the request.
    pub name: DomainName,
    /// Its registrable domain.
    pub root: DomainName,
    /// The stream of the registrable domain.
    pub stream: StreamId,
    /// The caller as a claimant.
    pub holder: Holder,
    /// The name is longer than any that can be claimed.
    too_long: Option<NameError>,
    /// The region of claims without one.
    default_region: Arc<str>,
}

impl ClaimRef {
    /// The claim that a path names.
    pub fn from_path(call: &Call) -> Result<Self, DomainsError> {
        Self::parse(call, call.param("domain"))
    }

    /// The claim on a name. Existing claims stay reachable when the policy for new claims changes.
    pub fn parse(call: &Call, text: &str) -> Result<Self, DomainsError> {
        let name = call.state.name(text)?;
        let root = apex_of(&name);
        Ok(Self::new(call, name, root))
    }

    /// The claim on a parsed name and its registrable domain.
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

    /// The workspace's newest claim on the name.
    pub fn claim<'a>(&self, ownership: &'a Ownership) -> Result<&'a Claim, DomainsError> {
        ownership.claim_of(&self.holder).ok_or_else(|| self.claim_not_found())
    }

    /// A view of the workspace's newest claim.
    pub fn view<'a>(&'a self, ownership: &'a Ownership) -> Result<ClaimView<'a>, DomainsError> {
        let claim = self.claim(ownership)?;
        let default_region = &self.default_region;
        Ok(ClaimView { root: &self.root, claim, ownership: Some(ownership), default_region, again_at: None })
    }

    /// The error for a workspace without a claim on the name.
    pub fn claim_not_found(&self) -> DomainsError {
        self.not_found(DomainsError::NoSuchClaim)
    }

    /// The error for a workspace without the domain.
    pub fn domain_not_found(&self) -> DomainsError {
        self.not_found(DomainsError::NoSuchDomain)
    }

    fn not_found(&self, error: fn(Excerpt) -> DomainsError) -> DomainsError {
        match &self.too_long {
            Some(why) => DomainsError::Name(why.clone()),
            None => error(Excerpt::of(self.name.as_str())),
        }
    }

    /// The events of one decision as writes to the stream.
    pub fn writes(&self, events: Vec<OwnershipEvent>) -> Writes {
        vec![(self.stream.clone(), events.into_iter().map(Event::from).collect())]
    }
}

/// Applies events to a state.
pub fn apply(ownership: Ownership, events: &[OwnershipEvent]) -> Ownership {
    events.iter().fold(ownership, Ownership::evolve)
}
