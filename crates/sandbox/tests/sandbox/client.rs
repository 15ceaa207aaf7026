//! A sandbox per test, and a client that builds its queries with the wire library.

use std::net::SocketAddr;
use std::time::Duration;

use deed_sandbox::{Limits, PutRecords, PutZone, Sandbox, SandboxConfig, Zones};
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub struct TestSandbox {
    pub server: Sandbox,
    pub zones: Zones,
    pub dns: SocketAddr,
}

impl TestSandbox {
    /// A sandbox with automatic zones.
    pub async fn automatic() -> Self {
        Self::start(true, Limits::default()).await
    }

    /// A sandbox that serves `acme.com` only.
    pub async fn with_acme() -> Self {
        let sandbox = Self::start(false, Limits::default()).await;
        sandbox.zones.put_zone("acme.com", &PutZone::default()).unwrap();
        sandbox
    }

    pub async fn start(auto_zones: bool, limits: Limits) -> Self {
        let config = SandboxConfig {
            dns: "127.0.0.1:0".parse().unwrap(),
            control: Some("127.0.0.1:0".parse().unwrap()),
            auto_zones,
        };
        let sandbox = Sandbox::start_with(config, limits, CancellationToken::new()).await.unwrap();
        Self { zones: sandbox.zones(), dns: sandbox.dns_addr(), server: sandbox }
    }

    pub fn set(&self, name: &str, kind: &str, values: &[&str]) {
        self.zones.put_records(name, kind, &PutRecords::values(values.iter().copied())).unwrap();
    }

    /// Queries over UDP with EDNS.
    pub async fn query(&self, name: &str, kind: RecordType) -> Message {
        self.send(&query(name, kind)).await
    }

    pub async fn send(&self, message: &Message) -> Message {
        let reply = self.send_bytes(&message.to_vec().unwrap()).await;
        Message::from_vec(&reply).unwrap()
    }

    pub async fn send_bytes(&self, request: &[u8]) -> Vec<u8> {
        let socket = self.socket().await;
        socket.send(request).await.unwrap();
        receive(&socket).await
    }

    pub async fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.dns).await.unwrap();
        socket
    }

    pub async fn query_tcp(&self, name: &str, kind: RecordType) -> Message {
        let mut stream = self.connect().await;
        write_tcp(&mut stream, &query(name, kind)).await;
        read_tcp(&mut stream).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.dns).await.unwrap()
    }
}

pub fn name(text: &str) -> Name {
    Name::from_labels(text.split('.').filter(|label| !label.is_empty()).map(str::as_bytes)).unwrap()
}

/// A query with EDNS as most clients send it.
pub fn query(text: &str, kind: RecordType) -> Message {
    let mut message = query_without_edns(text, kind);
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message
}

pub fn query_without_edns(text: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Query;
    message.add_query(Query::query(name(text), kind));
    message
}

pub async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let length = tokio::time::timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    buffer
}

pub async fn write_tcp(stream: &mut TcpStream, message: &Message) {
    let bytes = message.to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
}

pub async fn read_tcp(stream: &mut TcpStream) -> Message {
    let read = async {
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    };
    Message::from_vec(&tokio::time::timeout(DEADLINE, read).await.unwrap()).unwrap()
}

/// The answer section as `owner type value`, TXT joined.
pub fn answers(message: &Message) -> Vec<String> {
    show(&message.answers)
}

pub fn show(records: &[hickory_proto::rr::Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| format!("{} {} {}", record.name, record.record_type(), value(&record.data)))
        .collect()
}

fn value(data: &RData) -> String {
    match data {
        RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data.concat()).into_owned(),
        RData::SOA(soa) => format!("minimum {}", soa.minimum),
        other => other.to_string(),
    }
}

/// An authoritative answer without records but with the zone's SOA: the response code tells NODATA from NXDOMAIN.
#[track_caller]
pub fn assert_negative(message: &Message, code: ResponseCode, zone: &str) {
    assert_eq!(message.response_code, code);
    assert!(message.authoritative);
    assert_eq!(answers(message), Vec::<String>::new());
    let [soa] = message.authorities.as_slice() else { panic!("authority: {:?}", message.authorities) };
    assert_eq!(soa.record_type(), RecordType::SOA);
    assert_eq!(soa.name, name(zone));
}
