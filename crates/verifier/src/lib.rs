//! Does verification work: takes a message, looks at the DNS, records what the look means for the claim.
//!
//! - A message is a hint that work may be due; what is to be done is read from the claim's stream.
//! - A failed check is recorded as data. Trouble of our own records nothing: the claim's due work asks again.
//! - While not even names that have to exist can be asked for, nothing is consumed and no claim changes.
//! - A message is settled after what it led to is durable, so a crash repeats work and never loses it.
mod canary;
mod check;
mod config;
mod in_hand;
mod metrics;
mod run;
mod sight;
mod spans;
#[cfg(test)]
mod testing;
mod troubles;
mod work;

pub use config::VerifierConfig;
pub use metrics::VerifierMetrics;
pub use run::{Verifier, run_verifier};
