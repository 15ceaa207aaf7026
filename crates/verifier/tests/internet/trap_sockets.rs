//! Trap sockets: they receive the queries that the prober must not send.
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// The multicast DNS group (RFC 6762).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Sockets at one port of many addresses, and of the multicast group.
pub struct TrapSockets {
    port: u16,
    datagrams: Vec<UdpSocket>,
    connections: Vec<TcpListener>,
}

impl TrapSockets {
    /// Binds sockets at these addresses, all of which have to be local.
    pub fn bind(port: u16, addresses: &[IpAddr]) -> Self {
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

    /// Joins the group on the loopback interface, the only one.
    fn join_group(&mut self) {
        let socket = UdpSocket::bind((GROUP, self.port)).unwrap();
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
        self.datagrams.push(socket);
    }

    /// The addresses that received a datagram or a connection since the last call.
    pub fn received(&self) -> Vec<SocketAddr> {
        let mut received = vec![];
        for socket in &self.datagrams {
            while if_ready(socket.recv(&mut [0; 512])).is_some() {
                received.push(socket.local_addr().unwrap());
            }
        }
        for listener in &self.connections {
            while if_ready(listener.accept()).is_some() {
                received.push(listener.local_addr().unwrap());
            }
        }
        received
    }

    /// Asserts that the sockets work: a datagram to each of these addresses arrives in exactly one of them.
    pub fn assert_receiving(&self, addresses: &[IpAddr]) {
        for ip in addresses {
            let any: SocketAddr = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let sender = UdpSocket::bind(any).unwrap();
            sender.send_to(b"?", (*ip, self.port)).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let mut received = vec![];
            while received.is_empty() {
                assert!(Instant::now() < deadline, "a datagram to {ip} is not received");
                std::thread::yield_now();
                received = self.received();
            }
            assert_eq!(received.len(), 1, "{ip}: {received:?}");
        }
    }
}

fn if_ready<T>(result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(it) => Some(it),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}
