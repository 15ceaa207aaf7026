//! A line of the DNS server's journal.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Something that happened at the DNS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsLine {
    /// When: for a record set, before anybody could be told of it; for an answer, before it was sent.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub event: DnsEvent,
}

/// What can happen.
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
    /// A TXT record was taken away.
    Cleared {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A question was answered.
    Answered {
        /// The name that was asked for, lower case, without the trailing dot.
        name: String,
        /// The type that was asked for.
        kind: String,
        /// Over what.
        transport: Transport,
        /// The response code.
        code: u16,
        /// The records were left out because they did not fit.
        #[serde(default)]
        truncated: bool,
        /// The TXT values in the answer.
        values: Vec<String>,
    },
}

/// How a question came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}
