//! A workspace's own claim on the name in a path: found, or not there for this workspace.
use deed_claims::name::{DomainName, Excerpt};
use deed_claims::{Claim, Event, Holder, Ownership, OwnershipEvent, Scope, StreamId};
use deed_store::Loaded;

use super::view::Seen;
use crate::call::{Call, Writes};
use crate::error_a::ErrorA;
use crate::fault::Fault;
use crate::names::apex_of;

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
}

impl Asked {
    /// What the path of a call asks about.
    pub fn by(call: &Call) -> Result<Self, ErrorA> {
        Self::about(call, call.param("domain"))
    }

    /// What a text asks about. What is claimed already stays reachable, whatever may be claimed today.
    pub fn about(call: &Call, text: &str) -> Result<Self, ErrorA> {
        let name = DomainName::parse(text)?;
        let root = apex_of(&name);
        Ok(Self::of(call, name, root))
    }

    /// What a name and its registrable domain ask about.
    pub fn of(call: &Call, name: DomainName, root: DomainName) -> Self {
        let holder = Holder::Workspace { workspace_id: call.caller.workspace.clone() };
        Self { stream: StreamId::ownership(Scope::Apex, &root), holder, name, root }
    }

    /// The workspace's newest claim.
    pub fn claim<'a>(&self, ownership: &'a Ownership) -> Result<&'a Claim, ErrorA> {
        ownership.claim_of(&self.holder).ok_or_else(|| self.no_claim())
    }

    /// The workspace's newest claim with everything it may see of it.
    pub fn seen<'a>(&'a self, ownership: &'a Ownership) -> Result<Seen<'a>, ErrorA> {
        let claim = self.claim(ownership)?;
        Ok(Seen { root: &self.root, claim, ownership: Some(ownership), again_at: None })
    }

    /// The same in error words: there is no claim of this workspace.
    pub fn no_claim(&self) -> ErrorA {
        ErrorA::NoSuchClaim(Excerpt::of(self.name.as_str()))
    }

    /// There is no domain of this workspace.
    pub fn no_domain(&self) -> ErrorA {
        ErrorA::NoSuchDomain(Excerpt::of(self.name.as_str()))
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
