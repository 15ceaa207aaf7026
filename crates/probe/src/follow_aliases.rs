//! Looks a name up: finds its zone, queries the zone's servers, and follows aliases from zone to zone.
use std::sync::Arc;

use deed_diagnosis::{NetworkFault, ProbeFailure, Reply, ServerAnswer};
use hickory_proto::rr::Name;

use crate::delegation::{Addresses, Delegation};
use crate::lookup::{AddressNeed, Lookup, Nesting, WalkDepth};
use crate::query_all::{Consensus, ZoneResponses};
use crate::response::{AliasChain, DnameRedirect, text_of};

/// What a lookup saw.
#[derive(Debug, Default)]
pub(crate) struct LookupResult {
    pub(crate) zone: Option<Name>,
    /// The zone around the name itself, before any alias.
    pub(crate) home: Option<Arc<Delegation>>,
    pub(crate) dname: Option<DnameRedirect>,
    /// The target of each alias in turn.
    pub(crate) aliases: Vec<Name>,
    pub(crate) servers: Vec<ServerAnswer>,
    /// Answers on the way that contradict the majority.
    pub(crate) dissent: Vec<ServerAnswer>,
    /// TXT values beside aliases.
    pub(crate) beside_alias: Vec<Vec<u8>>,
    pub(crate) failure: Option<ProbeFailure>,
}

impl Lookup<'_> {
    /// Looks the name up. A failure is part of the result, with everything that was seen until then.
    pub(crate) async fn run(&self, name: &Name) -> LookupResult {
        let mut result = LookupResult::default();
        if let Err(failure) = self.follow_aliases(name, &mut result).await {
            result.failure = Some(failure);
        }
        result
    }

    async fn follow_aliases(&self, name: &Name, result: &mut LookupResult) -> Result<(), ProbeFailure> {
        let mut at = name.clone();
        loop {
            let (chain, follow) = match self.query_zone_of(&at, result).await? {
                NameEnd::Answer(chain) => (chain, false),
                NameEnd::Alias(chain) => (chain, true),
            };
            if result.dname.is_none() {
                result.dname.clone_from(&chain.dname);
            }
            self.add_aliases(name, chain, &mut result.aliases)?;
            match result.aliases.last() {
                Some(target) if follow => at = target.clone(),
                _ => return Ok(()),
            }
            result.zone = None;
            result.servers.clear();
        }
    }

    /// Queries the servers of the zone around one name, and of zones below it when they refer to them.
    async fn query_zone_of(&self, at: &Name, result: &mut LookupResult) -> Result<NameEnd, ProbeFailure> {
        let end = self.walk(at, WalkDepth::ToParent, Nesting::Outer).await?;
        let mut cut = self.with_addresses(end.cut, AddressNeed::All, Nesting::Outer).await;
        result.zone = Some(cut.zone.clone());
        if let Some(denied) = end.denied.filter(|name| self.encloses_apex(name, result)) {
            self.check_delegation(&cut, &denied, result).await?;
        }
        loop {
            cut = self.with_addresses(cut, AddressNeed::All, Nesting::Outer).await;
            result.zone = Some(cut.zone.clone());
            if result.aliases.is_empty() {
                result.home = Some(Arc::clone(&cut));
            }
            result.add_dissent(&cut.dissent);
            let responses: ZoneResponses = self.query_all(&cut, at).await;
            let consensus = responses.consensus();
            result.add_dissent(&responses.dissent(&consensus));
            result.beside_alias.extend(responses.beside_aliases());
            result.servers = responses.answers();
            if self.budget.is_spent() {
                return Err(self.budget.failure());
            }
            match consensus {
                Consensus::FollowAlias(chain) => return Ok(NameEnd::Alias(chain)),
                Consensus::Answer(chain) => {
                    return zone_failure(&cut, &result.servers).map_or(Ok(NameEnd::Answer(chain)), Err);
                }
                Consensus::Referral(below) => {
                    self.count_referral(Nesting::Outer)?;
                    let dissent = result.dissent.clone();
                    cut = Arc::new(Delegation { dissent, ..below });
                    self.shared.cache.insert(self.mode, cut.zone.clone(), &cut);
                }
            }
        }
    }

    /// Whether a denial of the name denies the registrable domain as a whole.
    fn encloses_apex(&self, name: &Name, result: &LookupResult) -> bool {
        result.aliases.is_empty() && self.apex.is_some_and(|apex| name.zone_of(apex))
    }

    /// Queries all of a parent's servers for a name that one of them denied: a holder may lose the name by it, and
    /// some of the registry's servers may be out of date.
    ///
    /// # Errors
    /// [`ProbeFailure::NotDelegated`] when most of them deny it; their answers are in the result.
    async fn check_delegation(
        &self,
        parent: &Delegation,
        denied: &Name,
        result: &mut LookupResult,
    ) -> Result<(), ProbeFailure> {
        let responses = self.query_all(parent, denied).await;
        if self.budget.is_spent() {
            return Err(self.budget.failure());
        }
        if !responses.denies(&parent.zone) {
            return Ok(());
        }
        result.servers = responses.answers();
        Err(ProbeFailure::NotDelegated(text_of(&parent.zone)))
    }

    /// Records aliases, which may neither form a loop nor exceed the limit.
    fn add_aliases(
        &self,
        name: &Name,
        chain: AliasChain,
        passed: &mut Vec<Name>,
    ) -> Result<(), ProbeFailure> {
        for target in chain.targets {
            let again = target == *name || passed.contains(&target);
            passed.push(target);
            if again {
                return Err(ProbeFailure::AliasLoop);
            }
            if passed.len() > self.shared.config.budgets.aliases {
                return Err(ProbeFailure::AliasTooLong);
            }
        }
        Ok(())
    }
}

