//! Whether a hostname points at its app. That is told apart from the proof: a hostname may be proven and lead elsewhere,
//! and the other way round.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::escape::printable_name;

/// Addresses and names kept.
const KEPT: usize = 3;

/// What the DNS says of a hostname and of the target that it has to point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingSeen {
    /// The target, without the trailing dot.
    pub target: String,
    /// The target of each CNAME in turn, from the hostname on.
    pub aliases: Vec<String>,
    /// Addresses at the end of the aliases.
    pub addresses: Vec<IpAddr>,
    /// The target's own addresses.
    pub target_addresses: Vec<IpAddr>,
    /// Every address at the end belongs to a proxy, behind which the real target cannot be seen.
    pub proxied: bool,
}

/// Where a hostname leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingState {
    /// To the target: by its aliases, or by the target's own addresses, as where an alias at an apex is flattened.
    Ok,
    /// Nowhere: it has neither an alias nor an address.
    Missing,
    /// To something else.
    Elsewhere,
    /// To a proxy, which may or may not lead to the target.
    Proxied,
}

/// Where a hostname leads, as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    /// Where it leads.
    pub state: RoutingState,
    /// Where it has to lead.
    pub target: String,
    /// What was seen: the last alias, then addresses; printable, at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
}

impl Routing {
    /// Judges what was seen.
    pub fn of(seen: &RoutingSeen) -> Self {
        let is_target = |name: &String| name.trim_end_matches('.').eq_ignore_ascii_case(&seen.target);
        let flattened = !seen.addresses.is_empty()
            && seen.addresses.iter().all(|address| seen.target_addresses.contains(address));
        let state = match () {
            () if seen.aliases.iter().any(is_target) || flattened => RoutingState::Ok,
            () if seen.aliases.is_empty() && seen.addresses.is_empty() => RoutingState::Missing,
            () if seen.proxied && !seen.addresses.is_empty() => RoutingState::Proxied,
            () => RoutingState::Elsewhere,
        };
        let alias = seen.aliases.last().map(|alias| printable_name(alias));
        let addresses = seen.addresses.iter().map(ToString::to_string);
        Self {
            state,
            target: printable_name(&seen.target),
            seen: alias.into_iter().chain(addresses).take(KEPT).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(aliases: &[&str], addresses: &[u8], proxied: bool) -> RoutingState {
        let of = |last: &u8| IpAddr::from([192, 0, 2, *last]);
        let seen = RoutingSeen {
            target: "app.apps.vendor.com".to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            addresses: addresses.iter().map(of).collect(),
            target_addresses: [1, 2].iter().map(of).collect(),
            proxied,
        };
        Routing::of(&seen).state
    }

    #[test]
    fn an_alias_of_the_target_is_ok_whatever_stands_behind_it() {
        assert_eq!(state(&["APP.apps.vendor.com."], &[], false), RoutingState::Ok);
        assert_eq!(
            state(&["www.acme.com", "app.apps.vendor.com", "lb.vendor.com"], &[9], false),
            RoutingState::Ok
        );
        assert_eq!(state(&["other.apps.vendor.com"], &[9], false), RoutingState::Elsewhere);
    }

    #[test]
    fn a_flattened_alias_has_the_addresses_of_the_target() {
        assert_eq!(state(&[], &[1], false), RoutingState::Ok);
        assert_eq!(state(&[], &[1, 2], false), RoutingState::Ok);
        assert_eq!(state(&[], &[1, 9], false), RoutingState::Elsewhere, "one of them is another's");
    }

    #[test]
    fn nothing_and_proxies_are_told_apart() {
        assert_eq!(state(&[], &[], false), RoutingState::Missing);
        assert_eq!(state(&["gone.example.net"], &[], false), RoutingState::Elsewhere, "an alias to nothing");
        assert_eq!(state(&[], &[9], true), RoutingState::Proxied);
        assert_eq!(state(&[], &[1], true), RoutingState::Ok);
    }
}
