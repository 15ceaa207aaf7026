//! Tests of the DNS server over its sockets, and of its journal.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr as _;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::{DnsEvent, DnsLine, DnsServer, DnsTransport, Records};
use crate::journal;

const NAME: &str = "_deed.acme.com";

async fn server() -> (tempfile::TempDir, PathBuf, DnsServer) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dns.jsonl");
    let port = deed_testkit::free_port(&[Ipv4Addr::LOCALHOST]);
    let server = DnsServer::start(Ipv4Addr::LOCALHOST, port, Records::new(&path).unwrap()).await.unwrap();
    (folder, path, server)
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message.to_vec().unwrap()
}

async fn ask(server: SocketAddr, transport: DnsTransport, name: &str, kind: RecordType) -> Message {
    let question = question(name, kind);
    let mut bytes = vec![0; 2000];
    match transport {
        DnsTransport::Udp => {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            socket.send_to(&question, server).await.unwrap();
            let length = socket.recv(&mut bytes).await.unwrap();
            bytes.truncate(length);
        }
        DnsTransport::Tcp => {
            let mut stream = TcpStream::connect(server).await.unwrap();
            stream.write_u16(u16::try_from(question.len()).unwrap()).await.unwrap();
            stream.write_all(&question).await.unwrap();
            let length = stream.read_u16().await.unwrap();
            bytes.truncate(usize::from(length));
            stream.read_exact(&mut bytes).await.unwrap();
        }
    }
    Message::from_vec(&bytes).unwrap()
}

fn texts(answer: &Message) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(text) => Some(String::from_utf8(text.txt_data.concat()).unwrap()),
        _ => None,
    };
    answer.answers.iter().filter_map(|record| text(&record.data)).collect()
}

#[tokio::test]
async fn journals_changes_and_answers() {
    let (_folder, path, server) = server().await;
    let address = server.address();
    let before = ask(address, DnsTransport::Udp, "_deed.acme.com.", RecordType::TXT).await;
    assert_eq!(before.metadata.response_code, ResponseCode::NXDomain);
    server.records().set(NAME, "one").unwrap();
    server.records().set(NAME, "two").unwrap();
    for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
        let both = ask(address, transport, "_DEED.acme.COM.", RecordType::TXT).await;
        assert!(both.metadata.authoritative);
        assert_eq!(texts(&both), ["one", "two"]);
        assert!(both.queries[0].name().eq_case(&Name::from_str("_DEED.acme.COM.").unwrap()), "case as asked");
    }
    server.records().clear(NAME, "one").unwrap();
    assert_eq!(texts(&ask(address, DnsTransport::Udp, "_deed.acme.com.", RecordType::TXT).await), ["two"]);
    server.records().clear(NAME, "two").unwrap();
    let after = ask(address, DnsTransport::Tcp, "_deed.acme.com.", RecordType::TXT).await;
    assert_eq!(after.metadata.response_code, ResponseCode::NXDomain);

    let lines: Vec<DnsLine> = journal::read(&path).unwrap();
    assert!(lines.is_sorted_by_key(|line| line.at));
    let told = lines.iter().map(|line| match &line.event {
        DnsEvent::Set { name, value } => format!("set {name} {value}"),
        DnsEvent::Cleared { name, value } => format!("cleared {name} {value}"),
        DnsEvent::Answered { name, transport, code, values, .. } => {
            format!("{name} {transport:?} {code} {}", values.join("+"))
        }
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "_deed.acme.com Udp 3 ",
            "set _deed.acme.com one",
            "set _deed.acme.com two",
            "_deed.acme.com Udp 0 one+two",
            "_deed.acme.com Tcp 0 one+two",
            "cleared _deed.acme.com one",
            "_deed.acme.com Udp 0 two",
            "cleared _deed.acme.com two",
            "_deed.acme.com Tcp 3 ",
        ]
    );
}

#[tokio::test]
async fn delegations_lead_to_the_server() {
    let (_folder, _path, server) = server().await;
    for zone in [".", "com.", "acme.com."] {
        let answer = ask(server.address(), DnsTransport::Udp, zone, RecordType::NS).await;
        assert!(answer.metadata.authoritative && answer.answers.len() == 1, "{zone}");
        let glue = answer.additionals.iter().filter_map(|record| record.data.ip_addr());
        assert_eq!(glue.collect::<Vec<_>>(), [server.address().ip()]);
    }
    let none = ask(server.address(), DnsTransport::Udp, "_deed.acme.com.", RecordType::NS).await;
    assert_eq!(none.metadata.response_code, ResponseCode::NXDomain);
    assert!(matches!(none.authorities[0].data, RData::SOA(_)));
    assert_eq!(none.authorities[0].name, Name::from_str("acme.com.").unwrap());
}

#[tokio::test]
async fn truncates_large_answers_and_journals_it() {
    let (_folder, path, server) = server().await;
    for number in 0..12 {
        server.records().set(NAME, &format!("{number:0>200}")).unwrap();
    }
    let cut = ask(server.address(), DnsTransport::Udp, "_deed.acme.com.", RecordType::TXT).await;
    assert!(cut.metadata.truncation && texts(&cut).is_empty());
    let last = journal::read::<DnsLine>(&path).unwrap().pop().unwrap();
    assert!(matches!(last.event, DnsEvent::Answered { truncated: true, values, .. } if values.is_empty()));
}
