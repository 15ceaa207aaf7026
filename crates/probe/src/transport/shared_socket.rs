//! A socket that several queries share, and the task that reads it.
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until};

use super::error::TransportError;
use super::in_flight::InFlightQueries;
use super::route::{SOCKET_LIFETIME, TransportKind};
use super::socket_limit::{SocketLimit, SocketPermit};
use crate::wire::EncodedQuery;

/// Larger than any datagram that our EDNS size allows; a longer one is truncated and does not parse.
const MAX_DATAGRAM: usize = 4096;
/// Reads in one go, so that a flood on one socket does not block the others.
const READS_IN_ONE_GO: usize = 64;
/// The length field before each message of a connection (RFC 7766 §8).
const LENGTH: usize = 2;

/// One socket to one server.
#[derive(Debug)]
pub(super) struct SharedSocket {
    pub(super) in_flight: Arc<InFlightQueries>,
    pub(super) address: SocketAddr,
    born: Instant,
    // In the order of these fields the socket is closed before the permit is returned.
    socket: Socket,
    _permit: SocketPermit,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        /// Queries that wait to be written.
        unsent: Mutex<Vec<u8>>,
    },
}

impl SharedSocket {
    /// Opens a UDP socket on a port that the system chooses at random, and connects it so that only the server's
    /// address is heard.
    pub(super) fn open_udp(
        address: SocketAddr,
        permit: SocketPermit,
        limit: &Arc<SocketLimit>,
    ) -> Result<Self, TransportError> {
        let local: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = std::net::UdpSocket::bind(local).map_err(|error| TransportError::of_opening(&error))?;
        // Fails where there is no route to the address, which the claimant may have known.
        socket.connect(address).map_err(|error| TransportError::of(&error))?;
        let socket = socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket));
        let socket = Socket::Udp(socket.map_err(|error| TransportError::of_opening(&error))?);
        Ok(Self::new(TransportKind::Udp, address, socket, permit, limit))
    }

    pub(super) async fn open_tcp(
        address: SocketAddr,
        permit: SocketPermit,
        limit: &Arc<SocketLimit>,
    ) -> Result<Self, TransportError> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(|error| TransportError::of_opening(&error))?;
        let stream = socket.connect(address).await.map_err(|error| TransportError::of(&error))?;
        // A query is one small segment; waiting to fill it would delay the query.
        stream.set_nodelay(true).map_err(|error| TransportError::of(&error))?;
        let socket = Socket::Tcp { stream, unsent: Mutex::default() };
        Ok(Self::new(TransportKind::Tcp, address, socket, permit, limit))
    }

    fn new(
        kind: TransportKind,
        address: SocketAddr,
        socket: Socket,
        permit: SocketPermit,
        limit: &Arc<SocketLimit>,
    ) -> Self {
        let in_flight = Arc::new(InFlightQueries::new(kind, Arc::clone(limit)));
        Self { in_flight, address, born: Instant::now(), socket, _permit: permit }
    }

    pub(super) fn kind(&self) -> TransportKind {
        match self.socket {
            Socket::Udp(_) => TransportKind::Udp,
            Socket::Tcp { .. } => TransportKind::Tcp,
        }
    }

    pub(super) fn is_old(&self) -> bool {
        self.born.elapsed() >= SOCKET_LIFETIME
    }

    /// Sends one query. Dropping the future sends all of it or nothing.
    pub(super) async fn send(&self, query: &EncodedQuery) -> io::Result<()> {
        let unsent = match &self.socket {
            Socket::Udp(socket) => return socket.send(&query.bytes).await.map(drop),
            Socket::Tcp { unsent, .. } => unsent,
        };
        let length = u16::try_from(query.bytes.len()).map_err(io::Error::other)?;
        let mut unsent = unsent.lock().unwrap_or_else(PoisonError::into_inner);
        unsent.extend_from_slice(&length.to_be_bytes());
        unsent.extend_from_slice(&query.bytes);
        // Queries that arrive before the writer runs share one segment.
        self.in_flight.changed.notify_one();
        Ok(())
    }

    /// Writes the waiting queries of a connection; tells whether some of them have to wait for the socket.
    fn flush(&self) -> io::Result<bool> {
        let Socket::Tcp { stream, unsent } = &self.socket else { return Ok(false) };
        let mut unsent = unsent.lock().unwrap_or_else(PoisonError::into_inner);
        while !unsent.is_empty() {
            match stream.try_write(&unsent) {
                Ok(written) => drop(unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn writable(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp { stream, .. } => stream.writable().await,
            Socket::Udp(socket) => socket.writable().await,
        }
    }

    /// Reads the socket, and writes to a connection, until no query is in flight and the socket is old, or until it
    /// is broken.
    pub(super) async fn serve(&self) {
        let mut received = vec![];
        let mut old = std::pin::pin!(sleep_until(self.born + SOCKET_LIFETIME));
        let (mut retired, mut blocked) = (false, false);
        while !self.in_flight.is_over() {
            let done = tokio::select! {
                biased;
                () = self.in_flight.changed.notified() => Ok(()),
                ready = self.ready() => ready.and_then(|()| self.receive(&mut received)),
                writable = self.writable(), if blocked => writable,
                () = &mut old, if !retired => {
                    retired = true;
                    self.in_flight.retire();
                    Ok(())
                }
            };
            match done.and_then(|()| self.flush()) {
                Ok(waits) => blocked = waits,
                Err(error) => self.in_flight.close(TransportError::of(&error)),
            }
        }
    }

    /// Waits until the socket is readable or reports an error.
    async fn ready(&self) -> io::Result<()> {
        let socket = match &self.socket {
            Socket::Tcp { stream, .. } => return stream.readable().await,
            Socket::Udp(socket) => socket,
        };
        if socket.ready(Interest::READABLE | Interest::ERROR).await?.is_error() {
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            // A sender has taken the error: only the readiness flag is left.
            let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
        Ok(())
    }

    /// Reads what has arrived and dispatches it.
    fn receive(&self, received: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..READS_IN_ONE_GO {
            let read = match &self.socket {
                Socket::Udp(socket) => socket.try_recv(&mut buffer),
                Socket::Tcp { stream, .. } => stream.try_read(&mut buffer),
            };
            let size = match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            match self.socket {
                Socket::Udp(_) => self.in_flight.on_message(&buffer[..size]),
                Socket::Tcp { .. } if size == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Socket::Tcp { .. } => {
                    received.extend_from_slice(&buffer[..size]);
                    self.dispatch_messages(received);
                }
            }
        }
        Ok(())
    }

    /// Dispatches the complete messages. Memory grows with the bytes received, not with the length announced.
    fn dispatch_messages(&self, received: &mut Vec<u8>) {
        let mut at = 0;
        while let Some(length) = received[at..].first_chunk::<LENGTH>() {
            let begin = at + LENGTH;
            let Some(message) = received.get(begin..begin + usize::from(u16::from_be_bytes(*length))) else {
                break;
            };
            self.in_flight.on_message(message);
            at = begin + message.len();
        }
        received.drain(..at);
    }
}
