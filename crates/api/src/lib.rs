//! The HTTP interface: two published contracts over one model, and the relay from the log to the bus.
//!
//! An operation is one async function in one file; everything around it is in `deed-http`.
mod apps;
mod bodies;
mod call;
pub mod dead;
mod domains;
mod names;
mod open_claim_quota;
pub mod ops;
pub mod relay;
mod routes;
mod server;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wait;

pub use deed_http::ops::{Health, Ops, OpsConfig, Readiness};
pub use deed_http::{HttpMetrics, ReadyMetric};
pub use routes::{http_metrics, openapi};
pub use server::{Api, ApiConfig};
pub use state::{AppState, AppStateParts, Caps};
