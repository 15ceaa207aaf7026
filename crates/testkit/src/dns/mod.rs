//! Private name servers and resolvers of third parties, on loopback addresses and free ports.
mod bind;
mod knot;
mod nsd;
mod powerdns;
mod process;
mod sign;
mod soa_query;
mod unbound;
mod zone;

pub use bind::Bind;
pub use knot::Knot;
pub use nsd::Nsd;
pub use powerdns::PowerDns;
pub use sign::{Denial, SignedZone, Validity};
pub use unbound::{Stub, Unbound};
pub use zone::ZoneText;
