//! Finds the zone around a name from the parents' side: from the root down, label by label.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deed_claims::name::is_registry;
use deed_diagnosis::{NetworkFault, ProbeFailure};
use hickory_proto::rr::{Name, RecordType};
use tracing::debug;

use crate::config::DelegationSource;
use crate::delegation::{Delegation, Step, from_resolver, step};
use crate::egress::Peer;
use crate::lookup::{AddressNeed, Lookup, Nesting, WalkDepth};
use crate::most_frequent::most_frequent;
use crate::rcode::NOERROR;
use crate::response::{Response, text_of};
use crate::staggered::{ServerFailure, StaggeredQueries, ZoneFailure, usable};
use crate::wire::{DnsQuery, Recursion};

/// The result of a walk.
pub(crate) struct WalkEnd {
    /// The deepest zone around the name that was found.
    pub(crate) cut: Arc<Delegation>,
    /// The name at or above the target that does not exist, according to a server of that zone.
    pub(crate) denied: Option<Name>,
}

/// Steps of one label, and steps in all, before the whole name is queried (RFC 9156 §2.3).
const ONE_LABEL: usize = 4;
const STEPS: usize = 10;

/// How many labels the next step goes down, of those that are left: a name with many labels must not cost a query per
/// label.
fn stride(steps: usize, left: usize) -> usize {
    if steps < ONE_LABEL { 1 } else { left.div_ceil(STEPS.saturating_sub(steps).max(1)) }
}

/// Servers of a parent tried per step.
pub(crate) const SERVERS_PER_STEP: usize = 4;

/// Why a walk stops.
enum WalkStop {
    /// The child does not exist.
    Denied,
    /// The child is an alias.
    Alias,
    Failed(ZoneFailure),
}

