//! Scripted name servers on loopback addresses that share one port.
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deed_diagnosis::{Observation, Reply, ServerAnswer};
use deed_probe::{ProbeConfig, Prober, Question, RootHint};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::records::{Zones, a, ns, txt};

/// A query as a server received it.
#[derive(Debug, Clone)]
pub struct ReceivedQuery {
    pub server: String,
    /// Where it came from.
    pub from: SocketAddr,
    pub message: Message,
    pub tcp: bool,
}

impl ReceivedQuery {
    pub fn is(&self, name: &str, rtype: RecordType) -> bool {
        self.message.queries[0].name == crate::records::name(name)
            && self.message.queries[0].query_type == rtype
    }
}

/// What a server does with a query.
pub enum Behaviour {
    Answer(Box<Message>),
    /// Arbitrary bytes, one datagram each.
    Raw(Vec<Vec<u8>>),
    /// Bytes from another source address, before the answer.
    FromElsewhere(Vec<u8>, Box<Message>),
    /// Raw bytes on a connection, without a length field; then it is held open.
    RawStream(Vec<u8>),
    /// An answer, after which a connection is closed.
    AnswerThenClose(Vec<u8>),
    /// The answer to a connection, one byte at a time.
    Drip(Box<Message>, Duration),
    /// No answer; a connection is held open.
    Ignore,
    /// No answer; a connection is closed.
    Close,
}

impl From<Message> for Behaviour {
    fn from(message: Message) -> Self {
        Self::Answer(Box::new(message))
    }
}

type Script = Arc<dyn Fn(&ReceivedQuery) -> Behaviour + Send + Sync>;

/// The scripts of servers that do not listen yet.
#[derive(Default)]
pub struct ScriptedServers(Vec<(String, Script, Tcp)>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    Open,
    /// Connections are refused.
    Closed,
}

/// Servers that listen until this is dropped.
pub struct World {
    pub port: u16,
    queries: Arc<Mutex<Vec<ReceivedQuery>>>,
    _tasks: JoinSet<()>,
}

impl ScriptedServers {
    pub fn with(
        self,
        address: &str,
        script: impl Fn(&ReceivedQuery) -> Behaviour + Send + Sync + 'static,
    ) -> Self {
        self.with_tcp(address, Tcp::Open, script)
    }

    pub fn with_tcp(
        mut self,
        address: &str,
        tcp: Tcp,
        script: impl Fn(&ReceivedQuery) -> Behaviour + Send + Sync + 'static,
    ) -> Self {
        self.0.push((address.to_owned(), Arc::new(script), tcp));
        self
    }

    pub fn zones(self, address: &str, zones: Zones) -> Self {
        self.with(address, move |seen| zones.answer(&seen.message).into())
    }

    /// The root at 127.0.0.2 and `test` at 127.0.0.3, which delegates `acme.test` to the servers named.
    pub fn parents(self, servers: &[(&str, &str)]) -> Self {
        let mut test = vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")];
        for (server, address) in servers {
            test.push(ns("acme.test", server));
            test.push(a(server, address));
        }
        self.parents_with(test)
    }

    pub fn parents_with(self, test: Vec<hickory_proto::rr::Record>) -> Self {
        let root = vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")];
        self.zones("127.0.0.2", Zones::default().with(".", root))
            .zones("127.0.0.3", Zones::default().with("test", test))
    }

    /// Starts all servers on one port.
    pub async fn listen(self) -> World {
        let queries = Arc::default();
        'ports: loop {
            let port = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
            let mut sockets = vec![];
            for (address, script, tcp) in &self.0 {
                let at = SocketAddr::new(address.parse().unwrap(), port);
                let (Ok(udp), Ok(listener)) = (UdpSocket::bind(at).await, TcpListener::bind(at).await) else {
                    continue 'ports;
                };
                sockets.push((
                    address.clone(),
                    Arc::clone(script),
                    udp,
                    (*tcp == Tcp::Open).then_some(listener),
                ));
            }
            let mut tasks = JoinSet::new();
            for (address, script, udp, listener) in sockets {
                let server = ScriptedServer { address, script, queries: Arc::clone(&queries) };
                if let Some(listener) = listener {
                    tasks.spawn(server.clone().accept(listener));
                }
                tasks.spawn(server.datagrams(udp));
            }
            return World { port, queries, _tasks: tasks };
        }
    }
}

#[derive(Clone)]
struct ScriptedServer {
    address: String,
    script: Script,
    queries: Arc<Mutex<Vec<ReceivedQuery>>>,
}

impl ScriptedServer {
    fn behave(&self, bytes: &[u8], from: SocketAddr, tcp: bool) -> Behaviour {
        let message = Message::from_vec(bytes).unwrap();
        let seen = ReceivedQuery { server: self.address.clone(), from, message, tcp };
        self.queries.lock().unwrap().push(seen.clone());
        (self.script)(&seen)
    }

