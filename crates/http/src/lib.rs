//! What every HTTP surface of Deed shares: the steps around an operation, and nothing about domains or apps.
//!
//! A surface declares its [`Contract`]s and its [`Operation`]s; [`Routes`] serves them. Everything around an operation
//! (keys, limits, idempotency, request ids, errors, metrics, documentation) is done once, in `pipeline`.
#![deny(missing_docs)]

mod auth;
mod body;
mod body_error;
mod call;
mod contract;
mod docs;
mod idempotency;
mod key_cache;
mod metrics;
mod openapi;
mod operation;
pub mod ops;
mod pipeline;
mod query;
mod rate_limit;
mod request_error;
mod request_id;
mod response;
mod routes;
mod server;
mod state;

pub use auth::Caller;
pub use body_error::BodyError;
pub use call::{Call, Decision, Writes};
pub use contract::{Contract, ContractError, Contracts};
pub use idempotency::{ReplayPolicy, fingerprint};
pub use metrics::{HttpMetrics, ReadyMetric};
pub use openapi::Description;
pub use operation::Operation;
pub use query::{Query, encode_cursor};
pub use rate_limit::Rate;
pub use request_error::RequestError;
pub use request_id::RequestId;
pub use response::JsonResponse;
pub use routes::Routes;
pub use server::{Server, ServerConfig, Timeouts};
pub use state::{HttpState, HttpStateParts, SurfaceState};