impl LookupResult {
    fn add_dissent(&mut self, dissent: &[ServerAnswer]) {
        for answer in dissent {
            if !self.dissent.contains(answer) {
                self.dissent.push(answer.clone());
            }
        }
    }
}

/// How the queries for one name ended.
enum NameEnd {
    /// With answers, and the aliases inside them.
    Answer(AliasChain),
    /// At an alias that leads to another zone.
    Alias(AliasChain),
}

/// A failure that concerns the zone and not single servers.
fn zone_failure(cut: &Delegation, servers: &[ServerAnswer]) -> Option<ProbeFailure> {
    if !cut.has_addresses() {
        let mut failed = cut.servers.iter().filter_map(|server| match server.addresses {
            Addresses::Failed(fault) => Some(fault),
            _ => None,
        });
        return match failed.next() {
            // Resolved, and no server has an address.
            None => Some(ProbeFailure::NoAddress),
            Some(NetworkFault::Internal) if failed.all(|fault| fault == NetworkFault::Internal) => {
                Some(ProbeFailure::Internal(
                    "local errors prevented resolving the name servers' addresses".to_owned(),
                ))
            }
            // Whether they have an address is unknown; each server is reported with its own fault.
            Some(_) => None,
        };
    }
    let ours = servers.iter().all(|s| s.reply == Reply::Fault(NetworkFault::Internal));
    (ours && !servers.is_empty())
        .then(|| ProbeFailure::Internal("local errors prevented every query".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::budget::Budget;
    use crate::config::ProbeConfig;
    use crate::delegation::{NameServer, Source};
    use crate::lookup::Shared;
    use crate::lookup_mode::LookupMode;

    #[tokio::test(start_paused = true)]
    async fn waiting_for_sockets_is_internal_failure() {
        let config = ProbeConfig {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            in_flight: Some(0),
            ..ProbeConfig::default()
        };
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let known = Addresses::Known(vec![IpAddr::from([127, 0, 0, 4])]);
        let server = NameServer { name: name("ns.acme.test."), addresses: known };
        let cut = Arc::new(Delegation::new(name("acme.test."), vec![server], Source::Dns));
        let shared = Shared::new(config).unwrap();
        shared.cache.insert(LookupMode::UdpFirst, cut.zone.clone(), &cut);
        let budget = Budget::new(60, shared.config.budgets.time);
        let result = Lookup::new(&shared, &budget, LookupMode::UdpFirst).run(&name("_deed.acme.test.")).await;
        assert!(matches!(result.failure, Some(ProbeFailure::Internal(_))), "{result:?}");
        assert_eq!(result.servers[0].reply, Reply::Fault(NetworkFault::Internal));
    }
}
