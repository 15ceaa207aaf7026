//! The policy of a deployment: contests, deadlines, intervals, limits.
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// How a contest is decided: a claim is proven while another holder has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestPolicy {
    /// The holder's record decides. If it is absent, the name is transferred at once; otherwise a contest begins, which
    /// is refused if the record still exists at the end of the grace period.
    Evidence,
    /// The name is transferred at once.
    Immediate,
    /// As `Evidence`, but the name is transferred only after the grace period, even if the record is absent before.
    Grace,
    /// An operator decides.
    Review,
}

/// When a proven hostname goes into service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// At once with the proof.
    Immediate,
    /// When the TLS side reports that it is ready.
    External,
}

/// The rules of a deployment, an argument of every decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How contests are decided.
    pub contest: ContestPolicy,
    /// The grace period after which the holder's record decides a contest; twice as long where that is inconclusive.
    pub contest_grace: Duration,
    /// The longest pause between two checks during a contest.
    pub contest_interval: Duration,
    /// The deadline of an apex claim, from its start and again from the first request for verification.
    pub apex_deadline: Duration,
    /// The same deadline of a hostname claim.
    pub host_deadline: Duration,
    /// The first pause between two checks of a claim that is not proven.
    pub watch_first: Duration,
    /// The longest pause between two checks of a claim that is not proven.
    pub watch_longest: Duration,
    /// The pause between two checks of a held name.
    pub held_interval: Duration,
    /// The grace period after which a holding without its record lapses.
    pub drift_grace: Duration,
    /// The time without a conclusive check after which a holding is at risk.
    pub unreachable_after: Duration,
    /// The shortest pause between two manual checks of a claim.
    pub manual_gap: Duration,
    /// The most manual checks of a claim within one hour; at most 100, since no more are kept.
    pub manual_per_hour: usize,
    /// The most open claims of one workspace, with all its apps, on one name that do not hold it; at least 1.
    pub open_claims_per_claimant: usize,
    /// The most open claims of all workspaces on one name whose record no server has shown; at least 1. For a newcomer
    /// another claim gives way.
    pub open_claims_per_name: usize,
    /// When proven hostnames go into service.
    pub activation: Activation,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            contest: ContestPolicy::Evidence,
            contest_grace: Duration::hours(72),
            contest_interval: Duration::minutes(10),
            apex_deadline: Duration::days(7),
            host_deadline: Duration::hours(72),
            watch_first: Duration::seconds(30),
            watch_longest: Duration::hours(4),
            held_interval: Duration::days(7),
            drift_grace: Duration::hours(72),
            unreachable_after: Duration::days(14),
            manual_gap: Duration::seconds(10),
            manual_per_hour: 10,
            open_claims_per_claimant: 3,
            open_claims_per_name: 50,
            activation: Activation::Immediate,
        }
    }
}
