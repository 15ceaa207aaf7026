//! A small authoritative DNS server for development and tests: zones, records and faults are changed while it runs,
//! in process through [`Zones`] or over HTTP through the control interface.
//!
//! One server holds every level: with `auto_zones` it answers authoritatively for the root, for every public suffix
//! and for every registrable domain, so that a walk from the root down finds each zone at the same address. It serves
//! loopback and has no access control.

mod answer;
pub mod control;
mod error;
mod exchange;
mod fault;
mod limits;
mod name;
mod namespace;
mod query_log;
mod rdata;
mod server;
mod tcp;
mod udp;
mod zone;
mod zones;

pub use control::types::{FaultKind, FaultTransport, PutFault, PutRecords, PutZone, QueryView, Transport};
pub use error::{InvalidInput, SandboxError};
pub use limits::Limits;
pub use server::{Sandbox, SandboxConfig};
pub use zones::Zones;
