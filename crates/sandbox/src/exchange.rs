//! One message in, one reply out: header checks, EDNS, faults, truncation and the query log.

use std::time::Duration;

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::answer::{Answer, answer, denial};
use crate::control::types::{FaultKind, QueryView, Transport};
use crate::fault::Fault;
use crate::name::show_name_in_original_case;
use crate::rdata::show_type;
use crate::zones::Zones;

/// The UDP payload size that our OPT record announces (RFC 9715 recommends it).
const OWN_PAYLOAD: u16 = 1232;
/// The UDP limit without EDNS (RFC 1035 §4.2.1), and the least that an OPT record can announce (RFC 6891 §6.2.3).
const PLAIN_PAYLOAD: usize = 512;

/// The reaction to a message.
#[derive(Debug)]
pub(crate) enum Reply {
    Send {
        bytes: Vec<u8>,
        after: Duration,
    },
    None,
    /// The TCP connection is reset.
    Reset,
}

/// Answers one message that was received over `transport`.
pub(crate) fn respond(zones: &Zones, transport: Transport, request: &[u8]) -> Reply {
    let Ok(header) = Header::read(&mut BinDecoder::new(request)) else {
        return Reply::None;
    };
    // Answering a response could make two servers loop for ever.
    if header.message_type == MessageType::Response {
        return Reply::None;
    }
    let parsed = Message::from_vec(request).ok();
    let question = parsed.as_ref().and_then(|message| match message.queries.as_slice() {
        [question] => Some(question),
        _ => None,
    });
    let mut reply = bare_reply(&header.metadata, parsed.as_ref());
    let mut fault = None;
    match (header.op_code, question) {
        (OpCode::Query, Some(question)) if reply.response_code == ResponseCode::NoError => {
            let outcome;
            (outcome, fault) = resolve(zones, transport, question);
            fill(&mut reply, outcome, payload_limit(transport, parsed.as_ref()));
        }
        // An EDNS version that is not supported; the reply already says so.
        (OpCode::Query, Some(_)) => {}
        (OpCode::Query, None) => reply.metadata.response_code = ResponseCode::FormErr,
        _ => reply.metadata.response_code = ResponseCode::NotImp,
    }
    let sent = deliver(&mut reply, fault);
    zones.record_query(QueryView {
        seq: 0,
        transport,
        name: question.map(|question| show_name_in_original_case(question.name())),
        kind: question.map(|question| show_type(question.query_type())),
        rcode: matches!(sent, Reply::Send { .. }).then(|| show_code(reply.response_code)),
        fault: fault.map(|fault| fault.kind),
    });
    sent
}

/// The reply without its records: id, question and EDNS are copied, BADVERS is set where it is due.
fn bare_reply(request: &Metadata, parsed: Option<&Message>) -> Message {
    let mut reply = Message::response(request.id, request.op_code);
    reply.metadata.recursion_desired = request.recursion_desired;
    let Some(parsed) = parsed else { return reply };
    reply.queries.clone_from(&parsed.queries);
    if let Some(asked) = &parsed.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(OWN_PAYLOAD);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        reply.set_edns(edns);
        if asked.version() != 0 {
            reply.metadata.response_code = ResponseCode::BADVERS;
        }
    }
    reply
}

/// The answer, and the fault that applies. A fault that decides the answer has been applied here.
fn resolve(zones: &Zones, transport: Transport, question: &Query) -> (Answer, Option<Fault>) {
    let (name, kind) = (question.name(), question.query_type());
    let served = zones.read();
    let fault = served.faults.find(transport, name, kind);
    let faulty = fault.and_then(|fault| match fault.kind {
        FaultKind::Nxdomain => Some(denial(&served.namespace, name)),
        FaultKind::Servfail => Some(bare(ResponseCode::ServFail)),
        FaultKind::Refused => Some(bare(ResponseCode::Refused)),
        FaultKind::Formerr => Some(bare(ResponseCode::FormErr)),
        _ => None,
    });
    let outcome =
        faulty.or_else(|| refusal(question)).unwrap_or_else(|| answer(&served.namespace, name, kind));
    (outcome, fault)
}

/// Queries that are refused whatever the zones hold.
fn refusal(question: &Query) -> Option<Answer> {
    let transfer = matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR);
    let refused = transfer || question.query_class() != DNSClass::IN;
    refused.then(|| bare(ResponseCode::Refused))
}

fn bare(code: ResponseCode) -> Answer {
    Answer { code, ..Answer::default() }
}

/// The most bytes that the client accepts.
fn payload_limit(transport: Transport, request: Option<&Message>) -> usize {
    match transport {
        Transport::Udp => request.map_or(PLAIN_PAYLOAD, |request| usize::from(request.max_payload())),
        Transport::Tcp => usize::from(u16::MAX),
    }
}

/// Puts the answer into the reply, as much of it as the client accepts.
fn fill(reply: &mut Message, answer: Answer, limit: usize) {
    reply.metadata.response_code = answer.code;
    reply.metadata.authoritative = answer.authoritative;
    reply.answers = answer.answers;
    reply.authorities = answer.authorities;
    reply.additionals = answer.additionals;
    if fits(reply, limit) {
        return;
    }
    // RFC 2181 §9: leaving out optional records is not truncation.
    if !answer.needs_additionals {
        reply.additionals.clear();
        if fits(reply, limit) {
            return;
        }
    }
    truncate(reply);
}

fn fits(reply: &Message, limit: usize) -> bool {
    // The encoder stops at 64 KiB by itself, and shows that only in the header that it writes.
    reply.to_vec().is_ok_and(|bytes| bytes.len() <= limit && bytes.get(2).is_some_and(|flags| flags & 2 == 0))
}

fn truncate(reply: &mut Message) {
    *reply = reply.truncate();
}

/// Applies a fault to the finished message, and encodes it.
fn deliver(reply: &mut Message, fault: Option<Fault>) -> Reply {
    let mut after = Duration::ZERO;
    if let Some(fault) = fault {
        match fault.kind {
            FaultKind::Drop => return Reply::None,
            FaultKind::TcpRefuse => return Reply::Reset,
            FaultKind::Delay => after = fault.delay,
            FaultKind::Truncate | FaultKind::TruncateAlways => truncate(reply),
            FaultKind::WrongId => reply.metadata.id = !reply.id,
            FaultKind::NotAuthoritative => reply.metadata.authoritative = false,
            FaultKind::Nxdomain | FaultKind::Servfail | FaultKind::Refused | FaultKind::Formerr => {}
        }
    }
    let Ok(bytes) = reply.to_vec() else {
        // The error would quote the client's bytes.
        tracing::warn!("cannot encode a response");
        return Reply::None;
    };
    Reply::Send { bytes, after }
}

/// The code's mnemonic as DNS tools print it.
fn show_code(code: ResponseCode) -> String {
    let known = match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BADVERS => "BADVERS",
        other => return format!("RCODE{}", u16::from(other)),
    };
    known.to_owned()
}
