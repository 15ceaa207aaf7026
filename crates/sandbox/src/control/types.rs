//! The types of the control interface; the in-process handle uses the same ones.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// `GET /`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Where DNS queries are answered, over UDP and TCP.
    pub dns: SocketAddr,
    pub endpoints: Vec<Endpoint>,
}

/// One line of [`Index`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub request: String,
    pub body: Option<String>,
    pub what: String,
}

/// `PUT /zones/{zone}`: a field that is left out stays unchanged, or gets the default in a new zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutZone {
    /// Seconds a negative answer may be cached (RFC 2308).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_minimum: Option<u32>,
    /// Names of the zone's servers; their addresses are A and AAAA records like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<Vec<String>>,
}

/// A stored zone (automatic zones without changes are not listed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneView {
    pub zone: String,
    pub serial: u32,
    pub soa_minimum: u32,
    pub ns: Vec<String>,
    /// Number of record sets, NS included, SOA not.
    pub record_sets: usize,
}

/// `PUT` and `POST /records/{name}/{type}`: either `values` or, for TXT, `strings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutRecords {
    /// One record each, in zone-file form; a TXT value is split after every 255 bytes. `\DDD` is a byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// One TXT record each, given as its character-strings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strings: Option<Vec<Vec<String>>>,
    /// Seconds; 5 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
}

impl PutRecords {
    /// Records given by their values.
    pub fn values<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        Self { values: Some(values.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// One TXT record given by its character-strings.
    pub fn strings<T: Into<String>>(strings: impl IntoIterator<Item = T>) -> Self {
        Self { strings: Some(vec![strings.into_iter().map(Into::into).collect()]), ..Self::default() }
    }

    #[must_use]
    pub fn with_ttl(self, seconds: u32) -> Self {
        Self { ttl: Some(seconds), ..self }
    }
}

/// A record set as it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordView {
    pub zone: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub ttl: u32,
    pub values: Vec<String>,
    /// The character-strings, for TXT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strings: Option<Vec<Vec<String>>>,
}

/// How a fault changes the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// NXDOMAIN with the zone's SOA.
    Nxdomain,
    Servfail,
    Refused,
    Formerr,
    /// The query is never answered.
    Drop,
    /// The correct answer, `ms` late.
    Delay,
    /// TC=1 and no records over UDP; over TCP the correct answer.
    Truncate,
    /// TC=1 and no records over TCP as well.
    TruncateAlways,
    /// The correct answer with another message id.
    WrongId,
    /// The correct answer with AA=0.
    NotAuthoritative,
    /// The TCP connection is reset when the query has been read; for `*.` (everything) on connecting.
    TcpRefuse,
}

/// Which transports a fault applies to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultTransport {
    Udp,
    Tcp,
    #[default]
    Both,
}

/// `PUT /faults/{name}`: `name` is that name itself, `*.name` everything below it, `*.` everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutFault {
    pub fault: FaultKind,
    /// The delay in milliseconds, for `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    #[serde(default)]
    pub transport: FaultTransport,
    /// Only queries for this record type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl PutFault {
    /// The fault on both transports and for all types.
    pub fn new(fault: FaultKind) -> Self {
        Self { fault, ms: None, transport: FaultTransport::Both, kind: None }
    }

    /// The correct answer, late.
    pub fn delay(ms: u64) -> Self {
        Self { ms: Some(ms), ..Self::new(FaultKind::Delay) }
    }

    #[must_use]
    pub fn over(self, transport: FaultTransport) -> Self {
        Self { transport, ..self }
    }

    #[must_use]
    pub fn for_type(self, kind: impl Into<String>) -> Self {
        Self { kind: Some(kind.into()), ..self }
    }
}

/// A fault that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultView {
    pub name: String,
    #[serde(flatten)]
    pub fault: PutFault,
}

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    Udp,
    Tcp,
}

/// A logged query; `GET /queries?name=&after=` gives the latest ones, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryView {
    /// Counts up from 1 and is never reset.
    pub seq: u64,
    pub transport: Transport,
    /// As the client wrote it, upper and lower case included; none when the message could not be parsed.
    pub name: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The response code that was sent; none when no response was sent.
    pub rcode: Option<String>,
    pub fault: Option<FaultKind>,
}

/// The body of every response that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong, beginning with the name of the invalid field if there is one.
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
