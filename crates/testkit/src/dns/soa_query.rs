//! A hand-made SOA query, to see whether a server is up.
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

/// An SOA query for a zone (RFC 1035 §4).
pub(super) struct SoaQuery(Vec<u8>);

/// The message id; a constant will do, because the socket is connected.
const ID: [u8; 2] = [0x5d, 0xee];

impl SoaQuery {
    pub fn of(zone: &str) -> Self {
        let mut bytes = vec![ID[0], ID[1], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in zone.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).expect("a label has at most 63 octets"));
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.extend_from_slice(&[0, 0, 6, 0, 1]);
        Self(bytes)
    }

    /// The response code of a resolver.
    #[cfg(test)]
    pub fn resolve(&self, at: SocketAddr) -> Option<u8> {
        let mut asking = self.0.clone();
        asking[2] |= 1;
        (0..20).find_map(|_| Self(asking.clone()).ask(at))
    }

    /// The response code; none without an answer in time.
    pub fn ask(&self, at: SocketAddr) -> Option<u8> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
        socket.connect(at).ok()?;
        socket.send(&self.0).ok()?;
        let mut answer = [0; 2048];
        let size = socket.recv(&mut answer).ok()?;
        (size > 3 && answer[..2] == ID).then_some(answer[3] & 0x0f)
    }
}
