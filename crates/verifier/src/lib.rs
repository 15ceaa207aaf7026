//! Processes verification work: takes a message, probes the DNS, and records the outcome for the claim.
//!
//! - A message is a hint that work may be due; the claim's stream decides what has to be done.
//! - A failed check is recorded as data. An internal failure records nothing: the claim's due work is published again.
//! - While the canary fails, the verifier consumes no message and changes no claim.
//! - A message is settled after its result is durable, so a crash repeats work and never loses it.
mod canary;
mod check;
mod check_context;
mod config;
mod failure_backoff;
mod in_flight_checks;
mod metadata;
mod metrics;
mod outcome;
mod pauses;
mod run;
mod spans;
#[cfg(test)]
mod testing;

pub use check::Verifier;
pub use config::VerifierConfig;
pub use metrics::VerifierMetrics;
pub use run::run_verifier;
