//! The HTTP interface: two published contracts over one model, and the relay from the log to the bus.
//!
//! An operation is one async function in one file; everything around it (keys, limits, idempotency, envelopes,
//! request ids, metrics, documentation) is done once, in `pipeline`.
mod apps;
mod auth;
mod body;
mod call;
mod cap;
mod connection;
pub mod dead;
mod docs;
mod domains;
mod error_a;
mod error_b;
mod fault;
mod idempotency;
mod key_cache;
mod limits;
mod metrics;
mod names;
mod openapi;
mod operation;
pub mod ops;
mod pipeline;
mod query;
pub mod relay;
mod reply;
mod request_id;
mod routes;
mod server;
mod shown;
mod state;
#[cfg(test)]
mod testing;
mod wait;

pub use metrics::{HttpMetrics, ReadyMetric};
pub use openapi::openapi;
pub use ops::{Ops, OpsConfig, Readiness};
pub use server::{Api, ApiConfig};
pub use state::{AppState, AppStateParts, Caps};
