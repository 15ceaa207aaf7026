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
    /// Ours: no descriptor, no memory, no random number.
    Internal,
    /// Ours: no socket was free until the look's time was over.
    Crowded,
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
        let socket = UdpSocket::bind(local).await.map_err(|error| trouble_of_opening(&error))?;
        // Fails where no route leads to the address, which whoever wrote it down may well have known.
        socket.connect(door.0).await.map_err(|error| trouble_of(&error))?;
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
        // A zone that has its servers on IPv6 only is out of our reach, as it is out of many others'.
        if door.0.is_ipv6() && self.ipv6 == Ipv6::Off {
            return Err(Trouble::Unreachable);
        }
        match timeout_at(wait.end, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Trouble::Crowded),
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
    .map_err(|error| trouble_of_opening(&error))?;
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

/// The trouble of making a socket, before any address is known to it: what the system forbids or has run out of
/// is ours, a family it does not have is not.
fn trouble_of_opening(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse => Trouble::Internal,
        _ => trouble_of(error),
    }
}

/// Tells the far side's trouble from our own. Whatever is not known to be ours counts as theirs: addresses are
/// chosen by strangers, and what the network answers to them is unbounded.
fn trouble_of(error: &io::Error) -> Trouble {
    if error.raw_os_error().is_some_and(|code| OURS.contains(&code)) {
        return Trouble::Internal;
    }
    match error.kind() {
        io::ErrorKind::OutOfMemory => Trouble::Internal,
        io::ErrorKind::TimedOut => Trouble::Timeout,
        _ => Trouble::Unreachable,
    }
}

/// ENOMEM, ENFILE, EMFILE and ENOBUFS, of which the standard library names only the first.
const OURS: [i32; 4] = [12, 23, 24, if cfg!(target_os = "linux") { 105 } else { 55 }];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_have_run_out_of_is_ours() {
        let of = |code| trouble_of(&io::Error::from_raw_os_error(code));
        for ours in OURS {
            assert_eq!(of(ours), Trouble::Internal, "{ours}");
        }
        assert_eq!(trouble_of(&io::ErrorKind::OutOfMemory.into()), Trouble::Internal);
        let theirs =
            [io::ErrorKind::ConnectionRefused, io::ErrorKind::PermissionDenied, io::ErrorKind::Other];
        for kind in theirs {
            assert_eq!(trouble_of(&kind.into()), Trouble::Unreachable, "{kind}");
        }
        assert_eq!(trouble_of(&io::ErrorKind::TimedOut.into()), Trouble::Timeout);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_network_says_of_an_address_is_not_ours() {
        const EAFNOSUPPORT: i32 = 97;
        const EACCES: i32 = 13;
        // EPROTO, EMSGSIZE, ENOPROTOOPT, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH
        for code in [71, 90, 92, 99, 101, 113] {
            assert_eq!(trouble_of(&io::Error::from_raw_os_error(code)), Trouble::Unreachable, "{code}");
        }
        let opening = |code| trouble_of_opening(&io::Error::from_raw_os_error(code));
        assert_eq!(opening(EAFNOSUPPORT), Trouble::Unreachable, "a host without IPv6");
        assert_eq!(opening(EACCES), Trouble::Internal);
        assert_eq!(opening(OURS[2]), Trouble::Internal);
    }
}
