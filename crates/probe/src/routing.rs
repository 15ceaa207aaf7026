//! Probes where a hostname leads, with the same servers and the same budget as its record.
use std::net::IpAddr;

use deed_diagnosis::RoutingSeen;
use hickory_proto::rr::{Name, RecordType};

use crate::delegation::Delegation;
use crate::lookup::{AddressNeed, Lookup, Nesting, WalkDepth};
use crate::response::{Response, text_of};
use crate::staggered::ZoneFailure;
use crate::wire::{DnsQuery, Recursion, absolute_name};

/// Queries that have to be left.
const MIN_LEFT: u32 = 8;

/// The aliases passed and the addresses at their end.
#[derive(Debug, Default)]
struct RoutingTrace {
    aliases: Vec<Name>,
    addresses: Vec<IpAddr>,
}

/// The answer of one zone's servers about a name: the aliases in it, and the addresses at their end.
type RoutingAnswer = (Vec<Name>, Vec<IpAddr>);

impl Lookup<'_> {
    /// Where a hostname leads; none when that could not be found out.
    pub(crate) async fn route(&self, host: &str, target: &str) -> Option<RoutingSeen> {
        let (host, target) = (absolute_name(host)?, absolute_name(target)?);
        if self.budget.left() < MIN_LEFT {
            return None;
        }
        let trace = self.trace(&host, &target).await?;
        let reaches = trace.aliases.contains(&target);
        // Only a hostname without an alias may have been flattened.
        let theirs = if trace.aliases.is_empty() && !trace.addresses.is_empty() {
            self.trace(&target, &target).await.unwrap_or_default().addresses
        } else {
            vec![]
        };
        let proxies = &self.shared.config.proxy_networks;
        let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(*address));
        Some(RoutingSeen {
            target: text_of(&target),
            aliases: trace.aliases.iter().map(text_of).collect(),
            proxied: !reaches && !trace.addresses.is_empty() && trace.addresses.iter().all(is_proxy),
            addresses: trace.addresses,
            target_addresses: theirs,
        })
    }

    /// Follows a name to its addresses, or until it reaches `end`; none when no server answered.
    async fn trace(&self, name: &Name, end: &Name) -> Option<RoutingTrace> {
        let mut trace = RoutingTrace::default();
        let mut at = name.clone();
        loop {
            let (aliases, addresses) = self.answer_at(&at).await?;
            let last = aliases.last().cloned();
            let again = aliases.iter().any(|alias| trace.aliases.contains(alias) || *alias == *name);
            trace.aliases.extend(aliases);
            trace.addresses = addresses;
            let enough = trace.aliases.len() > self.shared.config.budgets.aliases;
            match last {
                Some(alias)
                    if trace.addresses.is_empty() && !again && !enough && !trace.aliases.contains(end) =>
                {
                    at = alias;
                }
                _ => return Some(trace),
            }
        }
    }

    /// IPv4 addresses, or IPv6 addresses where there are none.
    async fn answer_at(&self, at: &Name) -> Option<RoutingAnswer> {
        let cut = self.enclosing_zone(at, WalkDepth::ToName, Nesting::Outer).await.ok()?;
        let cut = self.with_addresses(cut, AddressNeed::Any, Nesting::Outer).await;
        let v4 = self.query_at(&cut, at, RecordType::A).await.ok()?;
        if v4.0.is_empty() && v4.1.is_empty() {
            self.query_at(&cut, at, RecordType::AAAA).await.ok()
        } else {
            Some(v4)
        }
    }

    async fn query_at(
        &self,
        cut: &Delegation,
        at: &Name,
        rtype: RecordType,
    ) -> Result<RoutingAnswer, ZoneFailure> {
        let query = DnsQuery { name: at.clone(), rtype, recursion: Recursion::No };
        let longest = self.shared.config.budgets.aliases;
        let read = |response: &Response| {
            let counts = response.is_conclusive() && response.authoritative() && !response.truncated();
            counts.then(|| {
                let mut addresses = response.addresses(at, longest);
                addresses.sort_unstable();
                addresses.dedup();
                (response.chain(at, longest).targets, addresses)
            })
        };
        self.agreed_answer(cut, &query, read).await
    }
}
