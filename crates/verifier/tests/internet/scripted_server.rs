//! Scripted DNS servers for behaviour that no real server shows; each counts the queries that reach it.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// A query as it arrived.
pub struct ScriptedQuery {
    pub message: Message,
    pub tcp: bool,
}

/// The reply to a query.
pub enum ScriptedReply {
    Answer(Message),
    /// These bytes, unchanged.
    Raw(Vec<u8>),
    /// These bytes over TCP, one by one, with this pause between them.
    Drip(Vec<u8>, Duration),
    /// These forged datagrams, and then the answer.
    Spoofed(Vec<Vec<u8>>, Message),
    NoReply,
}

type Script = Arc<dyn Fn(&ScriptedQuery) -> ScriptedReply + Send + Sync>;

/// A server that runs until it is dropped.
pub struct ScriptedServer {
    received: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl ScriptedServer {
    pub async fn listen(
        at: SocketAddr,
        script: impl Fn(&ScriptedQuery) -> ScriptedReply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        Self::serve(at, Some(listener), Arc::new(script)).await
    }

    /// A server without a TCP listener.
    pub async fn udp_only(
        at: SocketAddr,
        script: impl Fn(&ScriptedQuery) -> ScriptedReply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(at, None, Arc::new(script)).await
    }

    async fn serve(at: SocketAddr, listener: Option<TcpListener>, script: Script) -> Self {
        let socket = UdpSocket::bind(at).await.unwrap();
        let [received, connections] = [(), ()].map(|()| Arc::new(AtomicUsize::new(0)));
        let task =
            ServerTask { script, received: Arc::clone(&received), connections: Arc::clone(&connections) };
        let mut tasks = JoinSet::new();
        if let Some(listener) = listener {
            tasks.spawn(task.clone().accept(listener));
        }
        tasks.spawn(task.serve_datagrams(socket));
        Self { received, connections, _tasks: tasks }
    }

    /// The number of datagrams and TCP connections received.
    pub fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }

    /// The number of TCP connections received.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct ServerTask {
    script: Script,
    received: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl ServerTask {
    async fn serve_datagrams(self, socket: UdpSocket) {
        let mut buffer = vec![0; 4096];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
            self.received.fetch_add(1, Ordering::SeqCst);
            let bytes = match self.reply(&buffer[..size], false) {
                ScriptedReply::Answer(message) => message.to_vec().unwrap(),
                ScriptedReply::Raw(bytes) | ScriptedReply::Drip(bytes, _) => bytes,
                ScriptedReply::Spoofed(forged, answer) => {
                    for datagram in forged {
                        let _ = socket.send_to(&datagram, from).await;
                    }
                    answer.to_vec().unwrap()
                }
                ScriptedReply::NoReply => continue,
            };
            // The client may have closed its socket.
            let _ = socket.send_to(&bytes, from).await;
        }
    }

    async fn accept(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            self.received.fetch_add(1, Ordering::SeqCst);
            self.connections.fetch_add(1, Ordering::SeqCst);
            let task = self.clone();
            connections.spawn(async move { task.serve_connection(stream).await });
        }
    }

    async fn serve_connection(self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let length = stream.read_u16().await?;
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await?;
            let (bytes, pause) = match self.reply(&query, true) {
                ScriptedReply::Answer(message) | ScriptedReply::Spoofed(_, message) => {
                    (message.to_vec().unwrap(), None)
                }
                ScriptedReply::Raw(bytes) => (bytes, None),
                ScriptedReply::Drip(bytes, pause) => (bytes, Some(pause)),
                ScriptedReply::NoReply => return Ok(()),
            };
            let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
            framed.extend(bytes);
            match pause {
                None => stream.write_all(&framed).await?,
                Some(pause) => {
                    for byte in framed {
                        stream.write_u8(byte).await?;
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
    }

    fn reply(&self, bytes: &[u8], tcp: bool) -> ScriptedReply {
        match Message::from_vec(bytes) {
            Ok(message) => (self.script)(&ScriptedQuery { message, tcp }),
            Err(_) => ScriptedReply::NoReply,
        }
    }
}

impl ScriptedQuery {
    /// An empty authoritative answer.
    pub fn answer(&self) -> Message {
        let mut answer = self.message.clone().into_response();
        answer.edns = None;
        answer.metadata.authoritative = true;
        answer
    }

    /// An answer with these records.
    pub fn with(&self, records: impl IntoIterator<Item = Record>) -> ScriptedReply {
        let mut answer = self.answer();
        answer.answers.extend(records);
        ScriptedReply::Answer(answer)
    }

    /// A referral to these servers.
    pub fn referral(&self, records: Vec<Record>, glue: Vec<Record>) -> ScriptedReply {
        let mut answer = self.answer();
        answer.metadata.authoritative = false;
        answer.authorities = records;
        answer.additionals = glue;
        ScriptedReply::Answer(answer)
    }

    pub fn error(&self, code: ResponseCode) -> ScriptedReply {
        let mut answer = self.answer();
        answer.metadata.response_code = code;
        answer.metadata.authoritative = false;
        ScriptedReply::Answer(answer)
    }

    pub fn truncated(&self) -> ScriptedReply {
        let mut answer = self.answer();
        answer.metadata.truncation = true;
        ScriptedReply::Answer(answer)
    }

    /// The queried name in lower case.
    pub fn name(&self) -> String {
        self.message.queries[0].name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
    }

    pub fn has_edns(&self) -> bool {
        self.message.edns.is_some()
    }
}

pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 300, data)
}

pub fn txt(owner: &str, value: &str) -> Record {
    record(owner, RData::TXT(TXT::from_bytes(vec![value.as_bytes()])))
}

pub fn ns(owner: &str, server: &str) -> Record {
    record(owner, RData::NS(NS(name(server))))
}

pub fn cname(owner: &str, target: &str) -> Record {
    record(owner, RData::CNAME(CNAME(name(target))))
}

pub fn address(owner: &str, address: std::net::IpAddr) -> Record {
    match address {
        std::net::IpAddr::V4(v4) => record(owner, RData::A(A(v4))),
        std::net::IpAddr::V6(v6) => record(owner, RData::AAAA(AAAA(v6))),
    }
}

pub fn soa(owner: &str) -> Record {
    let soa = SOA::new(name("ns.invalid"), name("h.invalid"), 42, 1, 1, 1, 60);
    record(owner, RData::SOA(soa))
}
