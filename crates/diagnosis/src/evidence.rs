//! Evidence: the part of an observation that the log keeps, capped and escaped.
use serde::{Deserialize, Serialize};

use crate::escape::{printable, printable_name as name};
use crate::rcode::rcode_name;
use crate::{
    Elsewhere, ExpectedRecord, NetworkFault, Note, Observation, Place, ProbeFailure, Reply, Routing,
    Security, Serial, ServerAnswer, Signatures, Transport, Validation, VantageAnswer, note_servers, notes,
};

/// The most servers, vantage points and other rows kept.
pub(crate) const MAX_ROWS: usize = 16;
/// The most values kept per server.
pub(crate) const MAX_VALUES: usize = 3;

/// The evidence of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The zone whose servers were queried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The chain of aliases that was followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The servers queried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerEvidence>,
    /// Servers of the zones above that contradict their majority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dissent: Vec<ServerEvidence>,
    /// TXT values beside a CNAME record that was followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside_alias: Vec<String>,
    /// The confirmation: `none`, `repeated`, `secure` or `bogus`.
    pub confirmation: String,
    /// The servers' answers to the repeat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed_by: Vec<ServerEvidence>,
    /// Queries sent.
    pub queries: u32,
    /// Duration in milliseconds.
    pub took_ms: u32,
    /// The vantage point that made the check.
    pub vantage: String,
    /// The version of the Public Suffix List.
    pub suffix_list: String,
    /// The validation by DNSSEC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationEvidence>,
    /// The answers of vantage points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vantages: Vec<VantageEvidence>,
    /// How many vantage points have to see the value; absent where none has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// The DNAME that moved the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dname: Option<DnameEvidence>,
    /// TXT records at places where the record is often put by mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<ElsewhereEvidence>,
    /// Other types at the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_types: Vec<String>,
    /// The zone's serial at each server that reports one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<SerialEvidence>,
    /// The failure that ended the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The routing of the hostname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// Notes, in stable words such as `wildcard_answer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The name servers that the notes are about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noted_servers: Vec<NotedServers>,
}

/// The name servers that a note is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotedServers {
    /// The note, one of those in `notes`.
    pub note: String,
    /// The names of the servers, printable, at most 16.
    pub servers: Vec<String>,
}

/// The evidence of a validation by DNSSEC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationEvidence {
    /// The validator: the address of a resolver, or `self`.
    pub by: String,
    /// `secure`, `insecure`, `bogus` or `indeterminate`.
    pub security: Security,
    /// The response code, such as `NXDOMAIN`, where there was a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The values in the response, as of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Why it failed: the code of an Extended DNS Error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ede: Option<u32>,
    /// The text of that error, printable and cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ede_text: Option<String>,
    /// The remaining time for which the negative answer is cached, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_ttl: Option<u32>,
    /// Duration in milliseconds.
    pub ms: u32,
}

/// The evidence of a vantage point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VantageEvidence {
    /// Its name.
    pub vantage: String,
    /// The result, as of a server.
    pub result: String,
    /// The values, as of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Round-trip time in milliseconds.
    pub ms: u32,
}

/// The evidence of a DNAME record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnameEvidence {
    /// Its owner name.
    pub owner: String,
    /// Its target.
    pub target: String,
}

/// The evidence of TXT records at another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElsewhereEvidence {
    /// `apex`, `parent_label` or `doubled_zone`.
    pub place: String,
    /// The name.
    pub name: String,
    /// The values, as of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// The evidence of a zone's serial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SerialEvidence {
    /// The server's name.
    pub server: String,
    /// Its address.
    pub address: String,
    /// The serial.
    pub serial: u32,
}

/// The evidence of one server address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerEvidence {
    /// The server's name.
    pub server: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `udp` or `tcp`.
    pub transport: Transport,
    /// The result: a response code such as `NXDOMAIN`, or `timeout`, `unreachable`, `malformed`, `truncated_no_tcp`,
    /// `edns_broken`, `internal`, `blocked`.
    pub result: String,
    /// The AA bit.
    #[serde(default)]
    pub authoritative: bool,
    /// The TC bit.
    #[serde(default)]
    pub truncated: bool,
    /// Extended DNS Error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ede: Option<u32>,
    /// At most three values, printable, each at most 100 characters; the claim's own value is among them, and not cut,
    /// where it was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The serial of the SOA in a negative answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_serial: Option<u32>,
    /// The validity period of the signatures, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    /// Round-trip time in milliseconds.
    pub ms: u32,
}

/// The first values, printable.
fn capped(values: &[Vec<u8>]) -> Vec<String> {
    values.iter().take(MAX_VALUES).map(|value| printable(value)).collect()
}

/// The stable word for a reply.
fn result_word(reply: &Reply) -> String {
    match reply {
        Reply::Message { rcode, .. } => return rcode_name(*rcode),
        Reply::Fault(NetworkFault::Timeout) => "timeout",
        Reply::Fault(NetworkFault::Unreachable) => "unreachable",
        Reply::Fault(NetworkFault::Malformed) => "malformed",
        Reply::Fault(NetworkFault::TruncatedNoTcp) => "truncated_no_tcp",
        Reply::Fault(NetworkFault::EdnsBroken) => "edns_broken",
        Reply::Fault(NetworkFault::Internal) => "internal",
        Reply::Blocked => "blocked",
    }
    .to_owned()
}

