//! What a deployment decides: contests, deadlines, intervals, caps.
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// What happens when a claim is proven while another holder has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestPolicy {
    /// The holder's own record decides: gone, the name moves at once; still there, a contest with grace, which is
    /// refused when the record still stands at its end.
    Evidence,
    /// The name moves at once.
    Immediate,
    /// The same as `Evidence`, but the grace has to run out first, even when the record is gone before.
    Grace,
    /// An operator decides.
    Review,
}

/// When a proven hostname goes into service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// As soon as it is proven.
    Immediate,
    /// When the TLS side says so.
    External,
}

/// The deployment's rules, given to every decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What a contest does.
    pub contest: ContestPolicy,
    /// How long a contest runs before it is decided by the holder's record; as long again where that cannot be seen.
    pub contest_grace: Duration,
    /// The longest pause between two checks of a contest.
    pub contest_interval: Duration,
    /// How long an apex claim waits, and is then watched.
    pub apex_deadline: Duration,
    /// How long a hostname claim waits, and is then watched.
    pub host_deadline: Duration,
    /// First pause between two checks of a watched claim.
    pub watch_first: Duration,
    /// Longest pause between two checks of a watched claim.
    pub watch_longest: Duration,
    /// Pause between two checks of a held name.
    pub held_interval: Duration,
    /// How long proof may be missing before a holding lapses.
    pub drift_grace: Duration,
    /// How long servers may be unreachable before a holding is at risk.
    pub unreachable_after: Duration,
    /// Least pause between two manual checks of a claim.
    pub manual_gap: Duration,
    /// Manual checks of a claim within one hour, at most 100: more are not remembered.
    pub manual_per_hour: usize,
    /// Open claims of one workspace on one name that do not hold it, over all its apps, at least 1.
    pub open_claims_per_claimant: usize,
    /// Open claims on one name, over all workspaces, whose record no server has shown, at least 1. A newcomer is let in
    /// all the same: another one gives way.
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
