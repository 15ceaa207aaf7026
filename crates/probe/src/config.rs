//! What a prober is told: where to start, whom to trust, how much to spend.
use std::net::SocketAddr;
use std::time::Duration;

use crate::anchor::TrustAnchor;
use crate::network::{Network, proxy_networks};
use crate::roots::{RootHint, are_public, iana_roots};
use crate::vantage::Vantage;
use crate::wire::absolute;

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
    /// Ranges of proxies: a hostname that leads there may lead anywhere.
    pub proxy_networks: Vec<Network>,
    /// Where walks begin; asked at `port`.
    pub roots: Vec<RootHint>,
    /// Trusted recursive resolvers that validate: addresses of name servers that come without glue, verdicts of
    /// DNSSEC, and delegations where so set.
    pub resolvers: Vec<SocketAddr>,
    /// Who validates by DNSSEC before a match counts.
    pub validation: ValidationMode,
    /// The root's keys that our own validation begins with; without them IANA's, for the public root servers.
    pub trust_anchor: Option<TrustAnchor>,
    /// Resolvers elsewhere that are asked whether they see a value that is not signed; asked as they are configured.
    pub vantages: Vec<Vantage>,
    /// How many of them have to see it.
    pub vantage_quorum: usize,
    /// A name that has to exist, asked for when nothing answers: what fails then is ours. Without it the root zone.
    pub canary: Option<String>,
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

/// Who validates by DNSSEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationMode {
    /// The trusted resolvers where there are any, and the prober itself otherwise.
    Auto,
    /// The trusted resolvers.
    Resolver,
    /// The prober itself, from its trust anchor down.
    Own,
    /// Nobody: every zone counts as unsigned.
    Off,
}

/// Who validates, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validator {
    Resolver,
    Own,
    /// There are no keys to begin with: private roots without a trust anchor.
    Keyless,
    Off,
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
    /// TXT records at one name from which on the set is unusually large.
    pub txt_records: usize,
    /// Bytes of TXT values at one name from which on the set is unusually large.
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
            proxy_networks: proxy_networks(),
            roots: iana_roots(),
            resolvers: vec![],
            validation: ValidationMode::Auto,
            trust_anchor: None,
            vantages: vec![],
            vantage_quorum: 0,
            canary: None,
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
    /// A resolver that is to validate has to be there.
    #[error("trusted resolvers are to validate, but none is given")]
    NoValidator,
    /// Own validation asks every parent zone's servers, from the root servers down.
    #[error("own validation needs delegations from the parent zones, not from trusted resolvers")]
    OutOfReach,
    /// More vantages have to agree than there are, or none of those that are asked.
    #[error("{quorum} of {vantages} vantages cannot agree")]
    Quorum {
        /// How many have to see a value.
        quorum: usize,
        /// How many there are.
        vantages: usize,
    },
    /// More vantages than one check has questions for.
    #[error("at most {MOST_VANTAGES} vantages are asked, not {0}")]
    Vantages(usize),
    /// The canary is no domain name.
    #[error("the canary `{0}` is no domain name")]
    Canary(String),
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

/// Vantages asked at most: each may take three questions of a check.
pub(crate) const MOST_VANTAGES: usize = 8;
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
        self.check_validation()?;
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

    fn check_validation(&self) -> Result<(), ConfigError> {
        match self.validation {
            ValidationMode::Resolver if self.resolvers.is_empty() => return Err(ConfigError::NoValidator),
            ValidationMode::Own if self.delegation == DelegationSource::FromResolver => {
                return Err(ConfigError::OutOfReach);
            }
            _ => {}
        }
        let (quorum, vantages) = (self.vantage_quorum, self.vantages.len());
        if quorum > vantages || (quorum == 0 && vantages > 0) {
            return Err(ConfigError::Quorum { quorum, vantages });
        }
        if vantages > MOST_VANTAGES {
            return Err(ConfigError::Vantages(vantages));
        }
        match &self.canary {
            Some(canary) if absolute(canary).is_none() => Err(ConfigError::Canary(canary.clone())),
            _ => Ok(()),
        }
    }

    /// Who validates.
    pub(crate) fn validator(&self) -> Validator {
        match self.validation {
            ValidationMode::Off => Validator::Off,
            ValidationMode::Resolver => Validator::Resolver,
            ValidationMode::Auto if !self.resolvers.is_empty() => Validator::Resolver,
            ValidationMode::Auto | ValidationMode::Own => {
                if self.trust_anchor.is_some() || are_public(&self.roots) {
                    Validator::Own
                } else {
                    Validator::Keyless
                }
            }
        }
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
    fn who_validates_follows_from_what_there_is_to_validate_by() {
        let of = |change: fn(&mut ProbeConfig)| {
            let mut config = ProbeConfig::default();
            change(&mut config);
            config.validator()
        };
        let resolver = |c: &mut ProbeConfig| c.resolvers = vec!["192.0.2.53:53".parse().unwrap()];
        assert_eq!(of(|_| {}), Validator::Own);
        assert_eq!(of(resolver), Validator::Resolver);
        assert_eq!(of(|c| c.validation = ValidationMode::Off), Validator::Off);
        assert_eq!(of(|c| c.roots[3].name = "root.acme.test".into()), Validator::Keyless);
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
        assert_eq!(faulty(|c| c.validation = ValidationMode::Resolver), ConfigError::NoValidator);
        let vantage: Vantage = "one=192.0.2.53:53".parse().unwrap();
        assert_eq!(faulty(|c| c.vantage_quorum = 1), ConfigError::Quorum { quorum: 1, vantages: 0 });
        let mut config = ProbeConfig { vantages: vec![vantage; 9], ..ProbeConfig::default() };
        assert_eq!(config.check(), Err(ConfigError::Quorum { quorum: 0, vantages: 9 }));
        config.vantage_quorum = 2;
        assert_eq!(config.check(), Err(ConfigError::Vantages(9)));
        config.vantages.truncate(2);
        assert_eq!(config.check(), Ok(()));
        config.canary = Some("a..b".to_owned());
        assert_eq!(config.check(), Err(ConfigError::Canary("a..b".to_owned())));
        let out_of_reach = ProbeConfig {
            validation: ValidationMode::Own,
            delegation: DelegationSource::FromResolver,
            resolvers: vec!["192.0.2.53:53".parse().unwrap()],
            ..ProbeConfig::default()
        };
        assert_eq!(out_of_reach.check(), Err(ConfigError::OutOfReach));
        assert_eq!(faulty(|c| c.server_burst = 0), ConfigError::Nought("server_burst"));
        assert_eq!(faulty(|c| c.udp_tries = 4), ConfigError::Tries(4));
        assert_eq!(faulty(|c| c.delegation_cache_ttl = Duration::from_secs(61)), ConfigError::Memory);
    }
}
