//! Sockets where a question would arrive that must not be sent.
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// The group of multicast DNS: answered by whoever is near.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Traps at one port of many addresses, and of the group.
pub struct Traps {
    port: u16,
    datagrams: Vec<UdpSocket>,
    connections: Vec<TcpListener>,
}

impl Traps {
    /// Where questions to these addresses arrive: all of them have to be this machine's.
    pub fn set(port: u16, addresses: &[IpAddr]) -> Self {
        let mut traps = Self { port, datagrams: vec![], connections: vec![] };
        for ip in addresses {
            let at = SocketAddr::new(*ip, port);
            traps.datagrams.push(UdpSocket::bind(at).unwrap_or_else(|error| panic!("{ip}: {error}")));
            traps.connections.push(TcpListener::bind(at).unwrap_or_else(|error| panic!("{ip}: {error}")));
        }
        traps.join_group();
        traps.datagrams.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        traps.connections.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        traps
    }

    /// On the only interface there is.
    fn join_group(&mut self) {
        let socket = UdpSocket::bind((GROUP, self.port)).unwrap();
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
        self.datagrams.push(socket);
    }

    /// Where something has arrived since the last time.
    pub fn caught(&self) -> Vec<SocketAddr> {
        let mut caught = vec![];
        for socket in &self.datagrams {
            while nothing_or(socket.recv(&mut [0; 512])).is_some() {
                caught.push(socket.local_addr().unwrap());
            }
        }
        for listener in &self.connections {
            while nothing_or(listener.accept()).is_some() {
                caught.push(listener.local_addr().unwrap());
            }
        }
        caught
    }

    /// Shows that they catch: what is sent to these addresses by a stranger arrives, each in one trap.
    pub fn assert_sharp(&self, addresses: &[IpAddr]) {
        for ip in addresses {
            let any: SocketAddr = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let stranger = UdpSocket::bind(any).unwrap();
            stranger.send_to(b"?", (*ip, self.port)).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let mut caught = vec![];
            while caught.is_empty() {
                assert!(Instant::now() < deadline, "what is sent to {ip} is not caught");
                std::thread::yield_now();
                caught = self.caught();
            }
            assert_eq!(caught.len(), 1, "{ip}: {caught:?}");
        }
    }
}

fn nothing_or<T>(arrived: std::io::Result<T>) -> Option<T> {
    match arrived {
        Ok(it) => Some(it),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}
