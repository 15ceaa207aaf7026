//! Addresses to listen on: one that was asked for, or the usual one and any other when it is taken.
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::exit::Failure;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Here and nowhere else; port 0 is any free one.
    Asked(SocketAddr),
    /// On this port of this machine if it is free, otherwise on any.
    Usual(u16),
}

impl Place {
    pub(crate) fn of(asked: Option<SocketAddr>, usual: u16) -> Self {
        asked.map_or(Self::Usual(usual), Self::Asked)
    }

    /// An address that was free a moment ago.
    pub(crate) fn settle(self) -> Result<SocketAddr, Failure> {
        self.free(|at| TcpListener::bind(at).map(drop))
    }

    /// The same for UDP and TCP alike.
    pub(crate) fn settle_dns(self) -> Result<SocketAddr, Failure> {
        self.free(|at| {
            let _datagrams = UdpSocket::bind(at)?;
            TcpListener::bind(at).map(drop)
        })
    }

    fn free(self, bind: impl Fn(SocketAddr) -> io::Result<()>) -> Result<SocketAddr, Failure> {
        let (usual, any) = match self {
            Self::Asked(at) => return Ok(at),
            Self::Usual(port) => (local(port), local(0)),
        };
        match bind(usual) {
            Ok(()) => Ok(usual),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(any),
            Err(error) => Err(Failure::because(format!("cannot listen on {usual}"), error)),
        }
    }
}

/// The same address with a port that was free a moment ago instead of any.
pub(super) fn closed(at: SocketAddr) -> Result<SocketAddr, Failure> {
    let bound = TcpListener::bind(at).and_then(|listener| listener.local_addr());
    bound.map_err(|error| Failure::because(format!("cannot listen on {at}"), error))
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_port_that_is_taken_gives_way_and_an_asked_one_does_not() {
        let taken = TcpListener::bind(local(0)).unwrap();
        let at = taken.local_addr().unwrap();
        assert_eq!(Place::Usual(at.port()).settle().unwrap(), local(0));
        assert_eq!(Place::Usual(at.port()).settle_dns().unwrap(), local(0));
        assert_eq!(Place::of(Some(at), 1).settle().unwrap(), at);
        drop(taken);
        assert_eq!(Place::Usual(at.port()).settle().unwrap(), at);
    }
}
