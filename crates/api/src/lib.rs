//! The HTTP interface: two published contracts over one model, and the relay from the log to the bus.
//!
//! An operation is one async function in one file; everything around it (keys, limits, idempotency, envelopes,
//! request ids, metrics, documentation) is done once, in `pipeline`.
mod apps;
mod auth;
mod bodies;
mod body;
mod call;
pub mod dead;
mod docs;
mod domains;
mod idempotency;
mod key_cache;
mod metrics;
mod names;
mod open_claim_quota;
mod openapi;
mod operation;
pub mod ops;
mod pipeline;
mod query;
mod rate_limit;
pub mod relay;
mod request_error;
mod request_id;
mod response;
mod routes;
mod server;
mod state;
#[cfg(test)]
mod testing;
mod wait;

pub use metrics::{HttpMetrics, ReadyMetric};
pub use openapi::openapi;
pub use ops::{Ops, OpsConfig, Readiness};
pub use server::{Api, ApiConfig};
pub use state::{AppState, AppStateParts, Caps};
