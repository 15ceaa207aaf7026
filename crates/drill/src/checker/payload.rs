//! The fields of event payloads that the checker reads.
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::evidence::{LogRow, Micros};

/// The fields of all kinds; which of them a kind has is up to the reader.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The claim.
    pub claim_id: String,
    #[serde(default)]
    pub holder_claim_id: Option<String>,
    /// When it happened.
    pub at: DateTime<Utc>,
    #[serde(default)]
    pub attempt: Option<i64>,
    #[serde(default)]
    pub cause: Option<String>,
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub resolution: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub next_check_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub scope: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub holder: Option<serde_json::Value>,
    #[serde(default)]
    pub challenge: Option<Challenge>,
}

/// The challenge.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// Its name.
    pub record_name: String,
    /// Its value.
    pub record_value: String,
}

/// An event about claims on a name.
#[derive(Debug, Clone)]
pub struct ClaimEvent<'a> {
    /// Its row.
    pub row: &'a LogRow,
    /// The payload.
    pub payload: Payload,
}

/// Whether a row is about claims on a name, by its stream.
pub fn is_about_claims(row: &LogRow) -> bool {
    row.stream.starts_with("apex:") || row.stream.starts_with("host:")
}

impl<'a> ClaimEvent<'a> {
    /// Reads a row.
    pub fn read(row: &'a LogRow) -> Result<Self, String> {
        let payload = Payload::deserialize(&row.payload)
            .map_err(|error| format!("position {}: {} cannot be read: {error}", row.position, row.kind))?;
        Ok(Self { row, payload })
    }

    /// When it happened.
    pub fn at(&self) -> Micros {
        self.payload.at.timestamp_micros()
    }

    /// The claim.
    pub fn claim(&self) -> &str {
        &self.payload.claim_id
    }
}
