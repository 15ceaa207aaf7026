//! Private name servers of others: what serves zones on the real network, on loopback addresses and a free port.
mod bind;
mod knot;
mod nsd;
mod powerdns;
mod process;
mod question;
mod sign;
mod unbound;
mod zone;

pub use bind::Bind;
pub use knot::Knot;
pub use nsd::Nsd;
pub use powerdns::PowerDns;
pub use sign::{Denial, SignedZone, Validity};
pub use unbound::{Stub, Unbound};
pub use zone::ZoneText;
