//! A TCP proxy on loopback that injects network faults: cuts, freezes, refusals.
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The timeout for connecting to the target.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The buffer size.
const CHUNK: usize = 16 * 1024;

/// The present faults of a proxy.
#[derive(Debug, Clone, Copy, Default)]
struct ProxyMode {
    /// No data passes in either direction; connections are accepted and kept.
    frozen: bool,
    /// New connections are reset.
    refusing: bool,
    /// The number of cuts; connections that began at a lower number are reset.
    cuts: u64,
}

/// Counters of a proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProxyCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections reset because of a refusal, or because the target did not accept.
    pub refused: u64,
    /// Connections reset by a cut.
    pub cut: u64,
    /// Open connections.
    pub open: u64,
    /// Bytes sent to the target.
    pub to_target: u64,
    /// Bytes sent to clients.
    pub to_client: u64,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    open: AtomicU64,
    to_target: AtomicU64,
    to_client: AtomicU64,
}

/// A running proxy; on drop it resets open connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<ProxyMode>,
    counters: Arc<Counters>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards every connection to the target.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback listener");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mode = watch::Sender::new(ProxyMode::default());
        let counters = Arc::<Counters>::default();
        let accepting = tokio::spawn(accept(listener, target, mode.subscribe(), Arc::clone(&counters)));
        Self { address, mode, counters, accepting }
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets all open connections on both sides; new ones are accepted.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| mode.cuts += 1);
    }

    /// Blocks data in both directions until [`Proxy::thaw`]; connections stay open, and new ones are
    /// accepted.
    pub fn freeze(&self) {
        self.mode.send_modify(|mode| mode.frozen = true);
    }

    /// Lets the blocked data pass.
    pub fn thaw(&self) {
        self.mode.send_modify(|mode| mode.frozen = false);
    }

    /// Resets new connections until [`Proxy::accept`]; open ones go on.
    pub fn refuse(&self) {
        self.mode.send_modify(|mode| mode.refusing = true);
    }

    /// Accepts new connections again.
    pub fn accept(&self) {
        self.mode.send_modify(|mode| mode.refusing = false);
    }

    /// The counters.
    pub fn counts(&self) -> ProxyCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProxyCounts {
            accepted: read(&self.counters.accepted),
            refused: read(&self.counters.refused),
            cut: read(&self.counters.cut),
            open: read(&self.counters.open),
            to_target: read(&self.counters.to_target),
            to_client: read(&self.counters.to_client),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The task owns the connections, which end with it.
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    mode: watch::Receiver<ProxyMode>,
    counters: Arc<Counters>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // The error concerns one connection only.
                let Ok((client, _)) = accepted else { continue };
                counters.accepted.fetch_add(1, Ordering::Relaxed);
                if mode.borrow().refusing {
                    counters.refused.fetch_add(1, Ordering::Relaxed);
                    reset(&client);
                    continue;
                }
                connections.spawn(forward(client, target, mode.clone(), Arc::clone(&counters)));
            }
        }
    }
}

/// Counts an open connection until it is dropped.
struct OpenConnection<'a>(&'a AtomicU64);

impl<'a> OpenConnection<'a> {
    fn new(open: &'a AtomicU64) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Forwards one connection until it ends.
async fn forward(
    mut client: TcpStream,
    target: SocketAddr,
    mut mode: watch::Receiver<ProxyMode>,
    counters: Arc<Counters>,
) {
    let _standing = OpenConnection::new(&counters.open);
    let began = mode.borrow_and_update().cuts;
    let mut cut = mode.clone();
    let cut = async move {
        // The sender lives as long as the proxy, which owns this task.
        let _ = cut.wait_for(|mode| mode.cuts != began).await;
    };
    tokio::pin!(cut);
    let connecting = async {
        until_thawed(&mut mode).await;
        tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await
    };
    let mut server = tokio::select! {
        () = &mut cut => {
            counters.cut.fetch_add(1, Ordering::Relaxed);
            return reset(&client);
        }
        connected = connecting => {
            let Ok(Ok(server)) = connected else {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                return reset(&client);
            };
            server
        }
    };
    for side in [&client, &server] {
        // Data is forwarded without delay; a failure here only makes it slower.
        let _ = side.set_nodelay(true);
    }
    // Borrowed halves send no FIN on drop, which would arrive before the reset.
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let upstream =
            Direction { from: from_client, to: to_server, mode: mode.clone(), bytes: &counters.to_target };
        let downstream = Direction { from: from_server, to: to_client, mode, bytes: &counters.to_client };
        tokio::select! {
            () = &mut cut => {
                counters.cut.fetch_add(1, Ordering::Relaxed);
                Err(io::ErrorKind::ConnectionReset.into())
            }
            ended = async { tokio::try_join!(upstream.run(), downstream.run()) } => ended,
        }
    };
    if ended.is_err() {
        // An error on one side resets both.
        reset(&client);
        reset(&server);
    }
}

/// One direction of a connection.
struct Direction<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    mode: watch::Receiver<ProxyMode>,
    bytes: &'a AtomicU64,
}