    async fn datagrams(self, socket: UdpSocket) {
        let mut buffer = vec![0; 4096];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
            let datagrams = match self.behave(&buffer[..size], from, false) {
                Behaviour::Answer(message) => vec![message.to_vec().unwrap()],
                Behaviour::Raw(datagrams) => datagrams,
                Behaviour::AnswerThenClose(bytes) => vec![bytes],
                Behaviour::FromElsewhere(forged, message) => {
                    let elsewhere = UdpSocket::bind("127.0.0.99:0").await.unwrap();
                    elsewhere.send_to(&forged, from).await.unwrap();
                    vec![message.to_vec().unwrap()]
                }
                Behaviour::Close | Behaviour::Ignore | Behaviour::RawStream(_) | Behaviour::Drip(..) => {
                    vec![]
                }
            };
            for datagram in datagrams {
                // The prober may have closed its socket after the first.
                let _ = socket.send_to(&datagram, from).await;
            }
        }
    }

    async fn accept(self, listener: TcpListener) {
        let mut open = JoinSet::new();
        loop {
            let (stream, from) = listener.accept().await.unwrap();
            let server = self.clone();
            open.spawn(async move { server.converse(stream, from).await });
        }
    }

    /// Answers the queries of one connection until one side closes it.
    async fn converse(&self, mut stream: TcpStream, from: SocketAddr) -> std::io::Result<()> {
        loop {
            let length = stream.read_u16().await?;
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await?;
            let framed =
                |bytes: Vec<u8>| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes[..]].concat();
            match self.behave(&question, from, true) {
                Behaviour::Answer(message) | Behaviour::FromElsewhere(_, message) => {
                    stream.write_all(&framed(message.to_vec().unwrap())).await?;
                }
                Behaviour::Raw(datagrams) => {
                    for bytes in datagrams {
                        stream.write_all(&framed(bytes)).await?;
                    }
                }
                Behaviour::AnswerThenClose(bytes) => return stream.write_all(&framed(bytes)).await,
                Behaviour::RawStream(bytes) => stream.write_all(&bytes).await?,
                Behaviour::Drip(message, pause) => {
                    let mut beat = tokio::time::interval(pause);
                    for byte in framed(message.to_vec().unwrap()) {
                        beat.tick().await;
                        stream.write_all(&[byte]).await?;
                    }
                }
                Behaviour::Ignore => {}
                Behaviour::Close => return Ok(()),
            }
        }
    }
}

impl World {
    /// The root is 127.0.0.2, and loopback addresses are permitted.
    pub fn config(&self) -> ProbeConfig {
        ProbeConfig {
            vantage: "test".into(),
            port: self.port,
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            roots: vec![RootHint { name: "root".into(), addr: IpAddr::from([127, 0, 0, 2]) }],
            // Long, so that a busy machine is not taken for a silent server.
            udp_timeout: Duration::from_secs(5),
            tcp_timeout: Duration::from_secs(5),
            // A few servers hold all zones.
            server_rate: 0,
            ..ProbeConfig::default()
        }
    }

    pub fn prober(&self) -> Prober {
        self.prober_with(|_| {})
    }

    /// Short time-outs, for tests that wait for silent servers.
    pub fn impatient_prober(&self) -> Prober {
        self.impatient_prober_with(|_| {})
    }

    pub fn impatient_prober_with(&self, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
        self.prober_with(|config| {
            config.udp_timeout = Duration::from_millis(300);
            config.tcp_timeout = Duration::from_millis(600);
            change(config);
        })
    }

    pub fn prober_with(&self, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
        let mut config = self.config();
        change(&mut config);
        Prober::new(config).unwrap()
    }

    pub fn at(&self, address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), self.port)
    }

    pub fn queries(&self) -> Vec<ReceivedQuery> {
        self.queries.lock().unwrap().clone()
    }

    pub fn query_count(&self, address: &str) -> usize {
        self.queries().iter().filter(|s| s.server == address).count()
    }
}

/// Probes without expected values.
pub async fn probe(prober: &Prober, name: &str) -> Observation {
    probe_for(prober, name, &[]).await
}

pub async fn probe_for(prober: &Prober, name: &str, values: &[&str]) -> Observation {
    let looking_for = values.iter().map(|v| v.as_bytes().to_vec()).collect();
    prober.probe(Question { name: name.into(), looking_for, ..Question::default() }).await
}

/// The usual single server of `acme.test` at 127.0.0.4.
pub fn acme(records: Vec<hickory_proto::rr::Record>) -> Zones {
    let mut all = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    all.extend(records);
    Zones::default().with("acme.test", all)
}

pub const ONE: &[(&str, &str)] = &[("ns1.acme.test", "127.0.0.4")];
pub const TWO: &[(&str, &str)] = &[("ns1.acme.test", "127.0.0.4"), ("ns2.acme.test", "127.0.0.5")];

/// `acme.test` with one value at `_deed.acme.test`.
pub fn with_value(value: &str) -> Zones {
    acme(vec![txt("_deed.acme.test", value)])
}

/// The values that one server showed.
pub fn values(answer: &ServerAnswer) -> Vec<String> {
    match &answer.reply {
        Reply::Message { values, .. } => {
            values.iter().map(|v| String::from_utf8_lossy(v).into_owned()).collect()
        }
        other => panic!("no message: {other:?}"),
    }
}

pub fn server<'o>(observation: &'o Observation, name: &str) -> &'o ServerAnswer {
    let found = observation.servers.iter().find(|s| s.server == name);
    found.unwrap_or_else(|| panic!("{name} is not among {:?}", observation.servers))
}
