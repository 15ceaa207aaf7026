//! What travels between roles: the envelope, the work, the names of exchange and queues, and the trace context.
//!
//! Pure: the crate encodes and decodes. It has no broker client and does no I/O.
#![deny(missing_docs)]

mod cloud_event;
pub mod queues;
mod trace_context;
mod verification;

pub use cloud_event::{CloudEvent, CloudEventError};
pub use trace_context::TraceContext;
pub use verification::{InvalidWork, VerificationTask, VerificationWork};
