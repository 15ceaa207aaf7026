//! The wire: EDNS, sizes, truncation, malformed messages, and TCP connections.

use std::time::Duration;

use deed_sandbox::{Limits, PutRecords, PutZone};
use hickory_proto::op::ResponseCode::{FormErr, NoError, NotImp};
use hickory_proto::op::{Edns, Message, MessageType, OpCode};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{
    DEADLINE, TestSandbox, answers, name, query, query_without_edns, read_tcp, receive, write_tcp,
};

#[tokio::test]
async fn echoes_question_in_original_case() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("_deed.acme.com", "TXT", &["proof"]);
    let asked = query_without_edns("_DeEd.AcMe.cOm", RecordType::TXT).to_vec().unwrap();
    let reply = sandbox.send_bytes(&asked).await;
    assert_eq!(reply[..2], asked[..2]);
    assert_eq!(reply[12..asked.len()], asked[12..]);
    let reply = Message::from_vec(&reply).unwrap();
    assert!(reply.answers[0].name.eq_case(&name("_DeEd.AcMe.cOm")));
    assert_eq!(sandbox.zones.queries(None, 0)[0].name.as_deref(), Some("_DeEd.AcMe.cOm"));
}

#[tokio::test]
async fn answers_with_edns_only_to_edns() {
    let sandbox = TestSandbox::with_acme().await;
    let mut asked = query("acme.com", RecordType::SOA);
    asked.edns.as_mut().unwrap().set_dnssec_ok(true);
    let edns = sandbox.send(&asked).await.edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload(), edns.flags().dnssec_ok), (0, 1232, true));
    assert_eq!(sandbox.send(&query_without_edns("acme.com", RecordType::SOA)).await.edns, None);
}

#[tokio::test]
async fn answers_badvers_to_unknown_edns_version() {
    let sandbox = TestSandbox::with_acme().await;
    let mut asked = query("acme.com", RecordType::SOA);
    asked.edns.as_mut().unwrap().set_version(1);
    let reply = sandbox.send(&asked).await;
    // BADVERS and BADSIG share the number.
    assert_eq!((u16::from(reply.response_code), reply.edns.as_ref().map(Edns::version)), (16, Some(0)));
    assert_eq!(reply.answers, []);
    assert_eq!(sandbox.zones.queries(None, 0)[0].rcode.as_deref(), Some("BADVERS"));
}

#[tokio::test]
async fn truncates_answers_above_client_limit() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("mid.acme.com", "TXT", &[&"x".repeat(600)]);
    sandbox.set("big.acme.com", "TXT", &[&"x".repeat(2000)]);
    let limited = async |name: &str, payload: Option<u16>| {
        let mut asked = query_without_edns(name, RecordType::TXT);
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            asked.set_edns(edns);
        }
        let bytes = sandbox.send_bytes(&asked.to_vec().unwrap()).await;
        assert!(
            bytes.len() <= usize::from(payload.unwrap_or(512)),
            "{name} {payload:?}: {} bytes",
            bytes.len()
        );
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!((reply.response_code, reply.edns.is_some()), (NoError, payload.is_some()));
        assert_eq!(reply.truncation, reply.answers.is_empty());
        reply.truncation
    };
    assert!(limited("mid.acme.com", None).await);
    assert!(limited("mid.acme.com", Some(512)).await);
    assert!(!limited("mid.acme.com", Some(1232)).await);
    assert!(limited("big.acme.com", Some(1232)).await);
    assert!(!limited("big.acme.com", Some(4096)).await);
    let over_tcp = sandbox.query_tcp("big.acme.com", RecordType::TXT).await;
    assert_eq!((over_tcp.truncation, over_tcp.answers.len()), (false, 1));
}

#[tokio::test]
async fn truncates_tcp_answer_above_64_kib() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("acme.com", "TXT", &[&"x".repeat(60_000)]);
    assert_eq!(sandbox.query_tcp("acme.com", RecordType::TXT).await.answers.len(), 1);
    sandbox.zones.add_records("acme.com", "TXT", &PutRecords::values(["y".repeat(60_000)])).unwrap();
    let reply = sandbox.query_tcp("acme.com", RecordType::TXT).await;
    assert!(reply.truncation && reply.answers.is_empty());
}

#[tokio::test]
async fn drops_optional_addresses_before_truncating() {
    let sandbox = TestSandbox::with_acme().await;
    let servers: Vec<String> = (0..13).map(|index| format!("n{index}.acme.com")).collect();
    for server in &servers {
        sandbox
            .zones
            .put_records(server, "AAAA", &PutRecords::values(["2001:db8::1", "2001:db8::2"]))
            .unwrap();
    }
    sandbox.zones.put_zone("acme.com", &PutZone { soa_minimum: None, ns: Some(servers.clone()) }).unwrap();
    let reply = sandbox.send(&query_without_edns("acme.com", RecordType::NS)).await;
    assert_eq!((reply.truncation, reply.answers.len(), reply.additionals.len()), (false, 13, 0));
    assert_eq!(sandbox.query("acme.com", RecordType::NS).await.additionals.len(), 26);
    // RFC 9471: in a referral they are needed.
    sandbox.zones.put_records("child.acme.com", "NS", &PutRecords::values(servers)).unwrap();
    assert!(sandbox.send(&query_without_edns("www.child.acme.com", RecordType::TXT)).await.truncation);
}

