//! What is kept of an observation: capped, escaped, fit for people and for the log of events.
use serde::{Deserialize, Serialize};

use crate::{NetworkFault, Observation, Reply, Security, ServerAnswer, Transport};

/// Values kept per server.
const VALUES: usize = 3;
/// Characters kept per value or name.
const CHARS: usize = 100;

/// Evidence kept with each check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What came back: a response code such as `NXDOMAIN`, or `timeout`, `unreachable`, `malformed`, `blocked`.
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
    /// At most three values, each at most 100 characters, printable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Serial of the SOA in a negative answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_serial: Option<u32>,
    /// Round trip in milliseconds.
    pub ms: u32,
}

/// Attacker-made bytes as printable ASCII: everything else escaped, cut so that it has at most 100 characters.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        let piece = match byte {
            b'\\' => "\\\\".to_owned(),
            0x20..=0x7e => char::from(byte).to_string(),
            other => format!("\\x{other:02x}"),
        };
        if text.len() + piece.len() > CHARS - 3 {
            text.push_str("...");
            return text;
        }
        text.push_str(&piece);
    }
    text
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

impl From<&ServerAnswer> for ServerEvidence {
    fn from(answer: &ServerAnswer) -> Self {
        let mut kept = Self {
            server: printable(answer.server.as_bytes()),
            address: answer.address.map(|a| a.to_string()),
            transport: answer.transport,
            result: String::new(),
            authoritative: false,
            truncated: false,
            ede: None,
            values: vec![],
            soa_serial: None,
            ms: answer.ms,
        };
        match &answer.reply {
            Reply::Message { rcode, authoritative, truncated, ede, values, soa, .. } => {
                kept.result = rcode_name(*rcode);
                kept.authoritative = *authoritative;
                kept.truncated = *truncated;
                kept.ede = ede.map(u32::from);
                kept.values = values.iter().take(VALUES).map(|v| printable(v)).collect();
                kept.soa_serial = soa.as_ref().map(|s| s.serial);
            }
            Reply::Fault(fault) => {
                match fault {
                    NetworkFault::Timeout => "timeout",
                    NetworkFault::Unreachable => "unreachable",
                    NetworkFault::Malformed => "malformed",
                    NetworkFault::TruncatedNoTcp => "truncated_no_tcp",
                    NetworkFault::EdnsBroken => "edns_broken",
                    NetworkFault::Internal => "internal",
                }
                .clone_into(&mut kept.result);
            }
            Reply::Blocked => "blocked".clone_into(&mut kept.result),
        }
        kept
    }
}

impl From<&Observation> for Evidence {
    fn from(seen: &Observation) -> Self {
        let security = seen.confirmation.validation.as_ref().map(|validation| validation.security);
        let confirmed_by = seen.confirmation.repeated.iter().flatten().map(Into::into).collect();
        let confirmation = match (security, &seen.confirmation.repeated) {
            (Some(Security::Secure), _) => "secure",
            (Some(Security::Bogus), _) => "bogus",
            (_, Some(_)) => "repeated",
            (_, None) => "none",
        };
        Self {
            zone: seen.zone.as_ref().map(|z| printable(z.as_bytes())),
            aliases: seen.aliases.iter().map(|a| printable(a.as_bytes())).collect(),
            servers: seen.servers.iter().map(Into::into).collect(),
            confirmation: confirmation.to_owned(),
            confirmed_by,
            queries: seen.queries,
            took_ms: seen.took_ms,
            vantage: seen.vantage.clone(),
            suffix_list: crate::name::suffix_list_version().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_bytes_come_out_printable_and_capped() {
        assert_eq!(printable(b"a\nb\\\xff"), "a\\x0ab\\\\\\xff");
        let long = printable(&[0; 500]);
        assert!(long.len() <= CHARS && long.ends_with("..."));
    }
}