impl From<&ServerAnswer> for ServerEvidence {
    fn from(answer: &ServerAnswer) -> Self {
        let mut evidence = Self {
            server: name(&answer.server),
            address: answer.address.map(|a| a.to_string()),
            transport: answer.transport,
            result: result_word(&answer.reply),
            authoritative: false,
            truncated: false,
            ede: None,
            values: vec![],
            soa_serial: None,
            signatures: None,
            ms: answer.ms,
        };
        if let Reply::Message { authoritative, truncated, ede, values, soa, signatures, .. } = &answer.reply {
            evidence.signatures = Some(*signatures).filter(|signatures| *signatures != Signatures::None);
            evidence.authoritative = *authoritative;
            evidence.truncated = *truncated;
            evidence.ede = ede.map(u32::from);
            evidence.values = capped(values);
            evidence.soa_serial = soa.as_ref().map(|s| s.serial);
        }
        evidence
    }
}

impl From<&Validation> for ValidationEvidence {
    fn from(validation: &Validation) -> Self {
        Self {
            by: name(&validation.by),
            security: validation.security,
            result: validation.rcode.map(rcode_name),
            values: capped(&validation.values),
            ede: validation.ede.as_ref().map(|ede| ede.code.into()),
            ede_text: validation.ede_text(),
            negative_ttl: validation.negative_ttl,
            ms: validation.ms,
        }
    }
}

impl From<&VantageAnswer> for VantageEvidence {
    fn from(answer: &VantageAnswer) -> Self {
        let values = match &answer.reply {
            Reply::Message { values, .. } => capped(values),
            _ => vec![],
        };
        Self { vantage: name(&answer.vantage), result: result_word(&answer.reply), values, ms: answer.ms }
    }
}

impl From<&Elsewhere> for ElsewhereEvidence {
    fn from(found: &Elsewhere) -> Self {
        let place = match found.place {
            Place::Apex => "apex",
            Place::ParentLabel => "parent_label",
            Place::DoubledZone => "doubled_zone",
        };
        Self { place: place.to_owned(), name: name(&found.name), values: capped(&found.values) }
    }
}

/// The stable word for a failure of the probe.
fn failure_word(failure: &ProbeFailure) -> String {
    match failure {
        ProbeFailure::NoDelegation(_) => "no_delegation",
        ProbeFailure::ParentRefused(_) => "parent_refused",
        ProbeFailure::NotDelegated(_) => "not_delegated",
        ProbeFailure::Canary(_) => "canary",
        ProbeFailure::AliasLoop => "alias_loop",
        ProbeFailure::AliasTooLong => "alias_too_long",
        ProbeFailure::NoAddress => "no_address",
        ProbeFailure::BudgetExhausted => "budget_exhausted",
        ProbeFailure::NameRefused(_) => "name_refused",
        ProbeFailure::Internal(_) => "internal",
    }
    .to_owned()
}

impl From<&Observation> for Evidence {
    fn from(seen: &Observation) -> Self {
        let (confirmation, findings) = (&seen.confirmation, &seen.findings);
        let security = confirmation.validation.as_ref().map(|validation| validation.security);
        let confirmation_word = match (security, &confirmation.repeated) {
            (Some(Security::Secure), _) => "secure",
            (Some(Security::Bogus), _) => "bogus",
            (_, Some(_)) => "repeated",
            (_, None) => "none",
        };
        Self {
            zone: seen.zone.as_deref().map(name),
            aliases: seen.aliases.iter().take(MAX_ROWS).map(|a| name(a)).collect(),
            servers: seen.servers.iter().take(MAX_ROWS).map(Into::into).collect(),
            dissent: seen
                .dissent
                .iter()
                .chain(&confirmation.dissent)
                .take(MAX_ROWS)
                .map(Into::into)
                .collect(),
            beside_alias: capped(&seen.beside_alias),
            confirmation: confirmation_word.to_owned(),
            confirmed_by: confirmation.repeated.iter().flatten().take(MAX_ROWS).map(Into::into).collect(),
            queries: seen.queries,
            took_ms: seen.took_ms,
            vantage: name(&seen.vantage),
            suffix_list: String::new(),
            validation: confirmation.validation.as_ref().map(Into::into),
            vantages: confirmation.vantages.iter().take(MAX_ROWS).map(Into::into).collect(),
            quorum: u32::try_from(confirmation.quorum).ok().filter(|quorum| *quorum > 0),
            dname: seen
                .dname
                .as_ref()
                .map(|d| DnameEvidence { owner: name(&d.owner), target: name(&d.target) }),
            elsewhere: findings.elsewhere.iter().take(MAX_ROWS).map(Into::into).collect(),
            other_types: findings.other_types.iter().take(MAX_ROWS).map(|t| name(t)).collect(),
            serials: findings.serials.iter().take(MAX_ROWS).map(serial_evidence).collect(),
            failure: seen.failure.as_ref().map(failure_word),
            routing: seen.routing.as_ref().map(Routing::of),
            notes: vec![],
            noted_servers: vec![],
        }
    }
}

fn serial_evidence(serial: &Serial) -> SerialEvidence {
    SerialEvidence {
        server: name(&serial.server),
        address: serial.address.to_string(),
        serial: serial.serial,
    }
}

impl Evidence {
    /// This evidence with the version of the Public Suffix List that named the registrable domain.
    #[must_use]
    pub fn with_suffix_list(mut self, version: &str) -> Self {
        version.clone_into(&mut self.suffix_list);
        self
    }

    /// This evidence with the notes on the check.
    #[must_use]
    pub fn noting<'a>(mut self, expected: impl Into<ExpectedRecord<'a>>, seen: &Observation) -> Self {
        let expected = expected.into();
        let notes = notes(expected, seen);
        let with_servers = |note: &Note| {
            let servers: Vec<String> =
                note_servers(*note, expected, seen).into_iter().take(MAX_ROWS).collect();
            (!servers.is_empty()).then(|| NotedServers { note: note.as_str().to_owned(), servers })
        };
        self.noted_servers = notes.iter().filter_map(with_servers).collect();
        self.notes = notes.iter().map(|note| note.as_str().to_owned()).collect();
        self
    }
}
