//! Name servers on loopback addresses that share one port, each played by a script.
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deed_claims::{Observation, Reply, ServerAnswer};
use deed_probe::{ProbeConfig, Prober, Question, RootHint};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::records::{Zones, a, ns, txt};

/// A question as a server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub server: String,
    pub message: Message,
    pub tcp: bool,
}

impl Seen {
    pub fn is(&self, name: &str, rtype: RecordType) -> bool {
        self.message.queries[0].name == crate::records::name(name)
            && self.message.queries[0].query_type == rtype
    }
}

/// What a server does with a question.
pub enum Play {
    Answer(Box<Message>),
    /// Whatever bytes, one datagram each.
    Raw(Vec<Vec<u8>>),
    /// Bytes that come from another address, before the answer.
    FromElsewhere(Vec<u8>, Box<Message>),
    /// No answer; a connection is closed.
    Silence,
}

impl From<Message> for Play {
    fn from(message: Message) -> Self {
        Self::Answer(Box::new(message))
    }
}

type Script = Arc<dyn Fn(&Seen) -> Play + Send + Sync>;

/// Servers before they listen.
#[derive(Default)]
pub struct Cast(Vec<(String, Script, Tcp)>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    Open,
    /// Nobody listens.
    Closed,
}

/// Servers that listen until this is dropped.
pub struct World {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Cast {
    pub fn with(self, address: &str, play: impl Fn(&Seen) -> Play + Send + Sync + 'static) -> Self {
        self.also(address, Tcp::Open, play)
    }

    pub fn also(
        mut self,
        address: &str,
        tcp: Tcp,
        play: impl Fn(&Seen) -> Play + Send + Sync + 'static,
    ) -> Self {
        self.0.push((address.to_owned(), Arc::new(play), tcp));
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

    /// Listens on one port at all addresses.
    pub async fn listen(self) -> World {
        let seen = Arc::default();
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
                let actor = Actor { address, script, seen: Arc::clone(&seen) };
                if let Some(listener) = listener {
                    tasks.spawn(actor.clone().accept(listener));
                }
                tasks.spawn(actor.datagrams(udp));
            }
            return World { port, seen, _tasks: tasks };
        }
    }
}

#[derive(Clone)]
struct Actor {
    address: String,
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Actor {
    fn play(&self, bytes: &[u8], tcp: bool) -> Play {
        let message = Message::from_vec(bytes).unwrap();
        let seen = Seen { server: self.address.clone(), message, tcp };
        self.seen.lock().unwrap().push(seen.clone());
        (self.script)(&seen)
    }

    async fn datagrams(self, socket: UdpSocket) {
        let mut buffer = vec![0; 4096];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
            let datagrams = match self.play(&buffer[..size], false) {
                Play::Answer(message) => vec![message.to_vec().unwrap()],
                Play::Raw(datagrams) => datagrams,
                Play::FromElsewhere(forged, message) => {
                    let elsewhere = UdpSocket::bind("127.0.0.99:0").await.unwrap();
                    elsewhere.send_to(&forged, from).await.unwrap();
                    vec![message.to_vec().unwrap()]
                }
                Play::Silence => vec![],
            };
            for datagram in datagrams {
                // The prober may have closed its socket after the first.
                let _ = socket.send_to(&datagram, from).await;
            }
        }
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = self.converse(stream).await;
        }
    }

    async fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        let bytes = match self.play(&question, true) {
            Play::Answer(message) | Play::FromElsewhere(_, message) => message.to_vec().unwrap(),
            Play::Raw(mut datagrams) => datagrams.remove(0),
            Play::Silence => return Ok(()),
        };
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await?;
        stream.write_all(&bytes).await
    }
}

impl World {
    /// The root is 127.0.0.2, and loopback is open.
    pub fn config(&self) -> ProbeConfig {
        ProbeConfig {
            vantage: "test".into(),
            port: self.port,
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            roots: vec![RootHint { name: "root".into(), addr: IpAddr::from([127, 0, 0, 2]) }],
            // Long, so that a busy machine is not taken for a silent server.
            udp_timeout: Duration::from_secs(5),
            tcp_timeout: Duration::from_secs(5),
            // A few servers stand for all of the world.
            server_rate: 0,
            ..ProbeConfig::default()
        }
    }

    pub fn prober(&self) -> Prober {
        self.prober_with(|_| {})
    }

    /// For servers that stay silent, which has to be waited out.
    pub fn hasty(&self) -> Prober {
        self.hasty_with(|_| {})
    }

    pub fn hasty_with(&self, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
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

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn asked(&self, address: &str) -> usize {
        self.seen().iter().filter(|s| s.server == address).count()
    }
}

/// Looks for nothing in particular.
pub async fn look(prober: &Prober, name: &str) -> Observation {
    look_for(prober, name, &[]).await
}

pub async fn look_for(prober: &Prober, name: &str, values: &[&str]) -> Observation {
    let looking_for = values.iter().map(|v| v.as_bytes().to_vec()).collect();
    prober.look(Question { name: name.into(), looking_for, ..Question::default() }).await
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