#[tokio::test]
async fn other_opcodes_are_not_implemented() {
    let sandbox = TestSandbox::with_acme().await;
    for op_code in [OpCode::Status, OpCode::Notify, OpCode::Update, OpCode::Unknown(9)] {
        let mut asked = query_without_edns("acme.com", RecordType::SOA);
        asked.metadata.op_code = op_code;
        let reply = sandbox.send(&asked).await;
        assert_eq!((reply.response_code, reply.op_code, reply.id), (NotImp, op_code, asked.id));
    }
}

#[tokio::test]
async fn answers_formerr_when_header_is_readable() {
    let sandbox = TestSandbox::with_acme().await;
    let asked = query_without_edns("acme.com", RecordType::SOA);
    let good = asked.to_vec().unwrap();
    let mut two_questions = asked.clone();
    two_questions.add_query(asked.queries[0].clone());
    let mut none = asked.clone();
    none.queries.clear();
    for bad in [
        good[..good.len() - 1].to_vec(),
        good[..12].to_vec(),
        two_questions.to_vec().unwrap(),
        none.to_vec().unwrap(),
    ] {
        let reply = Message::from_vec(&sandbox.send_bytes(&bad).await).unwrap();
        assert_eq!(
            (reply.response_code, reply.message_type, reply.id),
            (FormErr, MessageType::Response, asked.id)
        );
    }
}

#[tokio::test]
async fn ignores_fragments_and_responses() {
    let sandbox = TestSandbox::with_acme().await;
    let asked = query_without_edns("acme.com", RecordType::SOA);
    let mut response = query("acme.com", RecordType::SOA);
    response.metadata.message_type = MessageType::Response;
    let socket = sandbox.socket().await;
    socket.send(&asked.to_vec().unwrap()[..11]).await.unwrap();
    socket.send(&[]).await.unwrap();
    socket.send(&response.to_vec().unwrap()).await.unwrap();
    socket.send(&asked.to_vec().unwrap()).await.unwrap();
    let reply = Message::from_vec(&receive(&socket).await).unwrap();
    assert_eq!((reply.id, reply.response_code), (asked.id, NoError));
}

#[tokio::test]
async fn random_bytes_never_stop_the_server() {
    let sandbox = TestSandbox::with_acme().await;
    let socket = sandbox.socket().await;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..2000_usize {
        let mut bytes = query_without_edns("a.b.acme.com", RecordType::TXT).to_vec().unwrap();
        for _ in 0..=round % 7 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let [value, place, ..] = state.to_le_bytes();
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
        }
        socket.send(&bytes).await.unwrap();
        // Waits for an answer often enough that no socket buffer overflows.
        if round % 20 == 19 {
            assert_eq!(sandbox.query("acme.com", RecordType::SOA).await.response_code, NoError);
        }
    }
}

#[tokio::test]
async fn reads_pipelined_queries_in_any_portions() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("a.acme.com", "TXT", &["a"]);
    sandbox.set("b.acme.com", "TXT", &["b"]);
    let mut stream = sandbox.connect().await;
    stream.set_nodelay(true).unwrap();
    for name in ["a.acme.com", "b.acme.com"] {
        write_tcp(&mut stream, &query(name, RecordType::TXT)).await;
    }
    for value in ["a", "b"] {
        assert_eq!(answers(&read_tcp(&mut stream).await), [format!("{value}.acme.com. TXT {value}")]);
    }
    let bytes = query("a.acme.com", RecordType::TXT).to_vec().unwrap();
    let framed = [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat();
    for byte in framed {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(answers(&read_tcp(&mut stream).await), ["a.acme.com. TXT a"]);
}

#[tokio::test]
async fn closes_idle_and_incomplete_connections() {
    let limits = Limits { tcp_idle: Duration::from_millis(100), ..Limits::default() };
    let sandbox = TestSandbox::start(true, limits).await;
    for portion in [&b""[..], b"\x00", b"\x00\x40half a message"] {
        let mut stream = sandbox.connect().await;
        stream.write_all(portion).await.unwrap();
        let mut rest = Vec::new();
        // With unread bytes in hand the system ends the connection with a reset.
        let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn closes_connections_above_limit_only() {
    let sandbox = TestSandbox::start(true, Limits { tcp_connections: 1, ..Limits::default() }).await;
    let mut first = sandbox.connect().await;
    write_tcp(&mut first, &query("com", RecordType::NS)).await;
    read_tcp(&mut first).await;
    let mut second = sandbox.connect().await;
    let ended = tokio::time::timeout(DEADLINE, second.read_u16()).await.unwrap();
    assert!(ended.is_err());
    write_tcp(&mut first, &query("net", RecordType::NS)).await;
    assert_eq!(read_tcp(&mut first).await.answers.len(), 1);
}
