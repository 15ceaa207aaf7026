//! Where a hostname leads, asked of the same servers and paid from the same budget as its record.
use std::net::IpAddr;

use deed_claims::RoutingSeen;
use hickory_proto::rr::{Name, RecordType};

use crate::addresses::{Need, settled};
use crate::delegation::Delegation;
use crate::inquiry::Inquiry;
use crate::response::{Response, text_of};
use crate::walk::{Dead, Nesting, Reach};
use crate::wire::{Recursion, Wanted, absolute};

/// Questions that have to be left.
const LEAST: u32 = 8;

/// Aliases and addresses of a name.
#[derive(Debug, Default)]
struct Led {
    aliases: Vec<Name>,
    addresses: Vec<IpAddr>,
}

/// What one zone's servers say of a name: the aliases that their answer holds, and the addresses at their end.
type Answer = (Vec<Name>, Vec<IpAddr>);

impl Inquiry<'_> {
    /// Where a hostname leads; none when that could not be found out.
    pub(crate) async fn route(&self, host: &str, target: &str) -> Option<RoutingSeen> {
        let (host, target) = (absolute(host)?, absolute(target)?);
        if self.budget.left() < LEAST {
            return None;
        }
        let led = self.lead(&host, &target).await?;
        let reaches = led.aliases.contains(&target);
        // Only a hostname without an alias may have been flattened.
        let theirs = if led.aliases.is_empty() && !led.addresses.is_empty() {
            self.lead(&target, &target).await.unwrap_or_default().addresses
        } else {
            vec![]
        };
        let proxies = &self.shared.config.proxy_networks;
        let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(*address));
        Some(RoutingSeen {
            target: text_of(&target),
            aliases: led.aliases.iter().map(text_of).collect(),
            proxied: !reaches && !led.addresses.is_empty() && led.addresses.iter().all(is_proxy),
            addresses: led.addresses,
            target_addresses: theirs,
        })
    }

    /// Follows a name to its addresses, or until it reaches `end`; none when no server answered.
    async fn lead(&self, name: &Name, end: &Name) -> Option<Led> {
        let mut led = Led::default();
        let mut at = name.clone();
        loop {
            let (aliases, addresses) = self.families_at(&at).await?;
            let last = aliases.last().cloned();
            let again = aliases.iter().any(|alias| led.aliases.contains(alias) || *alias == *name);
            led.aliases.extend(aliases);
            led.addresses = addresses;
            let enough = led.aliases.len() > self.shared.config.budgets.aliases;
            match last {
                Some(alias)
                    if led.addresses.is_empty() && !again && !enough && !led.aliases.contains(end) =>
                {
                    at = alias;
                }
                _ => return Some(led),
            }
        }
    }

    /// IPv4 addresses, or where there are none, IPv6.
    async fn families_at(&self, at: &Name) -> Option<Answer> {
        let cut = self.enclosing(at, Reach::Whole, Nesting::Outer).await.ok()?;
        let cut = self.with_addresses(cut, Need::Any, Nesting::Outer).await;
        let v4 = self.ask_at(&cut, at, RecordType::A).await.ok()?;
        if v4.0.is_empty() && v4.1.is_empty() {
            self.ask_at(&cut, at, RecordType::AAAA).await.ok()
        } else {
            Some(v4)
        }
    }

    async fn ask_at(&self, cut: &Delegation, at: &Name, rtype: RecordType) -> Result<Answer, Dead> {
        let wanted = Wanted { name: at.clone(), rtype, recursion: Recursion::No };
        let longest = self.shared.config.budgets.aliases;
        let read = |response: &Response| {
            let counts = settled(response) && response.authoritative() && !response.truncated();
            counts.then(|| {
                let mut addresses = response.addresses(at, longest);
                addresses.sort_unstable();
                addresses.dedup();
                (response.chain(at, longest).targets, addresses)
            })
        };
        self.told_by(cut, &wanted, read).await
    }
}
