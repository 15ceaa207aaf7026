//! Probes the DNS for one name and reports the answer of every name server, without judging it.
//!
//! A probe walks from the root down to the zone and queries the zone's own servers, so that a fresh record is seen at
//! once and no cache learns of it too early. A match is confirmed by DNSSEC, or by a second lookup over TCP where the
//! zone is not signed. Ownership is decided elsewhere.
#![deny(missing_docs)]

mod budget;
mod canary;
mod canary_query;
mod case_sensitivity;
mod config;
mod delegation;
mod delegation_cache;
mod descriptors;
mod dnssec_clock;
mod egress;
mod exchange;
mod findings;
mod follow_aliases;
mod glueless_zones;
mod key_cache;
mod lookup;
mod lookup_mode;
mod majority;
mod metrics;
mod most_frequent;
mod network;
mod no_edns_cache;
mod ns_addresses;
mod prober;
mod query_all;
mod query_one;
mod rcode;
mod resolvers;
mod response;
mod roots;
mod routing;
mod server_limiter;
mod server_selection;
mod staggered;
mod transport;
mod trust_anchor;
mod validation;
mod vantage;
mod walk;
mod wire;

pub use config::{Budgets, ConfigError, DelegationSource, Ipv6, ProbeConfig, ValidationMode};
pub use network::{Network, NetworkError, proxy_networks};
pub use prober::{Probe, Prober, Question, RoutingQuestion};
pub use roots::{HintsError, RootHint, iana_roots, roots_from_hints};
pub use trust_anchor::{AnchorError, TrustAnchor};
pub use vantage::{Vantage, VantageError};
