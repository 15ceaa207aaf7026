//! Free ports.
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// A port that is free for UDP and TCP on each of these addresses.
pub fn free_port(addresses: &[Ipv4Addr]) -> u16 {
    for _ in 0..200 {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback listener");
        let port = probe.local_addr().expect("a bound listener has an address").port();
        drop(probe);
        let free = addresses.iter().all(|address| {
            TcpListener::bind((*address, port)).is_ok() && UdpSocket::bind((*address, port)).is_ok()
        });
        if free {
            return port;
        }
    }
    panic!("no port is free on {addresses:?}");
}
