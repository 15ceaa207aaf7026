//! Addresses to listen on: a requested one, or a default port with a free one as fallback.
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::exit::Failure;

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// Exactly this address; port 0 means any free port.
    Exact(SocketAddr),
    /// This port on loopback if it is free, otherwise any free port.
    Preferred(u16),
}

impl ListenAddress {
    pub(crate) fn of(requested: Option<SocketAddr>, usual: u16) -> Self {
        requested.map_or(Self::Preferred(usual), Self::Exact)
    }

    /// An address that is free at this moment.
    pub(crate) fn resolve(self) -> Result<SocketAddr, Failure> {
        self.free(|at| TcpListener::bind(at).map(drop))
    }

    /// Like `resolve`, for a port that is free for UDP and TCP.
    pub(crate) fn resolve_dns(self) -> Result<SocketAddr, Failure> {
        self.free(|at| {
            let _datagrams = UdpSocket::bind(at)?;
            TcpListener::bind(at).map(drop)
        })
    }

    fn free(self, bind: impl Fn(SocketAddr) -> io::Result<()>) -> Result<SocketAddr, Failure> {
        let (usual, any) = match self {
            Self::Exact(at) => return Ok(at),
            Self::Preferred(port) => (local(port), local(0)),
        };
        match bind(usual) {
            Ok(()) => Ok(usual),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(any),
            Err(error) => Err(Failure::with_source(format!("cannot listen on {usual}"), error)),
        }
    }
}

/// The address with port 0 replaced by a free port.
pub(super) fn pick_port(at: SocketAddr) -> Result<SocketAddr, Failure> {
    let bound = TcpListener::bind(at).and_then(|listener| listener.local_addr());
    bound.map_err(|error| Failure::with_source(format!("cannot listen on {at}"), error))
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_preferred_port_falls_back() {
        let taken = TcpListener::bind(local(0)).unwrap();
        let at = taken.local_addr().unwrap();
        assert_eq!(ListenAddress::Preferred(at.port()).resolve().unwrap(), local(0));
        assert_eq!(ListenAddress::Preferred(at.port()).resolve_dns().unwrap(), local(0));
        assert_eq!(ListenAddress::of(Some(at), 1).resolve().unwrap(), at);
        drop(taken);
        assert_eq!(ListenAddress::Preferred(at.port()).resolve().unwrap(), at);
    }
}