impl Lookup<'_> {
    /// The zone around a name according to its parents, not necessarily with an address.
    pub(crate) async fn enclosing_zone(
        &self,
        target: &Name,
        depth: WalkDepth,
        nesting: Nesting,
    ) -> Result<Arc<Delegation>, ProbeFailure> {
        self.walk(target, depth, nesting).await.map(|end| end.cut)
    }

    /// The same, with the name that was denied on the way.
    pub(crate) async fn walk(
        &self,
        target: &Name,
        depth: WalkDepth,
        nesting: Nesting,
    ) -> Result<WalkEnd, ProbeFailure> {
        let labels = target.iter().len();
        let last = match depth {
            WalkDepth::ToParent => labels.saturating_sub(1),
            WalkDepth::ToName => labels,
        };
        let (mut at, WalkEnd { mut cut, denied }) = self.start(target, last).await?;
        let mut steps = 0;
        while at < last {
            cut = self.with_addresses(cut, AddressNeed::Any, nesting).await;
            if !cut.has_addresses() {
                break;
            }
            let labels = at + stride(steps, last - at);
            steps += 1;
            let child = target.trim_to(labels);
            match self.descend(&cut, &child).await {
                Ok(Some(below)) => {
                    self.count_referral(nesting)?;
                    at = below.zone.iter().len();
                    cut = Arc::new(below);
                    self.shared.cache.insert(self.mode, cut.zone.clone(), &cut);
                }
                Ok(None) => {
                    at = labels;
                    self.shared.cache.insert(self.mode, child, &cut);
                }
                // Not cached: a name that does not exist may be registered the next moment.
                Err(WalkStop::Denied) => return Ok(WalkEnd { cut, denied: Some(child) }),
                Err(WalkStop::Alias) => {
                    self.shared.cache.insert(self.mode, target.trim_to(last), &cut);
                    break;
                }
                // Below the top-level domains the zone itself may be the cause, and querying all of its servers tells
                // more about each of them than one failed step.
                Err(WalkStop::Failed(ZoneFailure::Blocked)) => break,
                Err(WalkStop::Failed(ZoneFailure::Unusable(_))) if cut.zone.iter().len() > 1 => break,
                Err(WalkStop::Failed(ZoneFailure::Unusable(failures))) => {
                    return Err(failure(&failures, &cut.zone));
                }
                Err(WalkStop::Failed(ZoneFailure::BudgetSpent)) => return Err(self.budget.failure()),
            }
        }
        Ok(WalkEnd { cut, denied })
    }

    /// Where a walk starts: at the nearest cached zone, or at the root.
    async fn start(&self, target: &Name, last: usize) -> Result<(usize, WalkEnd), ProbeFailure> {
        if let Some((name, cut)) = self.shared.cache.nearest(self.mode, target) {
            return Ok((name.iter().len(), WalkEnd { cut, denied: None }));
        }
        match self.shared.config.delegation {
            DelegationSource::FromParent => {
                Ok((0, WalkEnd { cut: Arc::clone(&self.shared.root), denied: None }))
            }
            DelegationSource::FromResolver => Ok((last, self.zone_from_resolvers(target, last).await?)),
        }
    }

    /// One step: `Some` zone below, or none when there is no cut at the child.
    async fn descend(&self, cut: &Delegation, child: &Name) -> Result<Option<Delegation>, WalkStop> {
        let query = DnsQuery { name: child.clone(), rtype: RecordType::NS, recursion: Recursion::No };
        let step = if is_registry(&text_of(&cut.zone)) {
            let most = self.shared.config.budgets.ns_read;
            let read = |response: Response| step(&response, &cut.zone, child, most);
            self.first_usable(cut, &query, read).await.map_err(WalkStop::Failed)?.0
        } else {
            self.majority_step(cut, &query).await.map_err(WalkStop::Failed)?
        };
        debug!(labels = child.iter().len(), step = step.label(), "zone cut step");
        match step {
            Step::Referred(below) => Ok(Some(below)),
            Step::Shared(mut below) => {
                self.add_addresses(&mut below, cut).await;
                Ok(Some(below))
            }
            Step::NoCut => Ok(None),
            Step::Denied => Err(WalkStop::Denied),
            Step::Alias => Err(WalkStop::Alias),
        }
    }

    /// The first usable answer of a zone's servers, queried one after the other; a slow server does not hold up the
    /// next.
    pub(crate) async fn first_usable<T>(
        &self,
        cut: &Delegation,
        query: &DnsQuery,
        read: impl Fn(Response) -> Option<T>,
    ) -> Result<(T, Peer), ZoneFailure> {
        self.first_usable_of(self.in_random_order(cut, SERVERS_PER_STEP), query, read).await
    }

    /// The same for these servers, in this order.
    pub(crate) async fn first_usable_of<T>(
        &self,
        peers: Vec<Peer>,
        query: &DnsQuery,
        read: impl Fn(Response) -> Option<T>,
    ) -> Result<(T, Peer), ZoneFailure> {
        if peers.is_empty() {
            return Err(ZoneFailure::Blocked);
        }
        let queries =
            peers.into_iter().map(|peer| async move { (peer, self.query(peer, query).await.result) });
        let mut queries = StaggeredQueries::new(queries, self.patience());
        let mut failures = vec![];
        loop {
            if queries.running() == 0 || queries.is_due() {
                queries.start(1);
                if queries.running() == 0 {
                    return Err(ZoneFailure::Unusable(failures));
                }
                queries.delay_next();
            }
            let Some((peer, result)) = queries.next().await else { continue };
            if let Some(usable) = usable(result, &read, &mut failures)? {
                return Ok((usable, peer));
            }
            queries.hasten_next();
        }
    }

    /// How long a server may take before the next one is queried as well.
    pub(crate) fn patience(&self) -> Duration {
        self.shared.config.udp_timeout / 3
    }

    /// Counts a referral of the outer walk; the inner walks are limited by the budget.
    pub(crate) fn count_referral(&self, nesting: Nesting) -> Result<(), ProbeFailure> {
        if nesting != Nesting::Outer {
            return Ok(());
        }
        let before = self.referrals.fetch_add(1, Ordering::Relaxed);
        if before < self.shared.config.budgets.referrals {
            Ok(())
        } else {
            Err(ProbeFailure::BudgetExhausted)
        }
    }

    /// The zone around the name's parent according to the trusted resolvers. They are never queried for the name
    /// itself: a resolver that learns of a name too early caches its absence.
    async fn zone_from_resolvers(&self, target: &Name, last: usize) -> Result<WalkEnd, ProbeFailure> {
        let mut cut = Arc::clone(&self.shared.root);
        for labels in 1..=last {
            let child = target.trim_to(labels);
            let query =
                DnsQuery { name: child.clone(), rtype: RecordType::NS, recursion: Recursion::Desired };
            let response = match self.query_resolvers(&query).await {
                Some(response) if response.is_conclusive() => response,
                Some(response) => return Err(ProbeFailure::ParentRefused(response.rcode())),
                None if self.budget.is_spent() => return Err(self.budget.failure()),
                None => return Err(ProbeFailure::Internal("no trusted resolver answered".to_owned())),
            };
            if let Some(below) = from_resolver(&response, &child, self.shared.config.budgets.ns_read) {
                cut = Arc::new(below);
            } else if response.rcode() != NOERROR {
                // A resolver's denial, which the zone's own servers have to confirm; it is not cached.
                return Ok(WalkEnd { cut, denied: Some(child) });
            } else if response.answers().next().is_some() {
                // An alias: there is no zone below.
                break;
            }
        }
        self.shared.cache.insert(self.mode, target.trim_to(last), &cut);
        Ok(WalkEnd { cut, denied: None })
    }
}

