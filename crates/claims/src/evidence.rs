//! Evidence: the part of an observation that the log keeps, capped and escaped.
use serde::{Deserialize, Serialize};

use crate::escape::{ede_text, printable, printable_name as name};
use crate::{
    Challenge, Elsewhere, NetworkFault, Note, Observation, Place, ProbeFailure, Reply, Routing, Security,
    Serial, ServerAnswer, Signatures, Transport, Validation, VantageAnswer, note_servers, notes,
};

/// Servers, vantages and the like kept.
pub(crate) const ROWS: usize = 16;
/// Values kept per server.
pub(crate) const VALUES: usize = 3;

/// Evidence kept with each check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The zone whose servers were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The chain of aliases that was followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Every server asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerEvidence>,
    /// Servers on the way that contradict what most of them said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dissent: Vec<ServerEvidence>,
    /// TXT values beside a CNAME that was followed, like those of servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside_alias: Vec<String>,
    /// The second look: `none`, `repeated`, `secure` or `bogus`.
    pub confirmation: String,
    /// The servers' second answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed_by: Vec<ServerEvidence>,
    /// Questions sent.
    pub queries: u32,
    /// Duration in milliseconds.
    pub took_ms: u32,
    /// The place that looked.
    pub vantage: String,
    /// The Public Suffix List in force.
    pub suffix_list: String,
    /// What DNSSEC says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationEvidence>,
    /// What resolvers elsewhere see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vantages: Vec<VantageEvidence>,
    /// How many of them have to see the value; absent where none has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// The DNAME that moved the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dname: Option<DnameEvidence>,
    /// TXT records at places where records are put by mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<ElsewhereEvidence>,
    /// Other types at the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_types: Vec<String>,
    /// The zone's serial at each server that told it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<SerialEvidence>,
    /// What ended the look before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Where the hostname leads, apart from its proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// What should be known besides the verdict, in stable words such as `wildcard_answer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The name servers that notes are about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noted_servers: Vec<NotedServers>,
}

/// The name servers that a note is about, as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotedServers {
    /// The note, one of those in `notes`.
    pub note: String,
    /// The names of the servers, printable, at most 16.
    pub servers: Vec<String>,
}

/// What DNSSEC says, as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationEvidence {
    /// Who validated: the address of a resolver, or `self`.
    pub by: String,
    /// `secure`, `insecure`, `bogus` or `indeterminate`.
    pub security: Security,
    /// The response code, such as `NXDOMAIN`, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The values it saw, like those of servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Why it failed: the code of an Extended DNS Error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ede: Option<u32>,
    /// Its text, printable and cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ede_text: Option<String>,
    /// How much longer it may keep a denial, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_ttl: Option<u32>,
    /// Duration in milliseconds.
    pub ms: u32,
}

/// What a resolver elsewhere sees, as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VantageEvidence {
    /// Its name.
    pub vantage: String,
    /// What came back, as of a server.
    pub result: String,
    /// The values, as of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Round trip in milliseconds.
    pub ms: u32,
}

/// A DNAME, as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnameEvidence {
    /// Where it stands.
    pub owner: String,
    /// Where it leads.
    pub target: String,
}

/// TXT records at another place, as kept.
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

/// A serial, as kept.
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

/// What one server said, as kept.
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
    /// What came back: a response code such as `NXDOMAIN`, or `timeout`, `unreachable`, `malformed`,
    /// `truncated_no_tcp`, `edns_broken`, `internal`, `blocked`.
    pub result: String,
    /// The aa bit.
    #[serde(default)]
    pub authoritative: bool,
    /// The tc bit.
    #[serde(default)]
    pub truncated: bool,
    /// Extended DNS Error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ede: Option<u32>,
    /// At most three values, printable, each at most 100 characters; the claim's own is among them, whole, where it was
    /// seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Serial of the SOA in a negative answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_serial: Option<u32>,
    /// The time-frame of the answer's signatures, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    /// Round trip in milliseconds.
    pub ms: u32,
}

/// The name of a response code (IANA DNS RCODEs).
pub(crate) fn rcode_name(rcode: u16) -> String {
    match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        9 => "NOTAUTH",
        16 => "BADVERS",
        other => return format!("RCODE{other}"),
    }
    .to_owned()
}

