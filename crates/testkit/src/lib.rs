//! Fixtures, a fake clock and private services for tests.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a fixture that cannot be created fails its test with a message"
)]

mod clock;
mod condition;
mod dns;
mod network_namespace;
mod ports;
mod postgres;
mod proxy;
mod rabbitmq;

pub use clock::FakeClock;
pub use condition::eventually;
pub use dns::{Bind, Denial, Knot, Nsd, PowerDns, SignedZone, Stub, Unbound, Validity, ZoneText};
pub use network_namespace::NetworkNamespace;
pub use ports::free_port;
pub use postgres::{Database, Postgres};
pub use proxy::{Proxy, ProxyCounts};
pub use rabbitmq::{RabbitMq, VHost};
