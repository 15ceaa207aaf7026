//! The evidence of a check as its own workspace sees it.
use deed_diagnosis::{
    DnameEvidence, ElsewhereEvidence, Evidence, NotedServers, Routing, RoutingState, Security,
    SerialEvidence, ServerEvidence, Signatures, Transport, ValidationEvidence, VantageEvidence,
};

use serde::Serialize;
use utoipa::ToSchema;

use super::in_both_contracts;
use super::schemas::{RoutingSchema, SecuritySchema, SignaturesSchema, TransportSchema};

in_both_contracts! {
    /// What a check saw.
    EvidenceBody as Evidence in Workspace and AppEvidence in Apps {
        /// The zone whose servers were asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        zone: Option<String>,
        /// Aliases that were followed.
        aliases: Vec<String>,
        servers: Vec<ServerBody>,
        /// Servers of zones on the way that contradict what most of them said.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        dissent: Vec<ServerBody>,
        /// TXT values beside a CNAME that was followed, which no resolver shows; escaped and cut.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        beside_alias: Vec<String>,
        /// The second look: `none`, `repeated`, `secure` or `bogus`.
        confirmation: String,
        /// The servers' second answers.
        confirmed_by: Vec<ServerBody>,
        /// Questions sent.
        queries: u32,
        took_ms: u32,
        /// The place that looked.
        vantage: String,
        /// The Public Suffix List in force.
        suffix_list: String,
        /// What DNSSEC says, where somebody validated.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        validation: Option<ValidationBody>,
        /// What resolvers elsewhere see.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        vantages: Vec<VantageBody>,
        /// How many of them have to see the value.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        quorum: Option<u32>,
        /// The DNAME that moved the name elsewhere.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        dname: Option<DnameBody>,
        /// TXT records at places where records are put by mistake.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        elsewhere: Vec<ElsewhereBody>,
        /// Other types at the name.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        other_types: Vec<String>,
        /// The zone's serial at each server that told it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        serials: Vec<SerialBody>,
        /// What ended the look before its time.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        failure: Option<String>,
        /// What should be known besides the verdict, such as `wildcard_answer` or `partially_lame`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        notes: Vec<String>,
        /// The name servers that notes are about.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        noted_servers: Vec<NotedServersBody>,
        /// Where the hostname leads, apart from its proof.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        routing: Option<RoutingEvidenceBody>,
    }

    /// What one server said.
    ServerBody as ServerAnswer in Workspace and AppServerAnswer in Apps {
        server: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        address: Option<String>,
        #[schema(value_type = TransportSchema)]
        transport: Transport,
        /// A response code such as `NXDOMAIN`, or why there was none.
        result: String,
        authoritative: bool,
        truncated: bool,
        /// The Extended DNS Error.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        ede: Option<u32>,
        /// Values seen, escaped and cut.
        values: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        soa_serial: Option<u32>,
        /// The time-frame of the answer's signatures; absent without signatures.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<SignaturesSchema>, nullable = false)]
        signatures: Option<Signatures>,
        ms: u32,
    }

    /// What DNSSEC says.
    ValidationBody as Validation in Workspace and AppValidation in Apps {
        /// Who validated: the address of a resolver, or `self`.
        by: String,
        #[schema(value_type = SecuritySchema)]
        security: Security,
        /// A response code such as `NXDOMAIN`, where there was an answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        result: Option<String>,
        /// Values seen, escaped and cut.
        values: Vec<String>,
        /// The Extended DNS Error.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        ede: Option<u32>,
        /// Its text, escaped and cut.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        ede_text: Option<String>,
        /// How much longer a denial may be remembered, in seconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        negative_ttl: Option<u32>,
        ms: u32,
    }
}

/// What a resolver elsewhere sees.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VantageAnswer)]
pub struct VantageBody {
    vantage: String,
    /// A response code such as `NXDOMAIN`, or why there was none.
    result: String,
    /// Values seen, escaped and cut.
    values: Vec<String>,
    ms: u32,
}

/// A DNAME.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dname)]
pub struct DnameBody {
    /// Where it stands.
    owner: String,
    /// Where it leads.
    target: String,
}

/// TXT records at another place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Elsewhere)]
pub struct ElsewhereBody {
    /// `apex`, `parent_label` or `doubled_zone`.
    place: String,
    name: String,
    /// Values seen, escaped and cut.
    values: Vec<String>,
}

/// A zone's serial at one server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Serial)]
pub struct SerialBody {
    server: String,
    address: String,
    serial: u32,
}

/// The name servers that a note is about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotedServers)]
pub struct NotedServersBody {
    /// One of those in `notes`.
    note: String,
    servers: Vec<String>,
}

/// Where a hostname was seen to lead.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutingEvidence)]
pub struct RoutingEvidenceBody {
    #[schema(value_type = RoutingSchema)]
    state: RoutingState,
    /// Where it has to lead.
    target: String,
    /// The last alias, then addresses.
    seen: Vec<String>,
}

/// Converts evidence into bodies with the same fields.
macro_rules! impl_by_field {
    ($($body:path, of $evidence:ident { $($field:ident),* })*) => {$(
        impl From<&$evidence> for $body {
            fn from(e: &$evidence) -> Self {
                Self { $($field: e.$field.clone(),)* }
            }
        }
    )*};
}

impl_by_field! {
    VantageBody, of VantageEvidence { vantage, result, values, ms }
    DnameBody, of DnameEvidence { owner, target }
    ElsewhereBody, of ElsewhereEvidence { place, name, values }
    SerialBody, of SerialEvidence { server, address, serial }
    NotedServersBody, of NotedServers { note, servers }
    RoutingEvidenceBody, of Routing { state, target, seen }
}

macro_rules! impl_from_evidence {
    ($($case:ident)*) => {$(
        impl_by_field! {
            $case::ServerBody, of ServerEvidence {
                server, address, transport, result, authoritative, truncated, ede, values, soa_serial,
                signatures, ms
            }
            $case::ValidationBody, of ValidationEvidence {
                by, security, result, values, ede, ede_text, negative_ttl, ms
            }
        }

        impl From<&Evidence> for $case::EvidenceBody {
            fn from(e: &Evidence) -> Self {
                Self {
                    zone: e.zone.clone(),
                    aliases: e.aliases.clone(),
                    servers: e.servers.iter().map(Into::into).collect(),
                    dissent: e.dissent.iter().map(Into::into).collect(),
                    beside_alias: e.beside_alias.clone(),
                    confirmation: e.confirmation.clone(),
                    confirmed_by: e.confirmed_by.iter().map(Into::into).collect(),
                    queries: e.queries,
                    took_ms: e.took_ms,
                    vantage: e.vantage.clone(),
                    suffix_list: e.suffix_list.clone(),
                    validation: e.validation.as_ref().map(Into::into),
                    vantages: e.vantages.iter().map(Into::into).collect(),
                    quorum: e.quorum,
                    dname: e.dname.as_ref().map(Into::into),
                    elsewhere: e.elsewhere.iter().map(Into::into).collect(),
                    other_types: e.other_types.clone(),
                    serials: e.serials.iter().map(Into::into).collect(),
                    failure: e.failure.clone(),
                    notes: e.notes.clone(),
                    noted_servers: e.noted_servers.iter().map(Into::into).collect(),
                    routing: e.routing.as_ref().map(Into::into),
                }
            }
        }
    )*};
}
impl_from_evidence! { camel snake }
