//! Resolves the addresses of name servers that come without glue, within narrow limits.
use std::net::IpAddr;
use std::sync::Arc;

use deed_diagnosis::{NetworkFault, ProbeFailure};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use hickory_proto::rr::{Name, RecordType};

use crate::config::Ipv6;
use crate::delegation::{Addresses, Delegation, NameServer};
use crate::lookup::{AddressNeed, Lookup, Nesting, WalkDepth};
use crate::rcode::NXDOMAIN;
use crate::response::Response;
use crate::staggered::{ServerFailure, ZoneFailure};
use crate::wire::{DnsQuery, Recursion};

/// Names resolved per zone; the second is the fallback for the first.
const NAMES_PER_ZONE: usize = 2;

impl Lookup<'_> {
    /// The delegation with addresses for names without glue, as far as they are needed and may be resolved.
    pub(crate) async fn with_addresses(
        &self,
        cut: Arc<Delegation>,
        need: AddressNeed,
        nesting: Nesting,
    ) -> Arc<Delegation> {
        let known = cut.servers.iter().filter(|s| matches!(s.addresses, Addresses::Known(_))).count();
        let enough = match need {
            AddressNeed::Any => known > 0,
            AddressNeed::All => known >= self.shared.config.budgets.servers,
        };
        if enough || cut.resolved {
            return cut;
        }
        match nesting {
            Nesting::Outer => {
                let most = self.shared.config.budgets.ns_resolved;
                let chosen = without_glue(&cut).take(most).collect();
                self.resolve_servers(&cut, chosen, Nesting::Inner).await
            }
            Nesting::Inner => self.with_nested_addresses(&cut).await,
            Nesting::Innermost => cut,
        }
    }

    /// The same for a zone that is only needed to resolve another zone's name servers.
    async fn with_nested_addresses(&self, cut: &Arc<Delegation>) -> Arc<Delegation> {
        let place = self.glueless.entry(&cut.zone);
        let full = place.get_or_init(|| {
            let chosen =
                without_glue(cut).take(NAMES_PER_ZONE).take_while(|_| self.glueless.take_name()).collect();
            self.resolve_servers(cut, chosen, Nesting::Innermost)
        });
        Arc::clone(full.await)
    }

    /// The delegation with the addresses of the chosen servers.
    async fn resolve_servers(
        &self,
        cut: &Arc<Delegation>,
        chosen: Vec<&NameServer>,
        nesting: Nesting,
    ) -> Arc<Delegation> {
        if chosen.is_empty() {
            return Arc::clone(cut);
        }
        // These names lie inside the zone itself and have no glue, so they cannot be resolved at all.
        let lost = |s: &NameServer| s.addresses == Addresses::Unknown && cut.zone.zone_of(&s.name);
        if self.shared.config.resolvers.is_empty() && cut.servers.iter().all(lost) {
            let mut full = Delegation { resolved: true, ..(**cut).clone() };
            full.servers.iter_mut().for_each(|server| server.addresses = Addresses::None);
            return Arc::new(full);
        }
        let found = join_all(chosen.iter().map(|server| self.resolve_server(&server.name, nesting))).await;
        let mut full = Delegation { resolved: true, ..(**cut).clone() };
        for (server, addresses) in chosen.into_iter().zip(found) {
            if let Some(place) = full.servers.iter_mut().find(|s| s.name == server.name) {
                place.addresses = addresses;
            }
        }
        let full = Arc::new(full);
        // Where names were left out, the next probe tries again.
        if !self.glueless.has_too_many_missing() {
            self.shared.cache.insert(self.mode, full.zone.clone(), &full);
        }
        full
    }

    /// Resolves names inside the zone that came with authority but without addresses: the zone's servers know them.
    pub(crate) async fn add_addresses(&self, shared: &mut Delegation, cut: &Delegation) {
        let most = self.shared.config.budgets.ns_resolved;
        let missing: Vec<&mut NameServer> = shared
            .servers
            .iter_mut()
            .filter(|s| s.addresses == Addresses::Unknown && cut.zone.zone_of(&s.name))
            .take(most)
            .collect();
        join_all(missing.into_iter().map(|server| async move {
            let found = self.both_families(&server.name, Recursion::No, |query| {
                async move { self.query_addresses(cut, &query).await }.boxed()
            });
            if let Addresses::Known(known) = found.await {
                server.addresses = Addresses::Known(known);
            }
        }))
        .await;
    }

    /// The addresses of a name according to the servers of its zone: for a registry the first usable answer, for
    /// other zones the answer that two name servers agree on.
    async fn query_addresses(
        &self,
        cut: &Delegation,
        query: &DnsQuery,
    ) -> Result<AddressAnswer, NetworkFault> {
        let longest = self.shared.config.budgets.aliases;
        let read = |response: &Response| {
            let counts = response.is_conclusive() && response.authoritative();
            counts.then(|| AddressAnswer::of(response, &query.name, longest))
        };
        self.agreed_answer(cut, query, read).await.map_err(|failure| fault_of(&failure))
    }

    async fn resolve_server(&self, server: &Name, nesting: Nesting) -> Addresses {
        if self.glueless.has_too_many_missing() {
            return Addresses::Unknown;
        }
        if self.shared.config.resolvers.is_empty() {
            return self.resolve_by_walk(server, nesting).await;
        }
        let longest = self.shared.config.budgets.aliases;
        self.both_families(server, Recursion::Desired, |query| {
            async move {
                match self.query_resolvers(&query).await {
                    Some(response) if response.is_conclusive() => {
                        Ok(AddressAnswer::of(&response, &query.name, longest))
                    }
                    // Our fault only where the resolver also has no answer for a name that has to exist.
                    None if !self.budget.is_spent() && self.are_resolvers_down().await => {
                        Err(NetworkFault::Internal)
                    }
                    // The resolver works: the name's own servers gave it no answer.
                    Some(_) | None => Err(NetworkFault::Timeout),
                }
            }
            .boxed()
        })
        .await
    }

    /// Without a resolver: the same walk for the server's name. Boxed, because the walk calls this function.
    fn resolve_by_walk<'a>(&'a self, server: &'a Name, nesting: Nesting) -> BoxFuture<'a, Addresses> {
        async move {
            let cut = match self.enclosing_zone(server, WalkDepth::ToName, nesting).await {
                Ok(cut) => self.with_addresses(cut, AddressNeed::Any, nesting).await,
                Err(ProbeFailure::Internal(_)) => return Addresses::Failed(NetworkFault::Internal),
                Err(_) => return Addresses::Failed(NetworkFault::Timeout),
            };
            let cut = &cut;
            self.both_families(server, Recursion::No, |query| {
                async move { self.query_addresses(cut, &query).await }.boxed()
            })
            .await
        }
        .boxed()
    }

    /// Queries A and AAAA at the same time.
    async fn both_families<'a>(
        &self,
        name: &Name,
        recursion: Recursion,
        send: impl Fn(DnsQuery) -> BoxFuture<'a, Result<AddressAnswer, NetworkFault>>,
    ) -> Addresses {
        let of = |rtype| send(DnsQuery { name: name.clone(), rtype, recursion });
        let families: &[RecordType] = match self.shared.config.ipv6 {
            Ipv6::Off => &[RecordType::A],
            Ipv6::Auto | Ipv6::On => &[RecordType::A, RecordType::AAAA],
        };
        let answers = join_all(families.iter().map(|rtype| of(*rtype))).await;
        if answers.iter().flatten().any(|found| !found.exists) {
            self.glueless.count_missing();
        }
        let found =
            Addresses::of(answers.iter().flatten().flat_map(|found| found.addresses.clone()).collect());
        // The address family that got no answer may have what the other one lacks.
        let faults: Vec<NetworkFault> = answers.into_iter().filter_map(Result::err).collect();
        let theirs = faults.iter().find(|fault| **fault != NetworkFault::Internal);
        match theirs.or(faults.first()) {
            Some(fault) if found == Addresses::None => Addresses::Failed(*fault),
            _ => found,
        }
    }
}

/// One answer about a name server's addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AddressAnswer {
    /// Whether the name exists.
    exists: bool,
    /// In canonical order.
    addresses: Vec<IpAddr>,
}

impl AddressAnswer {
    fn of(response: &Response, name: &Name, longest: usize) -> Self {
        let mut addresses = response.addresses(name, longest);
        addresses.sort_unstable();
        Self { exists: response.rcode() != NXDOMAIN, addresses }
    }
}

fn without_glue(cut: &Delegation) -> impl Iterator<Item = &NameServer> {
    cut.servers.iter().filter(|server| server.addresses == Addresses::Unknown)
}

/// The fault to report when the servers that should know the address did not give it.
fn fault_of(failure: &ZoneFailure) -> NetworkFault {
    let ours = |failure: &ServerFailure| matches!(failure, ServerFailure::Fault(NetworkFault::Internal));
    match failure {
        ZoneFailure::Unusable(failures) if !failures.is_empty() && failures.iter().all(ours) => {
            NetworkFault::Internal
        }
        _ => NetworkFault::Timeout,
    }
}
