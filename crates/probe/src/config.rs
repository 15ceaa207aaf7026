//! What a prober is told: where to start, whom to trust, how much to spend.
use std::net::SocketAddr;
use std::time::Duration;

use crate::network::Network;
use crate::roots::{RootHint, iana_roots};

/// How a [`Prober`](crate::Prober) works.
#[derive(Debug, Clone)]
pub struct ProbeConfig {
    /// Our name in the evidence.
    pub vantage: String,
    /// The port at which name servers are asked; anything but 53 is for private zones and tests.
    pub port: u16,
    /// Ranges that may be asked although they are not public.
    pub allow_networks: Vec<Network>,
    /// Ranges that may not be asked although they are public, the deployment's own; stronger than `allow_networks`.
    pub refuse_networks: Vec<Network>,
    /// Where walks begin; asked at `port`.
    pub roots: Vec<RootHint>,
    /// Trusted recursive resolvers: addresses of name servers that come without glue, and delegations where so set.
    pub resolvers: Vec<SocketAddr>,
    /// Who tells which servers a zone has.
    pub delegation: DelegationSource,
    /// What one look may spend.
    pub budgets: Budgets,
    /// How long a datagram is waited for.
    pub udp_timeout: Duration,
    /// How often a question is sent as a datagram before a connection is tried; 1 to 3 (RFC 9520 §3.1).
    pub udp_tries: u8,
    /// How long a connection, its question and its answer may take together.
    pub tcp_timeout: Duration,
    /// Sockets open at a time; without it a quarter of the process's limit on descriptors, less a reserve.
    pub in_flight: Option<usize>,
    /// Questions a second that one address is asked by all looks together; what our own configuration names, root
    /// servers and resolvers, is asked without a limit. Nought spares nobody, neither the busy nor those that are
    /// silent: for private zones and tests, where one server stands for all.
    pub server_rate: u32,
    /// Questions that may come at once after a pause.
    pub server_burst: u32,
    /// How long a delegation is remembered, at most a minute; nought remembers nothing.
    pub delegation_cache_ttl: Duration,
    /// Whether servers are asked over IPv6.
    pub ipv6: Ipv6,
}

/// Who tells which servers a zone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelegationSource {
    /// The parent zones' servers, from the root downwards.
    FromParent,
    /// The trusted resolvers, for networks that cannot reach the root servers.
    FromResolver,
}

/// Whether servers are asked over IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6 {
    /// Where the host has a route, or a zone has no other servers.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// What one look may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Questions sent, repetitions and confirmation included.
    pub queries: u32,
    /// Time, confirmation included.
    pub time: Duration,
    /// Referrals followed.
    pub referrals: u8,
    /// Aliases followed.
    pub aliases: usize,
    /// Name server names read from one delegation.
    pub ns_read: usize,
    /// Of those without glue, how many are resolved.
    pub ns_resolved: usize,
    /// Servers of one zone asked.
    pub servers: usize,
    /// TXT records read from one answer.
    pub txt_records: usize,
    /// Bytes of TXT values read from one answer.
    pub txt_bytes: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            queries: 60,
            time: Duration::from_secs(20),
            referrals: 12,
            aliases: 8,
            ns_read: 13,
            ns_resolved: 4,
            servers: 8,
            txt_records: 64,
            txt_bytes: 16_384,
        }
    }
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            vantage: "default".to_owned(),
            port: 53,
            allow_networks: vec![],
            refuse_networks: vec![],
            roots: iana_roots(),
            resolvers: vec![],
            delegation: DelegationSource::FromParent,
            budgets: Budgets::default(),
            udp_timeout: Duration::from_millis(1500),
            udp_tries: 2,
            tcp_timeout: Duration::from_secs(3),
            in_flight: None,
            server_rate: 10,
            server_burst: 20,
            delegation_cache_ttl: Duration::from_mins(1),
            ipv6: Ipv6::Auto,
        }
    }
}

/// Why a prober cannot work with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Walks from the root need a root.
    #[error("no root servers are given")]
    NoRoots,
    /// Delegations from a resolver need a resolver.
    #[error("delegations are to come from trusted resolvers, but none is given")]
    NoResolvers,
    /// A root server's name is no domain name.
    #[error("`{0}` is no name of a root server")]
    RootName(String),
    /// A limit of nought would refuse everything.
    #[error("`{0}` has to be more than nought")]
    Nought(&'static str),
    /// More repetitions than a resolver may send.
    #[error("a question is sent at most three times as a datagram, not {0} times")]
    Tries(u8),
    /// Old delegations would decide who owns a name.
    #[error("delegations are remembered for a minute at most")]
    Memory,
}

/// The longest a delegation may be remembered.
const MEMORY: Duration = Duration::from_mins(1);

impl ProbeConfig {
    /// Finds the first fault.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self.delegation {
            DelegationSource::FromParent if self.roots.is_empty() => return Err(ConfigError::NoRoots),
            DelegationSource::FromResolver if self.resolvers.is_empty() => {
                return Err(ConfigError::NoResolvers);
            }
            _ => {}
        }
        let b = &self.budgets;
        let nought = [
            ("port", self.port == 0),
            ("budgets.queries", b.queries == 0),
            ("budgets.time", b.time.is_zero()),
            ("budgets.referrals", b.referrals == 0),
            ("budgets.ns_read", b.ns_read == 0),
            ("budgets.servers", b.servers == 0),
            ("budgets.txt_records", b.txt_records == 0),
            ("budgets.txt_bytes", b.txt_bytes == 0),
            ("udp_timeout", self.udp_timeout.is_zero()),
            ("tcp_timeout", self.tcp_timeout.is_zero()),
            ("in_flight", self.in_flight == Some(0)),
            ("server_burst", self.server_burst == 0),
        ];
        if let Some((what, _)) = nought.iter().find(|(_, is)| *is) {
            return Err(ConfigError::Nought(what));
        }
        if !(1..=3).contains(&self.udp_tries) {
            return Err(ConfigError::Tries(self.udp_tries));
        }
        if self.delegation_cache_ttl > MEMORY {
            return Err(ConfigError::Memory);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(ProbeConfig::default().check(), Ok(()));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let faulty = |change: fn(&mut ProbeConfig)| {
            let mut config = ProbeConfig::default();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(faulty(|c| c.roots.clear()), ConfigError::NoRoots);
        assert_eq!(faulty(|c| c.delegation = DelegationSource::FromResolver), ConfigError::NoResolvers);
        assert_eq!(faulty(|c| c.budgets.queries = 0), ConfigError::Nought("budgets.queries"));
        assert_eq!(faulty(|c| c.in_flight = Some(0)), ConfigError::Nought("in_flight"));
        assert_eq!(faulty(|c| c.server_burst = 0), ConfigError::Nought("server_burst"));
        assert_eq!(faulty(|c| c.udp_tries = 4), ConfigError::Tries(4));
        assert_eq!(faulty(|c| c.delegation_cache_ttl = Duration::from_secs(61)), ConfigError::Memory);
    }
}
