//! Every fault, over each transport that it applies to, and only there.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use deed_sandbox::{FaultKind, FaultTransport, PutFault, Transport};
use hickory_proto::op::Message;
use hickory_proto::op::ResponseCode::{FormErr, NXDomain, NoError, Refused, ServFail};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{
    DEADLINE, TestSandbox, answers, assert_negative, query, query_without_edns, read_tcp, receive, write_tcp,
};

const NAME: &str = "_deed.acme.com";

async fn sandbox_with(fault: &PutFault) -> TestSandbox {
    let sandbox = TestSandbox::automatic().await;
    sandbox.set(NAME, "TXT", &["proof"]);
    sandbox.set("other.acme.com", "TXT", &["other"]);
    sandbox.zones.put_fault(NAME, fault).unwrap();
    sandbox
}

/// The correct answer.
#[track_caller]
fn assert_proof(reply: &Message) {
    assert_eq!((reply.response_code, reply.authoritative, reply.truncation), (NoError, true, false));
    assert_eq!(answers(reply), ["_deed.acme.com. TXT proof"]);
}

async fn assert_other_is_well(sandbox: &TestSandbox) {
    assert_eq!(
        answers(&sandbox.query("other.acme.com", RecordType::TXT).await),
        ["other.acme.com. TXT other"]
    );
    assert_eq!(
        answers(&sandbox.query_tcp("other.acme.com", RecordType::TXT).await),
        ["other.acme.com. TXT other"]
    );
}

#[tokio::test]
async fn error_codes_come_without_records() {
    for (kind, code) in
        [(FaultKind::Servfail, ServFail), (FaultKind::Refused, Refused), (FaultKind::Formerr, FormErr)]
    {
        let sandbox = sandbox_with(&PutFault::new(kind)).await;
        for reply in
            [sandbox.query(NAME, RecordType::TXT).await, sandbox.query_tcp(NAME, RecordType::TXT).await]
        {
            assert_eq!(reply.response_code, code);
            assert!(!reply.authoritative && reply.all_sections().next().is_none());
            assert!(reply.edns.is_some());
        }
        assert_other_is_well(&sandbox).await;
        let logged = sandbox.zones.queries(Some(NAME), 0);
        assert!(logged.iter().all(|query| query.fault == Some(kind)), "{logged:?}");
        assert!(sandbox.zones.delete_fault(NAME).unwrap());
        assert_proof(&sandbox.query(NAME, RecordType::TXT).await);
    }
}

#[tokio::test]
async fn nxdomain_is_a_true_looking_denial() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::Nxdomain)).await;
    assert_negative(&sandbox.query(NAME, RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&sandbox.query_tcp(NAME, RecordType::TXT).await, NXDomain, "acme.com");
    assert_other_is_well(&sandbox).await;
}

#[tokio::test]
async fn logs_dropped_queries() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::Drop)).await;
    let other = query("other.acme.com", RecordType::TXT);
    let socket = sandbox.socket().await;
    socket.send(&query(NAME, RecordType::TXT).to_vec().unwrap()).await.unwrap();
    let seen = sandbox.zones.wait_for_query(NAME, 0, DEADLINE).await.unwrap();
    assert_eq!((seen.rcode, seen.fault), (None, Some(FaultKind::Drop)));
    socket.send(&other.to_vec().unwrap()).await.unwrap();
    assert_eq!(
        Message::from_vec(&receive(&socket).await).unwrap().id,
        other.id,
        "the dropped one was answered"
    );
    let mut stream = sandbox.connect().await;
    write_tcp(&mut stream, &query(NAME, RecordType::TXT)).await;
    write_tcp(&mut stream, &other).await;
    assert_eq!(read_tcp(&mut stream).await.id, other.id);
}

