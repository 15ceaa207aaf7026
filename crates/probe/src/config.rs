//! The prober's configuration: where walks start, which servers are trusted, what a probe may spend.
use std::net::SocketAddr;
use std::time::Duration;

use crate::network::{Network, proxy_networks};
use crate::roots::{RootHint, are_public, iana_roots};
use crate::trust_anchor::TrustAnchor;
use crate::vantage::Vantage;
use crate::wire::absolute_name;

/// Configures a [`Prober`](crate::Prober).
#[derive(Debug, Clone)]
pub struct ProbeConfig {
    /// Our name in the evidence.
    pub vantage: String,
    /// The port of name servers; other ports than 53 are for private zones and tests.
    pub port: u16,
    /// Networks that may be queried although they are not public.
    pub allow_networks: Vec<Network>,
    /// Networks that may not be queried although they are public, such as the deployment's own; stronger than
    /// `allow_networks`.
    pub refuse_networks: Vec<Network>,
    /// Networks of reverse proxies, which hide where a hostname leads.
    pub proxy_networks: Vec<Network>,
    /// The root servers, where walks start; queried at `port`.
    pub roots: Vec<RootHint>,
    /// Trusted validating resolvers: they resolve name servers without glue, validate by DNSSEC, and give delegations
    /// where so configured.
    pub resolvers: Vec<SocketAddr>,
    /// How a match is validated by DNSSEC before it counts.
    pub validation: ValidationMode,
    /// The root keys at which local validation starts; without them IANA's, for the public root servers.
    pub trust_anchor: Option<TrustAnchor>,
    /// Vantage points: resolvers in other networks that are asked whether they see a value that is not signed.
    pub vantages: Vec<Vantage>,
    /// How many vantage points have to see it.
    pub vantage_quorum: usize,
    /// A name that has to exist, queried when no server answers: if it fails as well, the fault is ours. Without it
    /// the root zone.
    pub canary: Option<String>,
    /// Which servers tell the name servers of a zone.
    pub delegation: DelegationSource,
    /// What one probe may spend.
    pub budgets: Budgets,
    /// How long to wait for the answer to a datagram.
    pub udp_timeout: Duration,
    /// How often a query is sent over UDP before TCP is tried; 1 to 3 (RFC 9520 §3.1).
    pub udp_tries: u8,
    /// The limit for connecting, sending the query and receiving the answer over TCP together.
    pub tcp_timeout: Duration,
    /// Sockets open at a time; without it a quarter of the process's descriptor limit, less a reserve.
    pub in_flight: Option<usize>,
    /// Queries per second to one address, over all probes; configured servers (root servers and resolvers) are not
    /// limited. Zero turns off both the rate limit and the circuit breaker for silent servers: for private zones
    /// and tests, where one server holds many zones.
    pub server_rate: u32,
    /// Queries that may be sent at once after a pause.
    pub server_burst: u32,
    /// How long a delegation is cached, at most a minute; zero turns the cache off.
    pub delegation_cache_ttl: Duration,
    /// Whether servers are queried over IPv6.
    pub ipv6: Ipv6,
}

/// Which servers tell the name servers of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelegationSource {
    /// The parent zones' servers, from the root down.
    FromParent,
    /// The trusted resolvers, for networks that cannot reach the root servers.
    FromResolver,
}

/// How answers are validated by DNSSEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationMode {
    /// By the trusted resolvers where there are any, and by the prober itself otherwise.
    Auto,
    /// By the trusted resolvers.
    Resolver,
    /// By the prober itself, from its trust anchor down.
    Own,
    /// Not at all: every zone counts as unsigned.
    Off,
}

/// The validation method that follows from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validator {
    Resolver,
    Own,
    /// There is no key to start at: private roots without a trust anchor.
    NoTrustAnchor,
    Off,
}

/// Whether servers are queried over IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6 {
    /// Where the host has a route, or a zone has no IPv4 servers.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// What one probe may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Queries sent, retransmissions and confirmation included.
    pub queries: u32,
    /// Time, confirmation included.
    pub time: Duration,
    /// Referrals followed.
    pub referrals: u8,
    /// Aliases followed.
    pub aliases: usize,
    /// Name server names read from one delegation.
    pub ns_read: usize,
    /// Name servers without glue that are resolved.
    pub ns_resolved: usize,
    /// Servers of one zone that are queried.
    pub servers: usize,
    /// TXT records at one name above which the set counts as unusually large.
    pub txt_records: usize,
    /// Bytes of TXT values at one name above which the set counts as unusually large.
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
    /// Walks from the root need a root server.
    #[error("no root server is configured")]
    NoRoots,
    /// Delegations from resolvers need a resolver.
    #[error("delegations come from trusted resolvers, but no resolver is configured")]
    NoResolvers,
    /// Validation by resolvers needs a resolver.
    #[error("trusted resolvers validate, but no resolver is configured")]
    NoValidator,
    /// Local validation queries the servers of every parent zone, from the root servers down.
    #[error("local validation needs delegations from the parent zones, not from trusted resolvers")]
    LocalWithoutParents,
    /// The quorum is larger than the number of vantage points, or zero although there are some.
    #[error("the quorum {quorum} does not fit {vantages} vantage points")]
    Quorum {
        /// How many vantage points have to see a value.
        quorum: usize,
        /// How many there are.
        vantages: usize,
    },
    /// More vantage points than the budget of one probe allows.
    #[error("there may be at most {MAX_VANTAGES} vantage points, not {0}")]
    Vantages(usize),
    /// The canary is not a domain name.
    #[error("the canary `{0}` is not a domain name")]
    Canary(String),
    /// A root server's name is not a domain name.
    #[error("the root server's name `{0}` is not a domain name")]
    RootName(String),
    /// A limit of zero would refuse everything.
    #[error("`{0}` must be greater than zero")]
    Zero(&'static str),
    /// More transmissions than a resolver may send.
    #[error("a query is sent over UDP one to three times, not {0} times")]
    Tries(u8),
    /// Old delegations would decide who owns a name.
    #[error("delegations are cached for at most one minute")]
    CacheTtl,
}

