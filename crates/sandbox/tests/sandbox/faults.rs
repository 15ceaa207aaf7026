//! Every fault, over each transport that it strikes, and only there.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use deed_sandbox::{FaultKind, FaultTransport, PutFault, Transport};
use hickory_proto::op::Message;
use hickory_proto::op::ResponseCode::{FormErr, NXDomain, NoError, Refused, ServFail};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{
    Lab, PATIENCE, answers, assert_negative, plain_question, question, read_tcp, receive, write_tcp,
};

const NAME: &str = "_deed.acme.com";

async fn lab_with(fault: &PutFault) -> Lab {
    let lab = Lab::automatic().await;
    lab.set(NAME, "TXT", &["proof"]);
    lab.set("other.acme.com", "TXT", &["other"]);
    lab.zones.put_fault(NAME, fault).unwrap();
    lab
}

/// The true answer.
#[track_caller]
fn assert_proof(reply: &Message) {
    assert_eq!((reply.response_code, reply.authoritative, reply.truncation), (NoError, true, false));
    assert_eq!(answers(reply), ["_deed.acme.com. TXT proof"]);
}

async fn assert_other_is_well(lab: &Lab) {
    assert_eq!(answers(&lab.ask("other.acme.com", RecordType::TXT).await), ["other.acme.com. TXT other"]);
    assert_eq!(answers(&lab.ask_tcp("other.acme.com", RecordType::TXT).await), ["other.acme.com. TXT other"]);
}

#[tokio::test]
async fn error_codes_come_without_records() {
    for (kind, code) in
        [(FaultKind::Servfail, ServFail), (FaultKind::Refused, Refused), (FaultKind::Formerr, FormErr)]
    {
        let lab = lab_with(&PutFault::new(kind)).await;
        for reply in [lab.ask(NAME, RecordType::TXT).await, lab.ask_tcp(NAME, RecordType::TXT).await] {
            assert_eq!(reply.response_code, code);
            assert!(!reply.authoritative && reply.all_sections().next().is_none());
            assert!(reply.edns.is_some());
        }
        assert_other_is_well(&lab).await;
        let logged = lab.zones.queries(Some(NAME), 0);
        assert!(logged.iter().all(|query| query.fault == Some(kind)), "{logged:?}");
        assert!(lab.zones.delete_fault(NAME).unwrap());
        assert_proof(&lab.ask(NAME, RecordType::TXT).await);
    }
}

