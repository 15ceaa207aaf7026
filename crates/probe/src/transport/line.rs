//! A socket that several questions share, and the task that reads it.
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};

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
    Connection(TcpStream),
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
        Ok(Self::new(Via::Connection, address, Socket::Connection(stream), permit, sockets))
    }

    fn new(via: Via, address: SocketAddr, socket: Socket, permit: Permit, sockets: &Arc<Sockets>) -> Self {
        let waiting = Arc::new(Waiting::new(via, Arc::clone(sockets)));
        Self { waiting, address, born: Instant::now(), socket, _permit: permit }
    }

    pub(super) fn via(&self) -> Via {
        match self.socket {
            Socket::Datagrams(_) => Via::Datagrams,
            Socket::Connection(_) => Via::Connection,
        }
    }

    pub(super) fn is_old(&self) -> bool {
        self.born.elapsed() >= LIFE
    }

    /// Sends one question. Dropping the future sends all of it or nothing.
    pub(super) async fn send(&self, asked: &Outgoing) -> io::Result<()> {
        match &self.socket {
            Socket::Datagrams(socket) => socket.send(&asked.bytes).await.map(drop),
            Socket::Connection(stream) => {
                // Length and question in one segment (RFC 7766 §8).
                let length = u16::try_from(asked.bytes.len()).map_err(io::Error::other)?;
                let framed = [&length.to_be_bytes(), asked.bytes.as_slice()].concat();
                stream.writable().await?;
                match stream.try_write(&framed)? {
                    all if all == framed.len() => Ok(()),
                    // A peer that reads nothing: the rest would have to follow before any other question.
                    _ => Err(io::ErrorKind::WriteZero.into()),
                }
            }
        }
    }

    /// Reads until nobody waits any more, the socket is old and empty, or broken.
    pub(super) async fn read(self: Arc<Self>, pool: Weak<Pool>) {
        let reader = Reader { line: self, pool };
        let line = &reader.line;
        let mut received = vec![];
        let mut old = std::pin::pin!(sleep_until(line.born + LIFE));
        let mut retired = false;
        while !line.waiting.is_over() {
            tokio::select! {
                biased;
                ready = line.ready() => {
                    if let Err(error) = ready.and_then(|()| line.take_in(&mut received)) {
                        line.waiting.close(Trouble::of(&error));
                    }
                }
                () = line.waiting.changed.notified() => {}
                () = &mut old, if !retired => {
                    retired = true;
                    line.waiting.retire();
                }
            }
        }
    }

    /// Waits for something to read, or for the system to report an error.
    async fn ready(&self) -> io::Result<()> {
        let socket = match &self.socket {
            Socket::Connection(stream) => return stream.readable().await,
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
                Socket::Connection(stream) => stream.try_read(&mut buffer),
            };
            let size = match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            match self.socket {
                Socket::Datagrams(_) => self.waiting.hear(&buffer[..size]),
                Socket::Connection(_) if size == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Socket::Connection(_) => {
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