#[tokio::test]
async fn delayed_replies_do_not_block_udp() {
    let sandbox = sandbox_with(&PutFault::delay(400)).await;
    let (slow, fast) = (query(NAME, RecordType::TXT), query("other.acme.com", RecordType::TXT));
    let socket = sandbox.socket().await;
    let asked = Instant::now();
    socket.send(&slow.to_vec().unwrap()).await.unwrap();
    socket.send(&fast.to_vec().unwrap()).await.unwrap();
    assert_eq!(Message::from_vec(&receive(&socket).await).unwrap().id, fast.id);
    assert_proof(&Message::from_vec(&receive(&socket).await).unwrap());
    assert!(asked.elapsed() >= Duration::from_millis(400));
    let asked = Instant::now();
    assert_proof(&sandbox.query_tcp(NAME, RecordType::TXT).await);
    assert!(asked.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn delayed_replies_do_not_block_tcp_connection() {
    let sandbox = sandbox_with(&PutFault::delay(400)).await;
    let (slow, fast) = (query(NAME, RecordType::TXT), query("other.acme.com", RecordType::TXT));
    let mut stream = sandbox.connect().await;
    for asked in [&slow, &fast, &slow] {
        write_tcp(&mut stream, asked).await;
    }
    // A client that closes its sending side is answered all the same.
    stream.shutdown().await.unwrap();
    assert_eq!(read_tcp(&mut stream).await.id, fast.id);
    assert_proof(&read_tcp(&mut stream).await);
    assert_proof(&read_tcp(&mut stream).await);
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn truncation_sends_clients_to_tcp() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::Truncate)).await;
    let reply = sandbox.query(NAME, RecordType::TXT).await;
    assert!(reply.truncation && reply.answers.is_empty() && reply.response_code == NoError);
    assert_eq!(reply.queries.len(), 1);
    assert_proof(&sandbox.query_tcp(NAME, RecordType::TXT).await);
    sandbox.zones.put_fault(NAME, &PutFault::new(FaultKind::TruncateAlways)).unwrap();
    for reply in [sandbox.query(NAME, RecordType::TXT).await, sandbox.query_tcp(NAME, RecordType::TXT).await]
    {
        assert!(reply.truncation && reply.answers.is_empty());
    }
    assert_other_is_well(&sandbox).await;
}

#[tokio::test]
async fn wrong_id_changes_nothing_else() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::WrongId)).await;
    let asked = query(NAME, RecordType::TXT);
    let reply = sandbox.send(&asked).await;
    assert_ne!(reply.id, asked.id);
    assert_proof(&reply);
}

#[tokio::test]
async fn a_lame_server_answers_without_aa() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::NotAuthoritative)).await;
    for reply in [sandbox.query(NAME, RecordType::TXT).await, sandbox.query_tcp(NAME, RecordType::TXT).await]
    {
        assert!(!reply.authoritative);
        assert_eq!(answers(&reply), ["_deed.acme.com. TXT proof"]);
    }
    assert_other_is_well(&sandbox).await;
}

#[tokio::test]
async fn tcp_is_reset_once_the_question_is_known() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::TcpRefuse)).await;
    let mut stream = sandbox.connect().await;
    write_tcp(&mut stream, &query(NAME, RecordType::TXT)).await;
    let ended = tokio::time::timeout(DEADLINE, stream.read_u16()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let seen = sandbox.zones.queries(Some(NAME), 0);
    assert_eq!((seen[0].transport, seen[0].rcode.as_deref()), (Transport::Tcp, None));
    assert_proof(&sandbox.query(NAME, RecordType::TXT).await);
    assert_other_is_well(&sandbox).await;
}

#[tokio::test]
async fn tcp_is_refused_outright_for_everything() {
    let sandbox = TestSandbox::automatic().await;
    sandbox.zones.put_fault("*.", &PutFault::new(FaultKind::TcpRefuse)).unwrap();
    let mut stream = sandbox.connect().await;
    let ended = tokio::time::timeout(DEADLINE, stream.read_u16()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(sandbox.query("acme.com", RecordType::NS).await.response_code, NoError);
}

#[tokio::test]
async fn faults_apply_to_their_transport_type_and_names() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::Servfail).over(FaultTransport::Udp)).await;
    assert_eq!(sandbox.query(NAME, RecordType::TXT).await.response_code, ServFail);
    assert_proof(&sandbox.query_tcp(NAME, RecordType::TXT).await);
    sandbox.zones.delete_faults();
    sandbox.zones.put_fault(NAME, &PutFault::new(FaultKind::Servfail).over(FaultTransport::Tcp)).unwrap();
    assert_proof(&sandbox.query(NAME, RecordType::TXT).await);
    assert_eq!(sandbox.query_tcp(NAME, RecordType::TXT).await.response_code, ServFail);
    sandbox.zones.delete_faults();
    sandbox.zones.put_fault("*.acme.com", &PutFault::new(FaultKind::Refused).for_type("txt")).unwrap();
    assert_eq!(sandbox.query(NAME, RecordType::TXT).await.response_code, Refused);
    assert_eq!(sandbox.query("a.b.acme.com", RecordType::TXT).await.response_code, Refused);
    assert_eq!(sandbox.query(NAME, RecordType::A).await.response_code, NoError);
    assert_eq!(sandbox.query("acme.com", RecordType::TXT).await.response_code, NoError);
    assert_eq!(sandbox.query("notacme.com", RecordType::TXT).await.response_code, NoError);
}

#[tokio::test]
async fn faults_ignore_letter_case() {
    let sandbox = sandbox_with(&PutFault::new(FaultKind::Servfail)).await;
    assert_eq!(
        sandbox.send(&query_without_edns("_DEED.aCMe.COM", RecordType::TXT)).await.response_code,
        ServFail
    );
    assert_eq!(sandbox.zones.queries(Some(NAME), 0)[0].name.as_deref(), Some("_DEED.aCMe.COM"));
}
