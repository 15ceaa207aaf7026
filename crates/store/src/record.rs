//! Events as they lie in the log.
use std::fmt;

use chrono::{DateTime, Utc};
use deed_claims::{Event, StreamId};
use serde::{Deserialize, Serialize};

/// The number of events in a stream; the first event has version 1, an unwritten stream version 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u64);

/// Place in the log: commit-ordered and gapless; the first event has position 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What led to an event; never read by rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The HTTP request or the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The API key, or the role that acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What the caller's tracing system wants to be passed on beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// When it was written.
    pub recorded_at: DateTime<Utc>,
    /// What led to it.
    pub metadata: Metadata,
    /// What happened, as far as this version knows it.
    pub event: Event,
    /// The same as it lies in the log: JSON that may say more, when a newer version wrote it.
    pub payload: String,
}