fn kept(values: &[Vec<u8>]) -> Vec<String> {
    values.iter().take(VALUES).map(|value| printable(value)).collect()
}

/// What came back, in one stable word.
fn result_of(reply: &Reply) -> String {
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
            result: result_of(&answer.reply),
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
            evidence.values = kept(values);
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
            values: kept(&validation.values),
            ede: validation.ede.as_ref().map(|ede| ede.code.into()),
            ede_text: ede_text(validation),
            negative_ttl: validation.negative_ttl,
            ms: validation.ms,
        }
    }
}

impl From<&VantageAnswer> for VantageEvidence {
    fn from(answer: &VantageAnswer) -> Self {
        let values = match &answer.reply {
            Reply::Message { values, .. } => kept(values),
            _ => vec![],
        };
        Self { vantage: name(&answer.vantage), result: result_of(&answer.reply), values, ms: answer.ms }
    }
}

impl From<&Elsewhere> for ElsewhereEvidence {
    fn from(found: &Elsewhere) -> Self {
        let place = match found.place {
            Place::Apex => "apex",
            Place::ParentLabel => "parent_label",
            Place::DoubledZone => "doubled_zone",
        };
        Self { place: place.to_owned(), name: name(&found.name), values: kept(&found.values) }
    }
}

/// What ended a look, in one stable word.
fn failure_of(failure: &ProbeFailure) -> String {
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
        let second = match (security, &confirmation.repeated) {
            (Some(Security::Secure), _) => "secure",
            (Some(Security::Bogus), _) => "bogus",
            (_, Some(_)) => "repeated",
            (_, None) => "none",
        };
        Self {
            zone: seen.zone.as_deref().map(name),
            aliases: seen.aliases.iter().take(ROWS).map(|a| name(a)).collect(),
            servers: seen.servers.iter().take(ROWS).map(Into::into).collect(),
            dissent: seen.dissent.iter().chain(&confirmation.dissent).take(ROWS).map(Into::into).collect(),
            beside_alias: kept(&seen.beside_alias),
            confirmation: second.to_owned(),
            confirmed_by: confirmation.repeated.iter().flatten().take(ROWS).map(Into::into).collect(),
            queries: seen.queries,
            took_ms: seen.took_ms,
            vantage: name(&seen.vantage),
            suffix_list: crate::name::suffix_list_version().to_owned(),
            validation: confirmation.validation.as_ref().map(Into::into),
            vantages: confirmation.vantages.iter().take(ROWS).map(Into::into).collect(),
            quorum: u32::try_from(confirmation.quorum).ok().filter(|quorum| *quorum > 0),
            dname: seen
                .dname
                .as_ref()
                .map(|d| DnameEvidence { owner: name(&d.owner), target: name(&d.target) }),
            elsewhere: findings.elsewhere.iter().take(ROWS).map(Into::into).collect(),
            other_types: findings.other_types.iter().take(ROWS).map(|t| name(t)).collect(),
            serials: findings.serials.iter().take(ROWS).map(serial_of).collect(),
            failure: seen.failure.as_ref().map(failure_of),
            routing: seen.routing.as_ref().map(Routing::of),
            notes: vec![],
            noted_servers: vec![],
        }
    }
}

fn serial_of(serial: &Serial) -> SerialEvidence {
    SerialEvidence {
        server: name(&serial.server),
        address: serial.address.to_string(),
        serial: serial.serial,
    }
}

impl Evidence {
    /// The same with what should be known besides the verdict.
    #[must_use]
    pub fn noting(mut self, challenge: &Challenge, seen: &Observation) -> Self {
        let notes = notes(challenge, seen);
        let with_servers = |note: &Note| {
            let servers: Vec<String> = note_servers(*note, challenge, seen).into_iter().take(ROWS).collect();
            (!servers.is_empty()).then(|| NotedServers { note: note.as_str().to_owned(), servers })
        };
        self.noted_servers = notes.iter().filter_map(with_servers).collect();
        self.notes = notes.iter().map(|note| note.as_str().to_owned()).collect();
        self
    }
}
