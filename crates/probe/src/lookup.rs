//! One pass over the DNS: what all passes share, and what belongs to one of them.
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use hickory_proto::rr::Name;

use crate::budget::Budget;
use crate::canary::Canary;
use crate::config::{ConfigError, ProbeConfig};
use crate::delegation::Delegation;
use crate::delegation_cache::DelegationCache;
use crate::glueless_zones::GluelessZones;
use crate::key_cache::KeyCache;
use crate::lookup_mode::LookupMode;
use crate::no_edns_cache::NoEdnsCache;
use crate::transport::QueryTransport;
use crate::wire::NameCase;

/// How many servers of a zone need an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressNeed {
    /// One is enough to go one step down.
    Any,
    /// As many as are queried.
    All,
}

/// How far down a walk looks for zone cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalkDepth {
    /// Down to the name's parent: the query that follows finds a cut at the name itself.
    ToParent,
    /// Down to the name itself.
    ToName,
}

/// Whether this walk serves another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nesting {
    Outer,
    /// Resolves the address of a name server. May start another walk for a zone whose own servers come without glue.
    Inner,
    /// Started by an inner walk; starts none itself, because zones without glue could lead us through all of the DNS.
    Innermost,
}

/// What all probes of a prober share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ProbeConfig,
    pub(crate) transport: QueryTransport,
    pub(crate) cache: DelegationCache,
    pub(crate) root: Arc<Delegation>,
    pub(crate) no_edns: NoEdnsCache,
    pub(crate) keys: KeyCache,
    pub(crate) canary: Canary,
    /// The canary of the trusted resolvers alone.
    pub(crate) resolvers_canary: Canary,
}

impl Shared {
    pub(crate) fn new(config: ProbeConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            transport: QueryTransport::new(&config),
            cache: DelegationCache::new(config.delegation_cache_ttl),
            root: Arc::new(Delegation::root(&config.roots)?),
            no_edns: NoEdnsCache::default(),
            keys: KeyCache::new(config.delegation_cache_ttl),
            canary: Canary::default(),
            resolvers_canary: Canary::default(),
            config,
        })
    }
}

/// One lookup.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) budget: &'a Budget,
    pub(crate) mode: LookupMode,
    /// The random order of servers, different in each lookup.
    pub(crate) order: RandomState,
    pub(crate) referrals: AtomicU8,
    pub(crate) glueless: GluelessZones,
    /// The registrable domain of the name, where it is known.
    pub(crate) apex: Option<&'a Name>,
    /// The letter case of names in UDP queries.
    pub(crate) name_case: NameCase,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(shared: &'a Shared, budget: &'a Budget, mode: LookupMode) -> Self {
        Self {
            shared,
            budget,
            mode,
            order: RandomState::new(),
            referrals: AtomicU8::new(0),
            glueless: GluelessZones::new(shared.config.budgets.ns_resolved),
            apex: None,
            name_case: NameCase::Random,
        }
    }

    /// The same with names in lower case, for case-sensitive servers.
    pub(crate) fn in_lower_case(self) -> Self {
        Self { name_case: NameCase::Lower, ..self }
    }

    /// The same with the registrable domain, whose parent may deny it.
    pub(crate) fn with_apex(self, apex: Option<&'a Name>) -> Self {
        Self { apex, ..self }
    }
}
