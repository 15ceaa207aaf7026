//! What a look at the DNS saw, before anybody judges it.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// How a question travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// A connection, which an off-path attacker cannot forge with one packet.
    Tcp,
}

/// Everything one check saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The name that was asked for, without the trailing dot.
    pub name: String,
    /// The zone whose servers were asked last, where one was found.
    pub zone: Option<String>,
    /// Names passed on the way when the name is an alias: the target of each CNAME in turn.
    pub aliases: Vec<String>,
    /// What each authoritative server of the last name on the chain said.
    pub servers: Vec<ServerAnswer>,
    /// What ended the look before, or besides, the servers' answers.
    pub failure: Option<ProbeFailure>,
    /// The second look that a match needs.
    pub confirmation: Confirmation,
    /// Questions sent in all.
    pub queries: u32,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// Who we were: a name of the vantage from the configuration.
    pub vantage: String,
}

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAnswer {
    /// The server's name as its parent gives it.
    pub server: String,
    /// Its address; none when it has none.
    pub address: Option<IpAddr>,
    /// How the last question travelled.
    pub transport: Transport,
    /// What came back.
    pub reply: Reply,
    /// Round trip of the last question, in milliseconds.
    pub ms: u32,
}

/// What came back from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A well-formed answer to the question asked.
    Message {
        /// The response code, extended by EDNS (RFC 6895 §2.3).
        rcode: u16,
        /// The aa bit.
        authoritative: bool,
        /// The tc bit of the last transport.
        truncated: bool,
        /// The first Extended DNS Error (RFC 8914).
        ede: Option<u16>,
        /// The values at the name: the strings of each TXT record joined.
        values: Vec<Vec<u8>>,
        /// More TXT records or bytes came than are read.
        oversize: bool,
        /// The SOA of a negative answer.
        soa: Option<SoaSeen>,
    },
    /// Nothing usable came back.
    Fault(NetworkFault),
    /// The address may not be asked; nothing was sent.
    Blocked,
}

/// Why nothing usable came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkFault {
    /// No answer in time.
    Timeout,
    /// Unreachable, refused connection, reset.
    Unreachable,
    /// Bytes that are no answer to the question.
    Malformed,
    /// Truncated over UDP, and TCP does not answer.
    TruncatedNoTcp,
    /// Our own trouble: no descriptors, no memory, no socket.
    Internal,
}

/// The SOA record of a negative answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoaSeen {
    /// The zone that denies the name.
    pub owner: String,
    /// Its serial number.
    pub serial: u32,
    /// How long caches may keep the denial, in seconds (RFC 2308 §5).
    pub negative_ttl: u32,
}

/// What ended a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeFailure {
    /// No server of the parent zones answered; which fault prevailed.
    NoDelegation(NetworkFault),
    /// The servers of a parent zone answered only with this response code.
    ParentRefused(u16),
    /// The chain of aliases comes back to a name it has passed.
    AliasLoop,
    /// The chain of aliases is longer than is followed.
    AliasTooLong,
    /// The delegation gives no address to ask.
    NoAddress,
    /// The limits of questions, referrals or time were reached.
    BudgetExhausted,
    /// The name may not be claimed at all any more.
    NameRefused(String),
    /// Our own trouble; says nothing about the name.
    Internal(String),
}

/// The second look that has to agree before a match counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// No match was seen, so nothing had to be confirmed.
    NotNeeded,
    /// The same servers asked again over TCP.
    Repeated(Vec<ServerAnswer>),
    /// A trusted resolver proved the answer by DNSSEC.
    Secure,
    /// A trusted resolver found the signatures broken.
    Bogus,
}
