//! Finds a workspace's own claim on the name in a path.
use std::sync::Arc;

use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_claims::{Claim, Event, Holder, Ownership, OwnershipEvent, Scope, Status, StreamId};
use deed_http::Writes;

use super::error::{NoSuchClaim, NoSuchDomain};
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
    pub fn from_path(call: &Call) -> Result<Self, NameError> {
        Self::parse(call, call.param("domain"))
    }

    /// The claim on a name. Existing claims stay reachable when the policy for new claims changes.
    pub fn parse(call: &Call, text: &str) -> Result<Self, NameError> {
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

    /// The workspace's newest claim on the name, which has to be there.
    pub fn claim<'a, E>(&self, ownership: &'a Ownership) -> Result<&'a Claim, E>
    where
        E: From<NameError> + From<NoSuchClaim>,
    {
        ownership.claim_of(&self.holder).ok_or_else(|| self.not_found(NoSuchClaim))
    }

    /// The same in the words of an operation on domains.
    pub fn domain<'a, E>(&self, ownership: &'a Ownership) -> Result<&'a Claim, E>
    where
        E: From<NameError> + From<NoSuchDomain>,
    {
        ownership.claim_of(&self.holder).ok_or_else(|| self.domain_not_found())
    }

    /// The error for a workspace without the domain.
    pub fn domain_not_found<E: From<NameError> + From<NoSuchDomain>>(&self) -> E {
        self.not_found(NoSuchDomain)
    }

    fn not_found<N, E: From<NameError> + From<N>>(&self, error: fn(Excerpt) -> N) -> E {
        match &self.too_long {
            Some(why) => why.clone().into(),
            None => error(Excerpt::of(self.name.as_str())).into(),
        }
    }

    /// A view of one of the workspace's claims.
    pub fn view<'a>(&'a self, ownership: &'a Ownership, claim: &'a Claim) -> ClaimView<'a> {
        let default_region = &self.default_region;
        ClaimView { root: &self.root, claim, ownership: Some(ownership), default_region, again_at: None }
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

/// Whether a domain in this status was deleted by its own workspace.
pub fn is_deleted(status: Status) -> bool {
    matches!(status, Status::Released | Status::Cancelled)
}
