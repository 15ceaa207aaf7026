//! A socket that several questions share, and the task that reads it.
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until};

use super::pool::Pool;
use super::sockets::{Permit, Sockets};
use super::trouble::Trouble;
use super::waiting::Waiting;
use super::{LIFE, Via};
use crate::wire::Outgoing;

/// Larger than any datagram we invite; what is longer is cut off, and no answer then.
const DATAGRAM: usize = 4096;
/// Reads in one go, so that a flood on one socket does not keep all others waiting.
const IN_ONE_GO: usize = 64;
/// Length field and longest message of a connection (RFC 7766 §8).
const LENGTH: usize = 2;

/// One socket to one server.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) waiting: Arc<Waiting>,
    pub(super) address: SocketAddr,
    born: Instant,
    // Closed before the permit is given back, in the order of these fields.
    socket: Socket,
    _permit: Permit,
}

#[derive(Debug)]
enum Socket {
    Datagrams(UdpSocket),
    Connection {
        stream: TcpStream,
        /// Questions that are put down to be written.
        outbox: Mutex<Vec<u8>>,
    },
}

impl Line {
    /// A fresh socket on a port that the system chooses at random, deaf to all but the server's address.
    pub(super) fn datagrams(
        address: SocketAddr,
        permit: Permit,
        sockets: &Arc<Sockets>,
    ) -> Result<Self, Trouble> {
        let local: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = std::net::UdpSocket::bind(local).map_err(|error| Trouble::of_opening(&error))?;
        // Fails where no route leads to the address, which whoever wrote it down may well have known.
        socket.connect(address).map_err(|error| Trouble::of(&error))?;
        let socket = socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket));
        let socket = Socket::Datagrams(socket.map_err(|error| Trouble::of_opening(&error))?);
        Ok(Self::new(Via::Datagrams, address, socket, permit, sockets))
    }

    pub(super) async fn connection(
        address: SocketAddr,
        permit: Permit,
        sockets: &Arc<Sockets>,
    ) -> Result<Self, Trouble> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(|error| Trouble::of_opening(&error))?;
        let stream = socket.connect(address).await.map_err(|error| Trouble::of(&error))?;
        // A question is one small segment; waiting for more would delay it.
        stream.set_nodelay(true).map_err(|error| Trouble::of(&error))?;
        let socket = Socket::Connection { stream, outbox: Mutex::default() };
        Ok(Self::new(Via::Connection, address, socket, permit, sockets))
    }

    fn new(via: Via, address: SocketAddr, socket: Socket, permit: Permit, sockets: &Arc<Sockets>) -> Self {
        let waiting = Arc::new(Waiting::new(via, Arc::clone(sockets)));
        Self { waiting, address, born: Instant::now(), socket, _permit: permit }
    }

    pub(super) fn via(&self) -> Via {
        match self.socket {
            Socket::Datagrams(_) => Via::Datagrams,
            Socket::Connection { .. } => Via::Connection,
        }
    }

    pub(super) fn is_old(&self) -> bool {
        self.born.elapsed() >= LIFE
    }

    /// Sends one question. Dropping the future sends all of it or nothing.
    pub(super) async fn send(&self, asked: &Outgoing) -> io::Result<()> {
        let outbox = match &self.socket {
            Socket::Datagrams(socket) => return socket.send(&asked.bytes).await.map(drop),
            Socket::Connection { outbox, .. } => outbox,
        };
        let length = u16::try_from(asked.bytes.len()).map_err(io::Error::other)?;
        let mut outbox = outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.extend_from_slice(&length.to_be_bytes());
        outbox.extend_from_slice(&asked.bytes);
        // Who comes meanwhile goes with it, in one segment.
        self.waiting.changed.notify_one();
        Ok(())
    }

    /// Writes what was put down for a connection; tells whether some of it has to wait.
    fn flush(&self) -> io::Result<bool> {
        let Socket::Connection { stream, outbox } = &self.socket else { return Ok(false) };
        let mut outbox = outbox.lock().unwrap_or_else(PoisonError::into_inner);
        while !outbox.is_empty() {
            match stream.try_write(&outbox) {
                Ok(written) => drop(outbox.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn writable(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Connection { stream, .. } => stream.writable().await,
            Socket::Datagrams(socket) => socket.writable().await,
        }
    }

    /// Reads, and writes to a connection, until nobody waits any more, the socket is old and empty, or broken.
    pub(super) async fn serve(self: Arc<Self>, pool: Weak<Pool>) {
        let reader = Reader { line: self, pool };
        let line = &reader.line;
        let mut received = vec![];
        let mut old = std::pin::pin!(sleep_until(line.born + LIFE));
        let (mut retired, mut blocked) = (false, false);
        while !line.waiting.is_over() {
            let done = tokio::select! {
                biased;
                () = line.waiting.changed.notified() => Ok(()),
                ready = line.ready() => ready.and_then(|()| line.take_in(&mut received)),
                writable = line.writable(), if blocked => writable,
                () = &mut old, if !retired => {
                    retired = true;
                    line.waiting.retire();
                    Ok(())
                }
            };
            match done.and_then(|()| line.flush()) {
                Ok(waits) => blocked = waits,
                Err(error) => line.waiting.close(Trouble::of(&error)),
            }
        }
    }

    /// Waits for something to read, or for the system to report an error.
    async fn ready(&self) -> io::Result<()> {
        let socket = match &self.socket {
            Socket::Connection { stream, .. } => return stream.readable().await,
            Socket::Datagrams(socket) => socket,
        };
        if socket.ready(Interest::READABLE | Interest::ERROR).await?.is_error() {
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            // A sender has taken it: nothing is left of it but the mark.
            let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
        Ok(())
    }

    /// Reads what is there and hands it out.
    fn take_in(&self, received: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM];
        for _ in 0..IN_ONE_GO {
            let read = match &self.socket {
                Socket::Datagrams(socket) => socket.try_recv(&mut buffer),
                Socket::Connection { stream, .. } => stream.try_read(&mut buffer),
            };
            let size = match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            match self.socket {
                Socket::Datagrams(_) => self.waiting.hear(&buffer[..size]),
                Socket::Connection { .. } if size == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Socket::Connection { .. } => {
                    received.extend_from_slice(&buffer[..size]);
                    self.take_messages(received);
                }
            }
        }
        Ok(())
    }

    /// Hands out the whole messages. What is announced gets no room before it has come.
    fn take_messages(&self, received: &mut Vec<u8>) {
        let mut at = 0;
        while let Some(length) = received[at..].first_chunk::<LENGTH>() {
            let begin = at + LENGTH;
            let Some(message) = received.get(begin..begin + usize::from(u16::from_be_bytes(*length))) else {
                break;
            };
            self.waiting.hear(message);
            at = begin + message.len();
        }
        received.drain(..at);
    }
}

/// Ends the socket with its reader, whatever ends that one.
struct Reader {
    line: Arc<Line>,
    pool: Weak<Pool>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.line.waiting.close(Trouble::Internal);
        if let Some(pool) = self.pool.upgrade() {
            pool.forget(&self.line);
        }
    }
}
