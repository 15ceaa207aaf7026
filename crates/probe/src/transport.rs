//! Sockets: the only place where they are made, behind the egress filter and a bound on their number.
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::config::{Ipv6, ProbeConfig};
use crate::descriptors;
use crate::egress::{Egress, Peer};
use crate::wire::{Echo, Outgoing};

/// Larger than any datagram we invite.
const DATAGRAM: usize = 4096;
/// Datagrams with the wrong id or question read for one question; a flood of them is an attack on the id.
const FOREIGN: usize = 64;

/// All sockets of a prober.
#[derive(Debug)]
pub(crate) struct Transport {
    egress: Egress,
    permits: Semaphore,
    ipv6: Ipv6,
}

/// An address that has passed the filter; nothing else can be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door(SocketAddr);

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    /// From the moment a socket is free.
    pub(crate) longest: Duration,
    /// When the whole look ends.
    pub(crate) end: Instant,
}

impl Wait {
    fn until(self) -> Instant {
        (Instant::now() + self.longest).min(self.end)
    }
}

/// A recognised answer.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Silence.
    Timeout,
    /// Refused, reset, or no way there.
    Unreachable,
    /// Only bytes that are no answer to the question.
    Malformed,
    /// Only an answer in another letter case than asked.
    CaseDiffers,
    /// Ours: no descriptor, no socket, no route for the family.
    Internal,
}

impl Transport {
    pub(crate) fn new(config: &ProbeConfig) -> Self {
        let in_flight = config.in_flight.unwrap_or_else(descriptors::sockets_in_flight);
        Self {
            egress: Egress::new(config.allow_networks.clone(), config.refuse_networks.clone()),
            permits: Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS)),
            ipv6: config.ipv6,
        }
    }

    /// Passes an address through the filter; none when it may not be asked.
    pub(crate) fn open(&self, peer: Peer) -> Option<Door> {
        self.egress.permit(peer).map(Door)
    }

    /// Whether the family can be used at all. Connecting a datagram socket asks for a route and sends nothing.
    pub(crate) fn has_route(&self, door: Door) -> bool {
        match (door.0, self.ipv6) {
            (SocketAddr::V4(_), _) | (SocketAddr::V6(_), Ipv6::On) => true,
            (SocketAddr::V6(_), Ipv6::Off) => false,
            (SocketAddr::V6(_), Ipv6::Auto) => {
                std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|s| s.connect(door.0)).is_ok()
            }
        }
    }

    /// Asks by datagram from a socket of its own: a fresh port, and only the server's address is heard.
    pub(crate) async fn udp(&self, door: Door, asked: &Outgoing, wait: Wait) -> Result<Incoming, Trouble> {
        let _permit = self.permit(door, wait).await?;
        let local: SocketAddr = match door.0 {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local).await.map_err(|_| Trouble::Internal)?;
        // Nothing is sent yet: an error is a missing route on this side.
        socket.connect(door.0).await.map_err(|_| Trouble::Internal)?;
        socket.send(&asked.bytes).await.map_err(|error| trouble_of(&error))?;
        let mut heard = Trouble::Timeout;
        timeout_at(wait.until(), hear(&socket, asked, &mut heard)).await.unwrap_or(Err(heard))
    }

    /// Asks over a connection of its own.
    pub(crate) async fn tcp(&self, door: Door, asked: &Outgoing, wait: Wait) -> Result<Incoming, Trouble> {
        let _permit = self.permit(door, wait).await?;
        timeout_at(wait.until(), converse(door.0, asked)).await.unwrap_or(Err(Trouble::Timeout))
    }

    /// Waits for a socket to be free: a crowd on our side is never the server's fault.
    async fn permit(&self, door: Door, wait: Wait) -> Result<SemaphorePermit<'_>, Trouble> {
        if door.0.is_ipv6() && self.ipv6 == Ipv6::Off {
            return Err(Trouble::Internal);
        }
        match timeout_at(wait.end, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Trouble::Internal),
        }
    }
}

/// Reads datagrams until one is the answer; `heard` keeps the best reason in case the time runs out.
async fn hear(socket: &UdpSocket, asked: &Outgoing, heard: &mut Trouble) -> Result<Incoming, Trouble> {
    let mut buffer = vec![0; DATAGRAM];
    for _ in 0..FOREIGN {
        let size = socket.recv(&mut buffer).await.map_err(|error| trouble_of(&error))?;
        match asked.echo(&buffer[..size]) {
            Echo::Ours { truncated } => {
                buffer.truncate(size);
                return Ok(Incoming { bytes: buffer, truncated });
            }
            Echo::CaseDiffers => *heard = Trouble::CaseDiffers,
            Echo::Garbled if *heard == Trouble::Timeout => *heard = Trouble::Malformed,
            Echo::Garbled | Echo::Foreign => {}
        }
    }
    Err(Trouble::Malformed)
}

async fn converse(address: SocketAddr, asked: &Outgoing) -> Result<Incoming, Trouble> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(|_| Trouble::Internal)?;
    let mut stream = socket.connect(address).await.map_err(|error| trouble_of(&error))?;
    send(&mut stream, &asked.bytes).await.map_err(|error| trouble_of(&error))?;
    let length = stream.read_u16().await.map_err(|error| trouble_of(&error))?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.map_err(|error| trouble_of(&error))?;
    match asked.echo(&bytes) {
        Echo::Ours { truncated } => Ok(Incoming { bytes, truncated }),
        // Letter case guards datagrams; a connection cannot be forged from aside.
        Echo::CaseDiffers => Ok(Incoming { truncated: bytes[2] & 0x02 != 0, bytes }),
        Echo::Garbled | Echo::Foreign => Err(Trouble::Malformed),
    }
}

/// Length and question in one segment (RFC 7766 §8).
async fn send(stream: &mut TcpStream, question: &[u8]) -> io::Result<()> {
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let mut framed = Vec::with_capacity(question.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(question);
    stream.write_all(&framed).await
}

/// Tells the far side's trouble from our own.
fn trouble_of(error: &io::Error) -> Trouble {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => Trouble::Unreachable,
        Kind::TimedOut => Trouble::Timeout,
        _ => Trouble::Internal,
    }
}
