//! The validation record of a claim, and its last known status.
use std::sync::Arc;

use deed_claims::{Challenge, CheckOutcome, Claim, ClaimState};
use serde::Serialize;
use utoipa::ToSchema;

/// A DNS record to publish.
#[derive(Debug, Serialize, ToSchema)]
pub struct DnsRecord {
    #[serde(rename = "type")]
    kind: RecordType,
    /// The full name of the record.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// The whole value.
    #[schema(value_type = String)]
    value: Arc<str>,
    /// `pending` while it is waited for, `verified` when it was seen, `failed` when it is missing or the claim ended without it.
    status: RecordStatus,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    Txt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordStatus {
    Pending,
    Verified,
    Failed,
}

impl DnsRecord {
    /// The record of a claim.
    pub fn of(claim: &Claim) -> Self {
        let Challenge { record_name, record_value, .. } = claim.challenge.clone();
        Self { kind: RecordType::Txt, name: record_name, value: record_value, status: status(claim) }
    }
}

fn status(claim: &Claim) -> RecordStatus {
    let seen = claim.last_check.as_ref().is_some_and(|check| check.outcome == CheckOutcome::Proven);
    match claim.state {
        ClaimState::Initiated { .. } | ClaimState::Verifying { .. } => RecordStatus::Pending,
        ClaimState::Proven | ClaimState::Contesting(_) | ClaimState::Held(_) => RecordStatus::Verified,
        ClaimState::Ended { .. } if seen => RecordStatus::Verified,
        ClaimState::AtRisk { .. } | ClaimState::Ended { .. } => RecordStatus::Failed,
    }
}

/// A record whose removal decides a contest.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordToRemove {
    #[serde(rename = "type")]
    kind: RecordType,
    /// The full name of the record.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// The whole value.
    #[schema(value_type = String)]
    value: Arc<str>,
}

impl RecordToRemove {
    /// The record of a claim.
    pub fn of(claim: &Claim) -> Self {
        let Challenge { record_name, record_value, .. } = claim.challenge.clone();
        Self { kind: RecordType::Txt, name: record_name, value: record_value }
    }
}