/// What the failures of a parent zone's servers mean for the lookup.
fn failure(failures: &[ServerFailure], zone: &Name) -> ProbeFailure {
    let rcodes = failures.iter().filter_map(|u| match u {
        ServerFailure::Rcode(rcode) => Some(*rcode),
        ServerFailure::Fault(_) => None,
    });
    let faults = failures.iter().filter_map(|u| match u {
        ServerFailure::Fault(fault) => Some(*fault),
        ServerFailure::Rcode(_) => None,
    });
    if let Some(rcode) = most_frequent(rcodes) {
        return ProbeFailure::ParentRefused(rcode);
    }
    match most_frequent(faults) {
        Some(NetworkFault::Internal) => {
            ProbeFailure::Internal("local errors prevented every query to a parent zone's servers".to_owned())
        }
        // No root server answers: our own network is down.
        Some(_) if zone.is_root() => ProbeFailure::Internal("no root server answered".to_owned()),
        Some(fault) => ProbeFailure::NoDelegation(fault),
        None => ProbeFailure::NoAddress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_long_name_in_ten_steps() {
        let steps = |labels: usize| {
            let (mut at, mut steps) = (0, 0);
            while at < labels {
                at += stride(steps, labels - at);
                steps += 1;
            }
            (at, steps)
        };
        for labels in 0..=10 {
            assert_eq!(steps(labels), (labels, labels));
        }
        for labels in [11, 17, 64, 126] {
            assert_eq!(steps(labels), (labels, 10));
        }
    }

    #[test]
    fn tells_dead_parents_from_network_outage() {
        let com = Name::from_ascii("com.").unwrap();
        let of = |failures: Vec<ServerFailure>, zone: &Name| failure(&failures, zone);
        let timeout = || ServerFailure::Fault(NetworkFault::Timeout);
        assert_eq!(of(vec![timeout()], &com), ProbeFailure::NoDelegation(NetworkFault::Timeout));
        assert!(matches!(of(vec![timeout()], &Name::root()), ProbeFailure::Internal(_)));
        assert_eq!(of(vec![timeout(), ServerFailure::Rcode(5)], &com), ProbeFailure::ParentRefused(5));
        assert!(matches!(
            of(vec![ServerFailure::Fault(NetworkFault::Internal)], &com),
            ProbeFailure::Internal(_)
        ));
    }
}