/// Vantage points at most: each may take three queries of a probe.
pub(crate) const MAX_VANTAGES: usize = 8;
/// The longest that a delegation may be cached.
const MAX_CACHE_TTL: Duration = Duration::from_mins(1);

impl ProbeConfig {
    /// Finds the first invalid setting.
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
        let zero = [
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
        if let Some((what, _)) = zero.iter().find(|(_, is)| *is) {
            return Err(ConfigError::Zero(what));
        }
        if !(1..=3).contains(&self.udp_tries) {
            return Err(ConfigError::Tries(self.udp_tries));
        }
        if self.delegation_cache_ttl > MAX_CACHE_TTL {
            return Err(ConfigError::CacheTtl);
        }
        Ok(())
    }

    fn check_validation(&self) -> Result<(), ConfigError> {
        match self.validation {
            ValidationMode::Resolver if self.resolvers.is_empty() => return Err(ConfigError::NoValidator),
            ValidationMode::Own if self.delegation == DelegationSource::FromResolver => {
                return Err(ConfigError::LocalWithoutParents);
            }
            _ => {}
        }
        let (quorum, vantages) = (self.vantage_quorum, self.vantages.len());
        if quorum > vantages || (quorum == 0 && vantages > 0) {
            return Err(ConfigError::Quorum { quorum, vantages });
        }
        if vantages > MAX_VANTAGES {
            return Err(ConfigError::Vantages(vantages));
        }
        match &self.canary {
            Some(canary) if absolute_name(canary).is_none() => Err(ConfigError::Canary(canary.clone())),
            _ => Ok(()),
        }
    }

    /// How this prober validates.
    pub(crate) fn validator(&self) -> Validator {
        match self.validation {
            ValidationMode::Off => Validator::Off,
            ValidationMode::Resolver => Validator::Resolver,
            ValidationMode::Auto if !self.resolvers.is_empty() => Validator::Resolver,
            ValidationMode::Auto | ValidationMode::Own => {
                if self.trust_anchor.is_some() || are_public(&self.roots) {
                    Validator::Own
                } else {
                    Validator::NoTrustAnchor
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
    fn chooses_validator_from_configuration() {
        let of = |change: fn(&mut ProbeConfig)| {
            let mut config = ProbeConfig::default();
            change(&mut config);
            config.validator()
        };
        let resolver = |c: &mut ProbeConfig| c.resolvers = vec!["192.0.2.53:53".parse().unwrap()];
        assert_eq!(of(|_| {}), Validator::Own);
        assert_eq!(of(resolver), Validator::Resolver);
        assert_eq!(of(|c| c.validation = ValidationMode::Off), Validator::Off);
        assert_eq!(of(|c| c.roots[3].name = "root.acme.test".into()), Validator::NoTrustAnchor);
    }

    #[test]
    fn rejects_invalid_settings() {
        let faulty = |change: fn(&mut ProbeConfig)| {
            let mut config = ProbeConfig::default();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(faulty(|c| c.roots.clear()), ConfigError::NoRoots);
        assert_eq!(faulty(|c| c.delegation = DelegationSource::FromResolver), ConfigError::NoResolvers);
        assert_eq!(faulty(|c| c.budgets.queries = 0), ConfigError::Zero("budgets.queries"));
        assert_eq!(faulty(|c| c.in_flight = Some(0)), ConfigError::Zero("in_flight"));
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
        assert_eq!(out_of_reach.check(), Err(ConfigError::LocalWithoutParents));
        assert_eq!(faulty(|c| c.server_burst = 0), ConfigError::Zero("server_burst"));
        assert_eq!(faulty(|c| c.udp_tries = 4), ConfigError::Tries(4));
        assert_eq!(faulty(|c| c.delegation_cache_ttl = Duration::from_secs(61)), ConfigError::CacheTtl);
    }
}
