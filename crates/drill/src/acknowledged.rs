//! The journal of acknowledgements: one line per response that promises something.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    /// When the response arrived.
    pub at: DateTime<Utc>,
    /// What was promised.
    pub what: Promise,
    /// The unique value of the validation record.
    pub record: String,
    /// The claim id, `clm_…`, if the response has it.
    pub claim_id: Option<String>,
    /// The name.
    pub name: String,
    /// The workspace of the request.
    pub workspace: String,
}

/// The kind of promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Promise {
    /// The name is claimed.
    Claimed,
    /// Verification is requested.
    Requested,
    /// The claim is withdrawn.
    Cancelled,
}
