//! What the service said yes to: one line of the journal for each answer that promises something.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    /// When the answer arrived.
    pub at: DateTime<Utc>,
    /// What was promised.
    pub what: Promise,
    /// The value of the claim's record, which no other claim has.
    pub record: String,
    /// The claim, `clm_…`, where the answer names it.
    pub claim_id: Option<String>,
    /// The name.
    pub name: String,
    /// The workspace that asked.
    pub workspace: String,
}

/// What an answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Promise {
    /// The name is claimed.
    Claimed,
    /// Verification is on its way.
    Requested,
    /// The claim is withdrawn.
    Cancelled,
}
