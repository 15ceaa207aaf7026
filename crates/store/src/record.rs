//! Events as they are stored in the log.
use std::fmt;

use chrono::{DateTime, Utc};
use deed_claims::{Event, StreamId};
use serde::{Deserialize, Serialize};

/// The number of events in a stream; the first event has version 1, an unwritten stream version 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u64);

/// The place of an event in the log: in commit order, without gaps; the first event has position 1.
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

/// What caused an event; domain rules never read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The id of the HTTP request or the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The API key, or the role that acted on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// W3C `tracestate`, passed on for the caller's tracing system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// Its position in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its version in the stream.
    pub version: Version,
    /// When it was written.
    pub recorded_at: DateTime<Utc>,
    /// What caused it.
    pub metadata: Metadata,
    /// The event, as far as this version knows it.
    pub event: Event,
    /// The schema of the stored JSON, which may be older than that of `event`.
    pub schema: u16,
    /// The stored JSON; it may have more fields when a newer version wrote it.
    pub payload: String,
}
