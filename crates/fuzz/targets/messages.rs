//! Lookups against a server that answers with arbitrary bytes: no panic, no exceeded budget, no accidental
//! proof.
//!
//! The input is a sequence of length-prefixed messages, as over TCP. The n-th query gets the n-th message,
//! with id and question fixed up, since otherwise it would be ignored.
#![no_main]

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use deed_diagnosis::{Evidence, Observation};
use deed_probe::{Ipv6, Network, ProbeConfig, Prober, Question, RootHint};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

const NAME: &str = "_deed.acme.test";
const VALUE: &[u8] = b"deed-domain-claim=x";
const HEADER: usize = 12;

thread_local! {
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

fuzz_target!(|bytes: &[u8]| {
    let responses = Responses::of(bytes);
    RUNTIME.with(|runtime| {
        let tasks = LocalSet::new();
        tasks.block_on(runtime, round(responses));
    });
});

async fn round(responses: Responses) {
    let asked = Rc::new(Cell::new(0));
    let responses = Rc::new(responses);
    let (udp, listener) = sockets().await;
    let port = udp.local_addr().expect("an address").port();
    tokio::task::spawn_local(datagrams(udp, Rc::clone(&responses), Rc::clone(&asked)));
    tokio::task::spawn_local(connections(listener, responses, Rc::clone(&asked)));
    let seen = Prober::new(config(port)).expect("a sound configuration").probe(question()).await;
    check(&seen, asked.get());
}

/// A port that is free for UDP and TCP.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let at = udp.local_addr().expect("an address");
        if let Ok(listener) = TcpListener::bind(at).await {
            return (udp, listener);
        }
    }
}

fn config(port: u16) -> ProbeConfig {
    ProbeConfig {
        port,
        // No other server may be queried, whatever the messages say.
        allow_networks: vec!["127.0.0.1/32".parse().expect("a network")],
        refuse_networks: everything_else(),
        ipv6: Ipv6::Off,
        roots: vec![RootHint { name: "root".into(), addr: IpAddr::V4(Ipv4Addr::LOCALHOST) }],
        udp_timeout: Duration::from_millis(30),
        udp_tries: 1,
        server_rate: 0,
        tcp_timeout: Duration::from_millis(60),
        delegation_cache_ttl: Duration::ZERO,
        ..ProbeConfig::default()
    }
}

/// All networks but 127.0.0.0/8.
fn everything_else() -> Vec<Network> {
    let networks = [
        "0.0.0.0/2",
        "64.0.0.0/3",
        "96.0.0.0/4",
        "112.0.0.0/5",
        "120.0.0.0/6",
        "124.0.0.0/7",
        "126.0.0.0/8",
        "128.0.0.0/1",
    ];
    networks.iter().map(|network| network.parse().expect("a network")).collect()
}

fn question() -> Question {
    Question {
        name: NAME.into(),
        looking_for: vec![VALUE.to_vec()],
        confirm_absence: true,
        apex: Some("acme.test".into()),
        route: None,
    }
}

fn check(seen: &Observation, asked: u32) {
    assert!(seen.queries <= 60 && asked <= seen.queries, "{asked} arrived: {seen:?}");
    assert!(seen.took_ms < 21_000, "{seen:?}");
    assert!(seen.servers.len() <= 8 * 2 && seen.aliases.len() <= 9, "{seen:?}");
    let kept = serde_json::to_string(&Evidence::from(seen)).expect("evidence becomes JSON");
    assert!(kept.is_ascii(), "{kept:?}");
}

/// The messages of the server, in order.
struct Responses(Vec<Vec<u8>>);

impl Responses {
    fn of(mut bytes: &[u8]) -> Self {
        let mut messages = vec![];
        while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
            let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
            messages.push(message.to_vec());
            bytes = rest;
        }
        Self(messages)
    }

    /// The answer to the n-th query; an error when no message is left, so that a run ends soon.
    fn answer(&self, n: u32, question: &[u8]) -> Vec<u8> {
        let end = HEADER + question[HEADER..].iter().position(|byte| *byte == 0).map_or(0, |at| at + 5);
        let mut answer = question[..end.min(question.len())].to_vec();
        answer[2] = 0x80;
        answer[3] = 2;
        answer[6..HEADER].fill(0);
        let message = self.0.get(n as usize).filter(|message| message.len() >= HEADER);
        if let Some(message) = message {
            // A response with opcode 0 and one question; the rest is unchanged.
            answer[2] = 0x80 | (message[2] & 0x07);
            answer[3] = message[3];
            answer[6..HEADER].copy_from_slice(&message[6..HEADER]);
            answer.extend_from_slice(&message[HEADER..]);
        }
        answer
    }
}

async fn datagrams(socket: UdpSocket, responses: Rc<Responses>, asked: Rc<Cell<u32>>) {
    let mut buffer = [0; 2048];
    while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
        let n = asked.replace(asked.get() + 1);
        let mut answer = responses.answer(n, &buffer[..size]);
        answer.truncate(60_000);
        reply(&socket, &answer, from).await;
    }
}

/// Sends a reply; the client may be gone.
async fn reply(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    let _ = socket.send_to(answer, to).await;
}

async fn connections(listener: TcpListener, responses: Rc<Responses>, asked: Rc<Cell<u32>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(converse(stream, Rc::clone(&responses), Rc::clone(&asked)));
    }
}

async fn converse(mut stream: TcpStream, responses: Rc<Responses>, asked: Rc<Cell<u32>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; usize::from(length)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        let n = asked.replace(asked.get() + 1);
        let mut answer = responses.answer(n, &question);
        answer.truncate(usize::from(u16::MAX));
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
        if stream.write_u16(length).await.is_err() || stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}
