//! Observations: everything that a check saw in the DNS, before it is judged.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::escape::{MAX_CHARS, escape};

/// [`Validation::by`] where Deed itself validated, and no resolver.
pub(crate) const OWN_VALIDATOR: &str = "self";

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// UDP: one datagram each way.
    Udp,
    /// TCP, which an off-path attacker cannot forge with one packet.
    Tcp,
}

/// Everything that one check saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// The queried name, without the trailing dot.
    pub name: String,
    /// The zone whose servers were queried last, where one was found.
    pub zone: Option<String>,
    /// The target of each CNAME in turn, where the name is an alias.
    pub aliases: Vec<String>,
    /// The first DNAME that moved the name elsewhere (RFC 6672).
    pub dname: Option<Dname>,
    /// The answer of each authoritative server of the last name of the chain.
    pub servers: Vec<ServerAnswer>,
    /// Servers of the zones above that contradict their majority: another alias, none, or another delegation.
    pub dissent: Vec<ServerAnswer>,
    /// TXT values beside a CNAME record that was followed. No resolver shows them (RFC 1034 §3.6.2).
    pub beside_alias: Vec<Vec<u8>>,
    /// The failure that ended the probe, before or besides the servers' answers.
    pub failure: Option<ProbeFailure>,
    /// The confirmation that a match needs.
    pub confirmation: Confirmation,
    /// Results of the queries that explain why the value is not at the name.
    pub findings: Findings,
    /// The routing data of the hostname; none where it was not queried or the queries failed.
    pub routing: Option<RoutingSeen>,
    /// Queries sent in total.
    pub queries: u32,
    /// Duration, in milliseconds.
    pub took_ms: u32,
    /// The configured name of the vantage point that made the check.
    pub vantage: String,
}

/// The answer of one server address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAnswer {
    /// The server's name, as the delegation has it.
    pub server: String,
    /// Its address; none where none was found.
    pub address: Option<IpAddr>,
    /// The transport of the last query.
    pub transport: Transport,
    /// The reply.
    pub reply: Reply,
    /// Round-trip time of the last query, in milliseconds.
    pub ms: u32,
}

/// The reply of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A well-formed response to the query.
    Message {
        /// The response code, extended by EDNS (RFC 6895 §2.3).
        rcode: u16,
        /// The AA bit.
        authoritative: bool,
        /// The TC bit of the last response.
        truncated: bool,
        /// The first Extended DNS Error (RFC 8914).
        ede: Option<u16>,
        /// The values at the name: the strings of each TXT record joined.
        values: Vec<Vec<u8>>,
        /// Whether there are more TXT records or bytes than evidence keeps. All of them are in `values`.
        oversize: bool,
        /// The SOA of a negative answer.
        soa: Option<SoaSeen>,
        /// What the response says about the name.
        statement: Statement,
        /// The validity period of its signatures.
        signatures: Signatures,
        /// Whether the server answered only without EDNS.
        plain: bool,
    },
    /// There was no usable response.
    Fault(NetworkFault),
    /// The address may not be queried; nothing was sent.
    Blocked,
}

/// What an authoritative response says about the queried name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statement {
    /// The name has TXT records, or the end of the aliases in the response has.
    Values,
    /// The name does not exist: NXDOMAIN, or NXNAME in a compact denial (RFC 9824).
    NoName,
    /// The name has no TXT record (NODATA, RFC 2308 §2.2).
    NoData,
    /// The name is an alias whose end is not in the response.
    Alias,
    /// Nothing that counts: not authoritative, truncated, a referral, or an error.
    Nothing,
}

/// The validity period of the signatures of a response (RFC 4034 §3.1.5). The signatures themselves are not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signatures {
    /// The response has no signatures.
    #[default]
    None,
    /// Each record set has a signature that is valid now.
    Current,
    /// A record set has only expired signatures.
    Expired,
    /// A record set has only signatures that are not valid yet.
    NotYetValid,
}

/// Why there was no usable response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkFault {
    /// No response in time.
    Timeout,
    /// Unreachable, connection refused, or reset.
    Unreachable,
    /// Bytes that are not a response to the query.
    Malformed,
    /// Truncated over UDP, and no response over TCP.
    TruncatedNoTcp,
    /// No response to a query with EDNS, but a response or an error without it (RFC 8906 §5).
    EdnsBroken,
    /// A failure on our side: no descriptors, no memory, no socket.
    Internal,
}

/// The SOA record of a negative answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoaSeen {
    /// The zone that denies the name.
    pub owner: String,
    /// Its serial number.
    pub serial: u32,
    /// How long the negative answer may be cached, in seconds (RFC 2308 §5).
    pub negative_ttl: u32,
}

/// The failure that ended a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeFailure {
    /// No server of the parent zones answered; the dominant fault.
    NoDelegation(NetworkFault),
    /// The servers of a parent zone answered only with this response code.
    ParentRefused(u16),
    /// The parent zone, named here, says with authority that the registrable domain does not exist in it.
    NotDelegated(String),
    /// The canary, a name that has to exist, could not be looked up either: the failure is on our side.
    Canary(String),
    /// The chain of aliases is a loop.
    AliasLoop,
    /// The chain of aliases is too long.
    AliasTooLong,
    /// The delegation has no address to query.
    NoAddress,
    /// The budget of queries, referrals or time is exhausted.
    BudgetExhausted,
    /// The policy no longer allows to claim the name.
    NameRefused(String),
    /// A failure on our side, which says nothing about the name.
    Internal(String),
}

