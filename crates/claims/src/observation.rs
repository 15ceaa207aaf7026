//! What a look at the DNS saw, before anybody judges it.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::RoutingSeen;

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// The name that was asked for, without the trailing dot.
    pub name: String,
    /// The zone whose servers were asked last, where one was found.
    pub zone: Option<String>,
    /// Names passed on the way when the name is an alias: the target of each CNAME in turn.
    pub aliases: Vec<String>,
    /// The first DNAME that moved the name elsewhere (RFC 6672).
    pub dname: Option<Dname>,
    /// What each authoritative server of the last name on the chain said.
    pub servers: Vec<ServerAnswer>,
    /// Servers of zones on the way that contradict what most of them said: another alias, none, or another delegation.
    pub dissent: Vec<ServerAnswer>,
    /// TXT values that stand beside a CNAME at an alias that was followed. No resolver shows them (RFC 1034 §3.6.2).
    pub beside_alias: Vec<Vec<u8>>,
    /// What ended the look before, or besides, the servers' answers.
    pub failure: Option<ProbeFailure>,
    /// The second look that a match needs.
    pub confirmation: Confirmation,
    /// What was asked besides because nothing, or not the right thing, stands at the name.
    pub findings: Findings,
    /// Where the hostname leads; none where nobody asked, or it could not be found out.
    pub routing: Option<RoutingSeen>,
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
        /// More TXT records or bytes came than a check keeps as evidence. All of them are in `values`.
        oversize: bool,
        /// The SOA of a negative answer.
        soa: Option<SoaSeen>,
        /// What the answer says of the name.
        statement: Statement,
        /// The time-frame of the signatures that came with it.
        signatures: Signatures,
        /// The server took the question only without EDNS.
        plain: bool,
    },
    /// Nothing usable came back.
    Fault(NetworkFault),
    /// The address may not be asked; nothing was sent.
    Blocked,
}

/// What an answer says of the name that was asked for, with the authority of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statement {
    /// TXT records stand at the name, or at the end of aliases that the answer holds.
    Values,
    /// The name does not exist: NXDOMAIN, or NXNAME in a compact denial (RFC 9824).
    NoName,
    /// The name has no TXT record (NODATA, RFC 2308 §2.2).
    NoData,
    /// The name is an alias whose end is not in the answer.
    Alias,
    /// Nothing that counts: without authority, truncated, a referral, an error.
    Nothing,
}

/// The time-frame of the signatures of an answer (RFC 4034 §3.1.5). Only that: whether they fit is not looked at here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signatures {
    /// The answer has none.
    #[default]
    None,
    /// One of each set is valid now.
    Current,
    /// A set has only signatures that have expired.
    Expired,
    /// A set has only signatures that are not valid yet.
    NotYetValid,
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
    /// No answer to a question with EDNS, though one without it is answered or answered with an error (RFC 8906 §5).
    EdnsBroken,
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
    /// The parent zone, named here, says with authority that the registrable domain does not exist in it.
    NotDelegated(String),
    /// A name that has to exist could not be asked for either (the canary): the trouble is ours.
    Canary(String),
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

/// The second look that has to agree before a match counts; empty when nothing had to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confirmation {
    /// The zone's servers found and asked once more, over TCP; none when this was not done.
    pub repeated: Option<Vec<ServerAnswer>>,
    /// Servers on the way of the second look that contradict the others.
    pub dissent: Vec<ServerAnswer>,
    /// What DNSSEC says; none when nobody validated.
    pub validation: Option<Validation>,
    /// What resolvers elsewhere see.
    pub vantages: Vec<VantageAnswer>,
    /// How many of the vantages have to see the value; nought when none is configured.
    pub quorum: usize,
}

/// What validation by DNSSEC found, of a trusted resolver or our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// Who validated: the address of a trusted resolver, or `self`.
    pub by: String,
    /// The verdict (RFC 4035 §4.3).
    pub security: Security,
    /// The response code, where there was an answer.
    pub rcode: Option<u16>,
    /// The values it saw.
    pub values: Vec<Vec<u8>>,
    /// Why it failed (RFC 8914); beside an indeterminate verdict, our own trouble that stood in the way, a wrong clock.
    pub ede: Option<ExtendedError>,
    /// How much longer it may keep a denial, in seconds (RFC 2308 §5).
    pub negative_ttl: Option<u32>,
    /// Beside an indeterminate verdict: the trouble is ours, because a name that has to exist shares it.
    pub ours: bool,
    /// How long it took, in milliseconds.
    pub ms: u32,
}

/// The states of DNSSEC (RFC 4033 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Security {
    /// Signed from the trust anchor down to the answer.
    Secure,
    /// Proven to be unsigned.
    Insecure,
    /// Signed, and the signatures are broken or missing.
    Bogus,
    /// Nobody could tell: no answer, or no way to the keys.
    Indeterminate,
}

/// An Extended DNS Error (RFC 8914).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedError {
    /// The info code.
    pub code: u16,
    /// The extra text: foreign bytes.
    pub text: Vec<u8>,
}

/// What a resolver elsewhere in the network sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VantageAnswer {
    /// Its name from the configuration.
    pub vantage: String,
    /// What it said; authority is not asked of a resolver.
    pub reply: Reply,
    /// Round trip, in milliseconds.
    pub ms: u32,
}

/// A DNAME that was met on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dname {
    /// Where it stands.
    pub owner: String,
    /// Where everything below it lives.
    pub target: String,
}

/// What the diagnosis questions found; asked only when the value was not seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// TXT records at places where the record is often put by mistake; only places that have some.
    pub elsewhere: Vec<Elsewhere>,
    /// Other types that stand at the name itself, such as `A`.
    pub other_types: Vec<String>,
    /// What TXT records a sibling has whose name nobody can have made: they come from a wildcard.
    pub wildcard: Vec<Vec<u8>>,
    /// The zone's serial at each server that told it.
    pub serials: Vec<Serial>,
    /// Where the alias at the name comes from.
    pub alias_origin: AliasOrigin,
}

/// Where an alias at a name comes from, as a random sibling of the name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AliasOrigin {
    /// The name is no alias, or nobody was asked.
    #[default]
    NotAsked,
    /// It stands at the name itself: the sibling has no such alias.
    Name,
    /// A wildcard: most servers say that the sibling is an alias of the same name (RFC 4592).
    Wildcard,
    /// No server answered for the sibling.
    Unknown,
}

/// TXT records at another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Which mistake leads there.
    pub place: Place,
    /// The name.
    pub name: String,
    /// The values.
    pub values: Vec<Vec<u8>>,
    /// What a random sibling of that name has: what stands there too comes from a wildcard.
    pub control: Vec<Vec<u8>>,
}

/// A place where a record is put by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The registrable domain itself.
    Apex,
    /// The name without the leading underscore, or the label under the registrable domain instead of the hostname.
    ParentLabel,
    /// The name with the zone behind it once more.
    DoubledZone,
}

/// A zone's serial at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial {
    /// The server's name.
    pub server: String,
    /// Its address.
    pub address: IpAddr,
    /// The serial of its SOA.
    pub serial: u32,
}