impl Direction<'_> {
    async fn run(mut self) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = self.from.read(&mut chunk).await?;
            // A FIN does not pass a frozen proxy either.
            until_thawed(&mut self.mode).await;
            let Some(chunk) = chunk.get(..read).filter(|chunk| !chunk.is_empty()) else {
                return self.to.shutdown().await;
            };
            self.to.write_all(chunk).await?;
            self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        }
    }
}

async fn until_thawed(mode: &mut watch::Receiver<ProxyMode>) {
    // The sender lives as long as the proxy, which owns this task.
    let _ = mode.wait_for(|mode| !mode.frozen).await;
}

/// Makes the drop of the stream send RST instead of FIN.
fn reset(stream: &TcpStream) {
    // A closed socket needs no reset.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// A target that echoes.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn exchange(stream: &mut TcpStream, word: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(word).await?;
        let mut downstream = vec![0; word.len()];
        tokio::time::timeout(TIMEOUT, stream.read_exact(&mut downstream)).await??;
        Ok(downstream)
    }

    async fn end_of(stream: &mut TcpStream) -> io::Result<usize> {
        tokio::time::timeout(TIMEOUT, stream.read(&mut [0; 8])).await.expect("it ends")
    }

    #[tokio::test]
    async fn forwards_data_and_fin_both_ways() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut stream, b"hello").await.unwrap(), b"hello");
        stream.shutdown().await.unwrap();
        assert_eq!(end_of(&mut stream).await.unwrap(), 0, "an orderly end");
        eventually("the connection to be over", TIMEOUT, || async {
            (proxy.counts().open == 0).then_some(())
        })
        .await;
        let counts = proxy.counts();
        assert_eq!((counts.accepted, counts.to_target, counts.to_client), (1, 5, 5));
        assert_eq!((counts.cut, counts.refused), (0, 0));
    }

    #[tokio::test]
    async fn cut_resets_open_connections_only() {
        let proxy = Proxy::start(echo().await).await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut old, b"old").await.unwrap(), b"old");
        proxy.cut();
        let ended = end_of(&mut old).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut new, b"new").await.unwrap(), b"new");
        assert_eq!(proxy.counts().cut, 1);
    }

    #[tokio::test]
    async fn freeze_blocks_data_until_thaw() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        proxy.freeze();
        client.write_all(b"there").await.unwrap();
        server.write_all(b"back").await.unwrap();
        let mut late = TcpStream::connect(proxy.address()).await.expect("a frozen proxy still accepts");
        late.write_all(b"late").await.unwrap();
        eventually("the late one to be accepted", TIMEOUT, || async {
            (proxy.counts().accepted == 2).then_some(())
        })
        .await;
        let mut bytes = [0; 5];
        let held = Duration::from_millis(200);
        assert!(tokio::time::timeout(held, server.read(&mut bytes)).await.is_err(), "held on the way there");
        assert!(tokio::time::timeout(held, client.read(&mut bytes)).await.is_err(), "held on the way back");
        assert!(tokio::time::timeout(held, listener.accept()).await.is_err(), "the target is not reached");
        proxy.thaw();
        tokio::time::timeout(TIMEOUT, server.read_exact(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(&bytes, b"there");
        tokio::time::timeout(TIMEOUT, client.read_exact(&mut bytes[..4])).await.unwrap().unwrap();
        assert_eq!(&bytes[..4], b"back");
        let (mut server, _) = tokio::time::timeout(TIMEOUT, listener.accept()).await.unwrap().unwrap();
        tokio::time::timeout(TIMEOUT, server.read_exact(&mut bytes[..4])).await.unwrap().unwrap();
        assert_eq!(&bytes[..4], b"late");
    }

    #[tokio::test]
    async fn cut_works_while_frozen() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut stream, b"x").await.unwrap(), b"x");
        proxy.freeze();
        proxy.cut();
        let ended = end_of(&mut stream).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn refuse_resets_new_connections_only() {
        let proxy = Proxy::start(echo().await).await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut old, b"old").await.unwrap(), b"old");
        proxy.refuse();
        let refused = async {
            let mut stream = TcpStream::connect(proxy.address()).await?;
            exchange(&mut stream, b"new").await
        };
        assert!(refused.await.is_err());
        assert_eq!(exchange(&mut old, b"old").await.unwrap(), b"old");
        assert_eq!(proxy.counts().refused, 1);
        proxy.accept();
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut new, b"new").await.unwrap(), b"new");
    }

    #[tokio::test]
    async fn resets_when_target_is_down() {
        let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::free_port(&[Ipv4Addr::LOCALHOST])));
        let proxy = Proxy::start(unused).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(end_of(&mut stream).await.is_err());
    }

    #[tokio::test]
    async fn drop_ends_connections() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut stream, b"x").await.unwrap(), b"x");
        let address = proxy.address();
        drop(proxy);
        assert!(matches!(end_of(&mut stream).await, Ok(0) | Err(_)));
        eventually("the port to be free", TIMEOUT, || async {
            TcpStream::connect(address).await.err().map(|_| ())
        })
        .await;
    }
}
