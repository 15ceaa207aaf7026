//! The service as a library: its configuration, telemetry, wiring and lifecycle. The executable, tests and tools run it.
#![deny(missing_docs)]
#![warn(unreachable_pub)]

mod bus;
pub mod config;
mod error;
#[cfg(test)]
mod metrics_page;
mod parts;
mod process;
mod purge;
mod serve;
mod service;
mod signals;
mod store;
mod tasks;
mod telemetry;

pub use bus::broker;
pub use error::ServiceError;
pub use process::{Process, owner};
pub use serve::{StopCondition, serve};
pub use service::Service;
pub use signals::stop_signal;
pub use store::{Migrated, Store, StoreError, migrate};
pub use telemetry::TelemetryError;
