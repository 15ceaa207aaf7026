//! Fixtures, a fake clock and private services for tests.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a fixture that cannot be made fails its test, and says why"
)]

mod clock;
mod condition;
mod dns;
mod own_network;
mod ports;
mod postgres;
mod proxy;
mod rabbitmq;

pub use clock::FakeClock;
pub use condition::eventually;
pub use dns::{Bind, Denial, Knot, Nsd, PowerDns, SignedZone, Stub, Unbound, Validity, ZoneText};
pub use own_network::OwnNetwork;
pub use ports::free_port;
pub use postgres::{Database, Postgres};
pub use proxy::{Proxy, ProxyCounts};
pub use rabbitmq::{RabbitMq, VHost};
