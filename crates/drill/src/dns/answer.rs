//! Builds responses: one server for the root, every top-level domain and every name below.
use std::net::Ipv4Addr;
use std::str::FromStr as _;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::line::{DnsEvent, DnsTransport};
use super::records::{Lookup, Records};

/// The name of the server.
const SERVER: &str = "ns1.drill-server.com.";
/// The TTL.
const TTL: u32 = 1;
/// The size limit without EDNS (RFC 1035 §4.2.1).
const PLAIN: u16 = 512;
/// The advertised EDNS payload size (RFC 9715).
const PAYLOAD: u16 = 1232;

/// The response to a message, which is journaled before it is sent; none for a message that is no query.
pub(super) fn respond(
    records: &Records,
    server: Ipv4Addr,
    transport: DnsTransport,
    request: &[u8],
) -> anyhow::Result<Option<Vec<u8>>> {
    let Ok(request) = Message::from_vec(request) else { return Ok(None) };
    if request.metadata.message_type == MessageType::Response {
        return Ok(None);
    }
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.queries.clone_from(&request.queries);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        reply.set_edns(edns);
    }
    let limit = match transport {
        DnsTransport::Udp if request.edns.is_some() => usize::from(request.max_payload()),
        DnsTransport::Udp => usize::from(PLAIN),
        DnsTransport::Tcp => usize::from(u16::MAX),
    };
    let [question] = request.queries.as_slice() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return Ok(Some(reply.to_vec()?));
    };
    if request.metadata.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return Ok(Some(reply.to_vec()?));
    }
    let (asked, kind) = (question.name().clone(), question.query_type());
    let bytes = records.answer(|lookup| {
        let name = text_of(&asked);
        let values = fill(&mut reply, lookup, &asked, &name, kind, server)?;
        let mut bytes = reply.to_vec()?;
        let truncated = bytes.len() > limit;
        let values = if truncated { vec![] } else { values };
        if truncated {
            bytes = reply.truncate().to_vec()?;
        }
        let code = reply.metadata.response_code.into();
        let kind = kind.to_string();
        let event = DnsEvent::Answered { name, kind, transport, code, truncated, values };
        anyhow::Ok((bytes, event))
    })?;
    Ok(Some(bytes))
}

/// Lower case, without the trailing dot.
fn text_of(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// Fills the response; returns its TXT values.
fn fill(
    reply: &mut Message,
    lookup: &Lookup<'_>,
    asked: &Name,
    name: &str,
    kind: RecordType,
    server: Ipv4Addr,
) -> anyhow::Result<Vec<String>> {
    reply.metadata.authoritative = true;
    let own = Name::from_str(SERVER)?;
    let depth = asked.iter().len();
    let zone = asked.trim_to(depth.min(2));
    let address = Record::from_rdata(own.clone(), TTL, RData::A(A(server)));
    let soa = SOA::new(own.clone(), own.clone(), 1, 60, 60, 60, TTL);
    let values = lookup.values(name);
    match kind {
        RecordType::NS if depth <= 2 => {
            reply.add_answer(Record::from_rdata(asked.clone(), TTL, RData::NS(NS(own))));
            reply.add_additional(address);
        }
        RecordType::SOA if depth <= 2 => {
            reply.add_answer(Record::from_rdata(asked.clone(), TTL, RData::SOA(soa)));
        }
        RecordType::A if *asked == own => {
            reply.add_answer(address);
        }
        RecordType::TXT if !values.is_empty() => {
            for value in &values {
                let text = RData::TXT(TXT::new(vec![value.clone()]));
                reply.add_answer(Record::from_rdata(asked.clone(), TTL, text));
            }
            return Ok(values);
        }
        _ => {
            let exists = depth <= 2 || *asked == own || lookup.exists(name);
            if !exists {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            reply.add_authority(Record::from_rdata(zone, TTL, RData::SOA(soa)));
        }
    }
    Ok(vec![])
}