#[tokio::test]
async fn nxdomain_is_a_true_looking_denial() {
    let lab = lab_with(&PutFault::new(FaultKind::Nxdomain)).await;
    assert_negative(&lab.ask(NAME, RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&lab.ask_tcp(NAME, RecordType::TXT).await, NXDomain, "acme.com");
    assert_other_is_well(&lab).await;
}

#[tokio::test]
async fn dropped_questions_are_seen_but_never_answered() {
    let lab = lab_with(&PutFault::new(FaultKind::Drop)).await;
    let other = question("other.acme.com", RecordType::TXT);
    let socket = lab.socket().await;
    socket.send(&question(NAME, RecordType::TXT).to_vec().unwrap()).await.unwrap();
    let seen = lab.zones.wait_for_query(NAME, 0, PATIENCE).await.unwrap();
    assert_eq!((seen.rcode, seen.fault), (None, Some(FaultKind::Drop)));
    socket.send(&other.to_vec().unwrap()).await.unwrap();
    assert_eq!(
        Message::from_vec(&receive(&socket).await).unwrap().id,
        other.id,
        "the dropped one was answered"
    );
    let mut stream = lab.connect().await;
    write_tcp(&mut stream, &question(NAME, RecordType::TXT)).await;
    write_tcp(&mut stream, &other).await;
    assert_eq!(read_tcp(&mut stream).await.id, other.id);
}

#[tokio::test]
async fn delayed_answers_come_late_and_hold_up_nobody_over_udp() {
    let lab = lab_with(&PutFault::delay(400)).await;
    let (slow, fast) = (question(NAME, RecordType::TXT), question("other.acme.com", RecordType::TXT));
    let socket = lab.socket().await;
    let asked = Instant::now();
    socket.send(&slow.to_vec().unwrap()).await.unwrap();
    socket.send(&fast.to_vec().unwrap()).await.unwrap();
    assert_eq!(Message::from_vec(&receive(&socket).await).unwrap().id, fast.id);
    assert_proof(&Message::from_vec(&receive(&socket).await).unwrap());
    assert!(asked.elapsed() >= Duration::from_millis(400));
    let asked = Instant::now();
    assert_proof(&lab.ask_tcp(NAME, RecordType::TXT).await);
    assert!(asked.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn delayed_answers_hold_up_nobody_on_their_connection_either() {
    let lab = lab_with(&PutFault::delay(400)).await;
    let (slow, fast) = (question(NAME, RecordType::TXT), question("other.acme.com", RecordType::TXT));
    let mut stream = lab.connect().await;
    for asked in [&slow, &fast, &slow] {
        write_tcp(&mut stream, asked).await;
    }
    // A client that has no more questions is answered all the same.
    stream.shutdown().await.unwrap();
    assert_eq!(read_tcp(&mut stream).await.id, fast.id);
    assert_proof(&read_tcp(&mut stream).await);
    assert_proof(&read_tcp(&mut stream).await);
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn truncation_sends_clients_to_tcp() {
    let lab = lab_with(&PutFault::new(FaultKind::Truncate)).await;
    let reply = lab.ask(NAME, RecordType::TXT).await;
    assert!(reply.truncation && reply.answers.is_empty() && reply.response_code == NoError);
    assert_eq!(reply.queries.len(), 1);
    assert_proof(&lab.ask_tcp(NAME, RecordType::TXT).await);
    lab.zones.put_fault(NAME, &PutFault::new(FaultKind::TruncateAlways)).unwrap();
    for reply in [lab.ask(NAME, RecordType::TXT).await, lab.ask_tcp(NAME, RecordType::TXT).await] {
        assert!(reply.truncation && reply.answers.is_empty());
    }
    assert_other_is_well(&lab).await;
}

#[tokio::test]
async fn a_wrong_id_spoils_nothing_else() {
    let lab = lab_with(&PutFault::new(FaultKind::WrongId)).await;
    let asked = question(NAME, RecordType::TXT);
    let reply = lab.send(&asked).await;
    assert_ne!(reply.id, asked.id);
    assert_proof(&reply);
}

#[tokio::test]
async fn a_lame_server_answers_without_aa() {
    let lab = lab_with(&PutFault::new(FaultKind::NotAuthoritative)).await;
    for reply in [lab.ask(NAME, RecordType::TXT).await, lab.ask_tcp(NAME, RecordType::TXT).await] {
        assert!(!reply.authoritative);
        assert_eq!(answers(&reply), ["_deed.acme.com. TXT proof"]);
    }
    assert_other_is_well(&lab).await;
}

#[tokio::test]
async fn tcp_is_reset_once_the_question_is_known() {
    let lab = lab_with(&PutFault::new(FaultKind::TcpRefuse)).await;
    let mut stream = lab.connect().await;
    write_tcp(&mut stream, &question(NAME, RecordType::TXT)).await;
    let ended = tokio::time::timeout(PATIENCE, stream.read_u16()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let seen = lab.zones.queries(Some(NAME), 0);
    assert_eq!((seen[0].transport, seen[0].rcode.as_deref()), (Transport::Tcp, None));
    assert_proof(&lab.ask(NAME, RecordType::TXT).await);
    assert_other_is_well(&lab).await;
}

#[tokio::test]
async fn tcp_is_refused_outright_for_everything() {
    let lab = Lab::automatic().await;
    lab.zones.put_fault("*.", &PutFault::new(FaultKind::TcpRefuse)).unwrap();
    let mut stream = lab.connect().await;
    let ended = tokio::time::timeout(PATIENCE, stream.read_u16()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(lab.ask("acme.com", RecordType::NS).await.response_code, NoError);
}

#[tokio::test]
async fn faults_keep_to_their_transport_type_and_names() {
    let lab = lab_with(&PutFault::new(FaultKind::Servfail).over(FaultTransport::Udp)).await;
    assert_eq!(lab.ask(NAME, RecordType::TXT).await.response_code, ServFail);
    assert_proof(&lab.ask_tcp(NAME, RecordType::TXT).await);
    lab.zones.delete_faults();
    lab.zones.put_fault(NAME, &PutFault::new(FaultKind::Servfail).over(FaultTransport::Tcp)).unwrap();
    assert_proof(&lab.ask(NAME, RecordType::TXT).await);
    assert_eq!(lab.ask_tcp(NAME, RecordType::TXT).await.response_code, ServFail);
    lab.zones.delete_faults();
    lab.zones.put_fault("*.acme.com", &PutFault::new(FaultKind::Refused).for_type("txt")).unwrap();
    assert_eq!(lab.ask(NAME, RecordType::TXT).await.response_code, Refused);
    assert_eq!(lab.ask("a.b.acme.com", RecordType::TXT).await.response_code, Refused);
    assert_eq!(lab.ask(NAME, RecordType::A).await.response_code, NoError);
    assert_eq!(lab.ask("acme.com", RecordType::TXT).await.response_code, NoError);
    assert_eq!(lab.ask("notacme.com", RecordType::TXT).await.response_code, NoError);
}

#[tokio::test]
async fn faults_strike_whatever_case_is_asked_in() {
    let lab = lab_with(&PutFault::new(FaultKind::Servfail)).await;
    assert_eq!(lab.send(&plain_question("_DEED.aCMe.COM", RecordType::TXT)).await.response_code, ServFail);
    assert_eq!(lab.zones.queries(Some(NAME), 0)[0].name.as_deref(), Some("_DEED.aCMe.COM"));
}