/// The confirmation of a match; empty where none was needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confirmation {
    /// The answers of the zone's servers to the repeat over TCP; none where there was no repeat.
    pub repeated: Option<Vec<ServerAnswer>>,
    /// Servers of the zones above that contradict the others in the repeat.
    pub dissent: Vec<ServerAnswer>,
    /// The validation by DNSSEC; none where there was none.
    pub validation: Option<Validation>,
    /// The answers of vantage points.
    pub vantages: Vec<VantageAnswer>,
    /// How many vantage points have to see the value; 0 where none is configured.
    pub quorum: usize,
}

/// The result of validation by DNSSEC, from a trusted resolver or from Deed itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// The validator: the address of a trusted resolver, or `self`.
    pub by: String,
    /// The security status (RFC 4035 §4.3).
    pub security: Security,
    /// The response code, where there was a response.
    pub rcode: Option<u16>,
    /// The values in the response.
    pub values: Vec<Vec<u8>>,
    /// Why it failed (RFC 8914); with indeterminate status, a failure on our side, such as a wrong clock.
    pub ede: Option<ExtendedError>,
    /// The remaining time for which the negative answer is cached, in seconds (RFC 2308 §5).
    pub negative_ttl: Option<u32>,
    /// With indeterminate status: the failure is on our side, since the canary has it too.
    pub ours: bool,
    /// Duration, in milliseconds.
    pub ms: u32,
}

impl Validation {
    /// The text of the Extended DNS Error (RFC 8914 §2), printable and cut. In a text that Deed made, names are escaped
    /// already.
    pub(crate) fn ede_text(&self) -> Option<String> {
        let text = &self.ede.as_ref()?.text;
        let backslash = if self.by == OWN_VALIDATOR { "\\" } else { "\\\\" };
        Some(escape(text, backslash, MAX_CHARS)).filter(|text| !text.is_empty())
    }
}

/// The security status by DNSSEC (RFC 4033 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Security {
    /// Signed, with a chain of trust from the trust anchor to the response.
    Secure,
    /// Proven to be unsigned.
    Insecure,
    /// Signatures are invalid or missing.
    Bogus,
    /// Unknown: no response, or the keys could not be retrieved.
    Indeterminate,
}

/// An Extended DNS Error (RFC 8914).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedError {
    /// The info code.
    pub code: u16,
    /// The extra text, in foreign bytes.
    pub text: Vec<u8>,
}

/// The answer of a vantage point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VantageAnswer {
    /// Its configured name.
    pub vantage: String,
    /// Its reply, which need not be authoritative.
    pub reply: Reply,
    /// Round-trip time, in milliseconds.
    pub ms: u32,
}

/// A DNAME record above the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dname {
    /// Its owner name.
    pub owner: String,
    /// Its target.
    pub target: String,
}

/// Results of the queries for a diagnosis, which are made only where the value was not seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// TXT records at places where the record is often put by mistake; only places with records.
    pub elsewhere: Vec<Elsewhere>,
    /// Other types at the name itself, such as `A`.
    pub other_types: Vec<String>,
    /// The TXT values of a random sibling name, which come from a wildcard.
    pub wildcard: Vec<Vec<u8>>,
    /// The zone's serial at each server that reports one.
    pub serials: Vec<Serial>,
    /// The origin of the alias at the name.
    pub alias_origin: AliasOrigin,
}

/// The origin of an alias, found by a query for a random sibling of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AliasOrigin {
    /// The name is not an alias, or the sibling was not queried.
    #[default]
    NotAsked,
    /// The name itself: the sibling has no such alias.
    Name,
    /// A wildcard: most servers say that the sibling is an alias of the same name (RFC 4592).
    Wildcard,
    /// No server answered for the sibling.
    Unknown,
}

/// TXT records at another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The mistake that leads there.
    pub place: Place,
    /// The name.
    pub name: String,
    /// The values.
    pub values: Vec<Vec<u8>>,
    /// The values of a random sibling of that name: the same values come from a wildcard.
    pub control: Vec<Vec<u8>>,
}

/// A place where a record is put by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The registrable domain itself.
    Apex,
    /// The name without the leading underscore, or the label under the registrable domain instead of the hostname.
    ParentLabel,
    /// The name with the zone appended once more.
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

/// DNS data of a hostname and of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingSeen {
    /// The target, without the trailing dot.
    pub target: String,
    /// The target of each CNAME in turn, from the hostname on.
    pub aliases: Vec<String>,
    /// The addresses at the end of the aliases.
    pub addresses: Vec<IpAddr>,
    /// The target's own addresses.
    pub target_addresses: Vec<IpAddr>,
    /// Whether every address belongs to a proxy, which hides the real target.
    pub proxied: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_names_in_own_reasons_once() {
        let reason = |by: &str| {
            let ede = Some(ExtendedError { code: 6, text: b"of a\\255.test\n".to_vec() });
            let by = by.to_owned();
            let security = Security::Bogus;
            Validation {
                ours: false,
                by,
                security,
                rcode: None,
                values: vec![],
                ede,
                negative_ttl: None,
                ms: 1,
            }
            .ede_text()
        };
        assert_eq!(reason(OWN_VALIDATOR).as_deref(), Some("of a\\255.test\\x0a"));
        assert_eq!(reason("127.0.0.1:53").as_deref(), Some("of a\\\\255.test\\x0a"));
    }
}
