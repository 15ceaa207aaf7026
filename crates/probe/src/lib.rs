//! Asks the DNS about one name and reports what every server said, without judging it.
//!
//! The zone's own servers are asked, found from the root downwards, so that a fresh record is seen at once and no
//! cache learns of it too early. What it shows is confirmed by DNSSEC, or asked again where a zone is not signed.
//! Nothing here decides who owns a name.
#![deny(missing_docs)]

mod addresses;
mod anchor;
mod ask;
mod budget;
mod cache;
mod canary;
mod config;
mod delegation;
mod descriptors;
mod diagnosis;
mod egress;
mod exchange;
mod inquiry;
mod letters;
mod majority;
mod metrics;
mod network;
mod plain;
mod prober;
mod random;
mod response;
mod roots;
mod round;
mod routing;
mod servers;
mod sparing;
mod transport;
mod validation;
mod vantage;
mod walk;
mod wire;

pub use anchor::{AnchorError, TrustAnchor};
pub use config::{Budgets, ConfigError, DelegationSource, Ipv6, ProbeConfig, ValidationMode};
pub use network::{Network, NetworkError, proxy_networks};
pub use prober::{Look, Prober, Question, Route};
pub use roots::{HintsError, RootHint, iana_roots, roots_from_hints};
pub use vantage::{Vantage, VantageError};
