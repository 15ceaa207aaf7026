//! A workspace's own claim on the name in a path: found, or not there for this workspace.
use std::sync::Arc;

use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_claims::{Claim, Event, Holder, Ownership, OwnershipEvent, Scope, StreamId};
use deed_store::{Loaded, Position};

use super::view::Seen;
use crate::call::{Call, Writes};
use crate::error_a::ErrorA;
use crate::fault::Fault;
use crate::names::apex_of;
use crate::shown::Claimant;
use crate::shown::timeline::Timeline;

/// The name in a path, its registrable domain, and the workspace that asks about it.
pub struct Asked {
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

impl Asked {
    /// What the path of a call asks about.
    pub fn by(call: &Call) -> Result<Self, ErrorA> {
        Self::about(call, call.param("domain"))
    }

    /// What a text asks about. What is claimed already stays reachable, whatever may be claimed today.
    pub fn about(call: &Call, text: &str) -> Result<Self, ErrorA> {
        let name = call.state.name(text)?;
        let root = apex_of(&name);
        Ok(Self::of(call, name, root))
    }

    /// What a name and its registrable domain ask about.
    pub fn of(call: &Call, name: DomainName, root: DomainName) -> Self {
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
    pub fn claim<'a>(&self, ownership: &'a Ownership) -> Result<&'a Claim, ErrorA> {
        ownership.claim_of(&self.holder).ok_or_else(|| self.no_claim())
    }

    /// How far the log had come at the last event that is the claim's business.
    pub fn position(claim: &Claim, loaded: &Loaded) -> Option<Position> {
        Timeline::of(claim.id, Claimant::Workspace).position(&loaded.events)
    }

    /// The workspace's newest claim with everything it may see of it.
    pub fn seen<'a>(&'a self, ownership: &'a Ownership) -> Result<Seen<'a>, ErrorA> {
        let claim = self.claim(ownership)?;
        let default_region = &self.default_region;
        Ok(Seen { root: &self.root, claim, ownership: Some(ownership), default_region, again_at: None })
    }

    /// The same in error words: there is no claim of this workspace.
    pub fn no_claim(&self) -> ErrorA {
        self.nothing(ErrorA::NoSuchClaim)
    }

    /// There is no domain of this workspace.
    pub fn no_domain(&self) -> ErrorA {
        self.nothing(ErrorA::NoSuchDomain)
    }

    fn nothing(&self, not_found: fn(Excerpt) -> ErrorA) -> ErrorA {
        match &self.too_long {
            Some(why) => ErrorA::Name(why.clone()),
            None => not_found(Excerpt::of(self.name.as_str())),
        }
    }

    /// What one decision about the name writes.
    pub fn writes(&self, events: Vec<OwnershipEvent>) -> Writes {
        vec![(self.stream.clone(), events.into_iter().map(Event::from).collect())]
    }
}

/// The first of the streams a decision was given.
pub fn first(loaded: &[Loaded]) -> Result<&Loaded, Fault> {
    loaded.first().ok_or_else(|| Fault::internal("loading a stream", "nothing was loaded"))
}

/// The state after events.
pub fn after(ownership: Ownership, events: &[OwnershipEvent]) -> Ownership {
    events.iter().fold(ownership, Ownership::evolve)
}
