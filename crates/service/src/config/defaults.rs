//! Defaults of configuration keys that the crates behind them declare. No value is repeated here.
use std::time::Duration;

use chrono::TimeDelta;
use deed_api::Caps;
use deed_claims::Policy;
use deed_probe::ProbeConfig;
use deed_projector::DispatcherConfig;
use deed_store_postgres::PostgresConfig;
use deed_verifier::VerifierConfig;

pub(super) fn postgres() -> PostgresConfig {
    PostgresConfig::new("")
}

pub(super) fn bus() -> deed_bus::Limits {
    deed_bus::Limits::default()
}

pub(super) fn probe() -> ProbeConfig {
    ProbeConfig::default()
}

pub(super) fn policy() -> Policy {
    Policy::default()
}

pub(super) fn api() -> Caps {
    Caps::default()
}

pub(super) fn verifier() -> VerifierConfig {
    VerifierConfig::default()
}

pub(super) fn dispatcher() -> DispatcherConfig {
    DispatcherConfig::default()
}

/// A default duration of the model, which is never negative.
pub(super) fn duration(delta: TimeDelta) -> Duration {
    delta.to_std().unwrap_or_default()
}

/// A default rate, which is a small whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
pub(super) fn per_second(rate: f64) -> u32 {
    rate as u32
}
