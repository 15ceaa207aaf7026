//! Sockets where a question would arrive that must not be sent, as far as this machine can be reached there.
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// The group of multicast DNS: answered by whoever is near.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Traps at one port of every address that can be bound.
pub struct Traps {
    port: u16,
    datagrams: Vec<UdpSocket>,
    connections: Vec<TcpListener>,
}

/// Addresses of this machine in its own network that are not public.
pub fn own_addresses() -> Vec<IpAddr> {
    // To connect a datagram socket sends nothing: it only chooses where the datagrams would be sent from.
    let from = |any: &str, to: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let outward = [from("0.0.0.0:0", "198.51.100.1:9"), from("[::]:0", "[2001:db8::1]:9")];
    let closed = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_documentation(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    outward.into_iter().flatten().filter(closed).collect()
}

impl Traps {
    /// Where questions to 127.66.6.6, to 0.0.0.0, to `::1`, to the machine's own addresses and to the group arrive.
    pub fn set(port: u16) -> Self {
        let mut traps = Self { port, datagrams: vec![], connections: vec![] };
        let here = ["127.66.6.6", "127.0.0.1", "::1"].map(|ip| ip.parse().unwrap());
        for ip in here.into_iter().chain(own_addresses()) {
            match UdpSocket::bind((ip, port)) {
                Ok(socket) => traps.datagrams.push(socket),
                // Not every machine has IPv6.
                Err(_) if ip.is_ipv6() => continue,
                Err(error) => panic!("{ip}: {error}"),
            }
            traps.connections.push(TcpListener::bind((ip, port)).unwrap());
        }
        traps.join_group();
        traps.datagrams.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        traps.connections.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        traps
    }

    /// On the loopback interface, and on the one that the group would be reached through.
    fn join_group(&mut self) {
        let socket = UdpSocket::bind((GROUP, self.port)).unwrap();
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
        // A machine without a network has no such interface.
        let _ = socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED);
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
