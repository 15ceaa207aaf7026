//! Routing: whether a hostname points at the CNAME target of its app. It is independent of the proof.
use serde::{Deserialize, Serialize};

use crate::RoutingSeen;
use crate::escape::printable_name;

/// The most addresses and names kept.
const MAX_SEEN: usize = 3;

/// The state of a hostname's routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingState {
    /// It points at the target: by its aliases, or by the target's addresses, as with CNAME flattening at an apex.
    Ok,
    /// It has neither an alias nor an address.
    Missing,
    /// It points elsewhere.
    Elsewhere,
    /// It points at a proxy, which may or may not lead to the target.
    Proxied,
}

/// The routing of a hostname, as the evidence keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    /// The state.
    pub state: RoutingState,
    /// The target.
    pub target: String,
    /// The last alias, then addresses; printable, at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
}

impl Routing {
    /// Judges the DNS data.
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
            seen: alias.into_iter().chain(addresses).take(MAX_SEEN).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(aliases: &[&str], addresses: &[u8], proxied: bool) -> RoutingState {
        let of = |last: &u8| std::net::IpAddr::from([192, 0, 2, *last]);
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
    fn alias_of_the_target_is_ok() {
        assert_eq!(state(&["APP.apps.vendor.com."], &[], false), RoutingState::Ok);
        assert_eq!(
            state(&["www.acme.com", "app.apps.vendor.com", "lb.vendor.com"], &[9], false),
            RoutingState::Ok
        );
        assert_eq!(state(&["other.apps.vendor.com"], &[9], false), RoutingState::Elsewhere);
    }

    #[test]
    fn flattened_alias_has_the_addresses_of_the_target() {
        assert_eq!(state(&[], &[1], false), RoutingState::Ok);
        assert_eq!(state(&[], &[1, 2], false), RoutingState::Ok);
        assert_eq!(
            state(&[], &[1, 9], false),
            RoutingState::Elsewhere,
            "one address belongs to another target"
        );
    }

    #[test]
    fn distinguishes_missing_records_from_proxies() {
        assert_eq!(state(&[], &[], false), RoutingState::Missing);
        assert_eq!(state(&["gone.example.net"], &[], false), RoutingState::Elsewhere, "an alias to nothing");
        assert_eq!(state(&[], &[9], true), RoutingState::Proxied);
        assert_eq!(state(&[], &[1], true), RoutingState::Ok);
    }
}
