//! Lines of the DNS journal.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An entry of the DNS journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsLine {
    /// The time; of a change before it is visible, of an answer before it is sent.
    pub at: DateTime<Utc>,
    /// The event.
    #[serde(flatten)]
    pub event: DnsEvent,
}

/// An event at the DNS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub enum DnsEvent {
    /// A TXT record was published.
    Set {
        /// Its name, lower case, without the trailing dot.
        name: String,
        /// Its value.
        value: String,
    },
    /// A TXT record was removed.
    Cleared {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A query was answered.
    Answered {
        /// The queried name, lower case, without the trailing dot.
        name: String,
        /// The queried type.
        kind: String,
        /// The transport.
        transport: DnsTransport,
        /// The response code.
        code: u16,
        /// Whether the answer was truncated.
        #[serde(default)]
        truncated: bool,
        /// The TXT values in the answer.
        values: Vec<String>,
    },
}

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DnsTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}
