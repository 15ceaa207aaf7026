//! Servers that do what no real one does: each answers by a script and counts what reaches it.
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

/// A question as it arrived.
pub struct Asked {
    pub message: Message,
    pub tcp: bool,
}

/// What is done with a question.
pub enum Play {
    Answer(Message),
    /// These bytes as they are.
    Raw(Vec<u8>),
    /// On a connection, one byte after the other, this far apart.
    Drip(Vec<u8>, Duration),
    /// These datagrams, as if a forger had been faster, and then the answer.
    Guesses(Vec<Vec<u8>>, Message),
    Silence,
}

type Script = Arc<dyn Fn(&Asked) -> Play + Send + Sync>;

/// A server that plays until this is dropped.
pub struct Scripted {
    arrived: Arc<AtomicUsize>,
    connected: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub async fn listen(at: SocketAddr, script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        Self::serve(at, Some(listener), Arc::new(script)).await
    }

    /// Without anybody listening for connections.
    pub async fn datagrams_only(
        at: SocketAddr,
        script: impl Fn(&Asked) -> Play + Send + Sync + 'static,
    ) -> Self {
        Self::serve(at, None, Arc::new(script)).await
    }

    async fn serve(at: SocketAddr, listener: Option<TcpListener>, script: Script) -> Self {
        let socket = UdpSocket::bind(at).await.unwrap();
        let [arrived, connected] = [(), ()].map(|()| Arc::new(AtomicUsize::new(0)));
        let actor = Actor { script, arrived: Arc::clone(&arrived), connected: Arc::clone(&connected) };
        let mut tasks = JoinSet::new();
        if let Some(listener) = listener {
            tasks.spawn(actor.clone().accept(listener));
        }
        tasks.spawn(actor.datagrams(socket));
        Self { arrived, connected, _tasks: tasks }
    }

    /// Datagrams and connections that arrived.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// The connections among them.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Actor {
    script: Script,
    arrived: Arc<AtomicUsize>,
    connected: Arc<AtomicUsize>,
}

impl Actor {
    async fn datagrams(self, socket: UdpSocket) {
        let mut buffer = vec![0; 4096];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
            self.arrived.fetch_add(1, Ordering::SeqCst);
            let bytes = match self.play(&buffer[..size], false) {
                Play::Answer(message) => message.to_vec().unwrap(),
                Play::Raw(bytes) | Play::Drip(bytes, _) => bytes,
                Play::Guesses(guesses, truth) => {
                    for guess in guesses {
                        let _ = socket.send_to(&guess, from).await;
                    }
                    truth.to_vec().unwrap()
                }
                Play::Silence => continue,
            };
            // The asker may be gone.
            let _ = socket.send_to(&bytes, from).await;
        }
    }

    async fn accept(self, listener: TcpListener) {
        let mut conversations = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            self.arrived.fetch_add(1, Ordering::SeqCst);
            self.connected.fetch_add(1, Ordering::SeqCst);
            let actor = self.clone();
            conversations.spawn(async move { actor.converse(stream).await });
        }
    }

    async fn converse(self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let length = stream.read_u16().await?;
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await?;
            let (bytes, apart) = match self.play(&question, true) {
                Play::Answer(message) | Play::Guesses(_, message) => (message.to_vec().unwrap(), None),
                Play::Raw(bytes) => (bytes, None),
                Play::Drip(bytes, apart) => (bytes, Some(apart)),
                Play::Silence => return Ok(()),
            };
            let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
            framed.extend(bytes);
            match apart {
                None => stream.write_all(&framed).await?,
                Some(apart) => {
                    for byte in framed {
                        stream.write_u8(byte).await?;
                        tokio::time::sleep(apart).await;
                    }
                }
            }
        }
    }

    fn play(&self, bytes: &[u8], tcp: bool) -> Play {
        match Message::from_vec(bytes) {
            Ok(message) => (self.script)(&Asked { message, tcp }),
            Err(_) => Play::Silence,
        }
    }
}

impl Asked {
    /// An empty answer with authority.
    pub fn answer(&self) -> Message {
        let mut answer = self.message.clone().into_response();
        answer.edns = None;
        answer.metadata.authoritative = true;
        answer
    }

    /// An answer with these records.
    pub fn with(&self, records: impl IntoIterator<Item = Record>) -> Play {
        let mut answer = self.answer();
        answer.answers.extend(records);
        Play::Answer(answer)
    }

    /// A referral to these servers.
    pub fn referral(&self, records: Vec<Record>, glue: Vec<Record>) -> Play {
        let mut answer = self.answer();
        answer.metadata.authoritative = false;
        answer.authorities = records;
        answer.additionals = glue;
        Play::Answer(answer)
    }

    pub fn error(&self, code: ResponseCode) -> Play {
        let mut answer = self.answer();
        answer.metadata.response_code = code;
        answer.metadata.authoritative = false;
        Play::Answer(answer)
    }

    pub fn truncated(&self) -> Play {
        let mut answer = self.answer();
        answer.metadata.truncation = true;
        Play::Answer(answer)
    }

    /// The name as it was asked for, in small letters.
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
