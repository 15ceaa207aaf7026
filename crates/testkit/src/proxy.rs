//! A TCP proxy on loopback that breaks what goes through it: cuts, freezes, refuses.
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

/// How long the target may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes carried at a time.
const PIECE: usize = 16 * 1024;

/// What the proxy does at the moment.
#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    /// Nothing passes, neither way; connections are accepted and kept.
    frozen: bool,
    /// New connections are reset at once.
    refusing: bool,
    /// Grows with each cut; a connection that began under a smaller number is reset.
    cuts: u64,
}

/// What went through a proxy so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProxyCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections reset because of a refusal, or because the target did not accept.
    pub refused: u64,
    /// Connections reset by a cut.
    pub cut: u64,
    /// Connections that stand now.
    pub open: u64,
    /// Bytes carried to the target.
    pub to_target: u64,
    /// Bytes carried back.
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

/// A running proxy; ends with this value, and resets what stands.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    counters: Arc<Counters>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and carries every connection to the target.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback listener");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mode = watch::Sender::new(Mode::default());
        let counters = Arc::<Counters>::default();
        let accepting = tokio::spawn(accept(listener, target, mode.subscribe(), Arc::clone(&counters)));
        Self { address, mode, counters, accepting }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection, on both sides; new ones are accepted.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| mode.cuts += 1);
    }

    /// Lets nothing pass, neither way, until [`Proxy::thaw`]; connections stand, and new ones are accepted.
    pub fn freeze(&self) {
        self.mode.send_modify(|mode| mode.frozen = true);
    }

    /// Lets everything pass that was held back.
    pub fn thaw(&self) {
        self.mode.send_modify(|mode| mode.frozen = false);
    }

    /// Resets new connections at once until [`Proxy::accept`]; those that stand go on.
    pub fn refuse(&self) {
        self.mode.send_modify(|mode| mode.refusing = true);
    }

    /// Takes new connections again.
    pub fn accept(&self) {
        self.mode.send_modify(|mode| mode.refusing = false);
    }

    /// What went through so far.
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
    mode: watch::Receiver<Mode>,
    counters: Arc<Counters>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // An error here is that of one connection.
                let Ok((client, _)) = accepted else { continue };
                counters.accepted.fetch_add(1, Ordering::Relaxed);
                if mode.borrow().refusing {
                    counters.refused.fetch_add(1, Ordering::Relaxed);
                    reset(&client);
                    continue;
                }
                connections.spawn(carry(client, target, mode.clone(), Arc::clone(&counters)));
            }
        }
    }
}

/// Counts a connection for as long as it stands.
struct Standing<'a>(&'a AtomicU64);

impl<'a> Standing<'a> {
    fn new(open: &'a AtomicU64) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection from its begin to its end.
async fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    counters: Arc<Counters>,
) {
    let _standing = Standing::new(&counters.open);
    let began = mode.borrow_and_update().cuts;
    let mut cut = mode.clone();
    let cut = async move {
        // Without its sender the proxy is gone, and with it this task.
        let _ = cut.wait_for(|mode| mode.cuts != began).await;
    };
    tokio::pin!(cut);
    let connecting = async {
        thawed(&mut mode).await;
        tokio::time::timeout(CONNECT, TcpStream::connect(target)).await
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
        // Bytes are handed on as they come; a socket that cannot do so is only slower.
        let _ = side.set_nodelay(true);
    }
    // Halves that are borrowed send no end when they are dropped, which would come before the reset.
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there =
            Way { from: from_client, to: to_server, mode: mode.clone(), carried: &counters.to_target };
        let back = Way { from: from_server, to: to_client, mode, carried: &counters.to_client };
        tokio::select! {
            () = &mut cut => {
                counters.cut.fetch_add(1, Ordering::Relaxed);
                Err(io::ErrorKind::ConnectionReset.into())
            }
            ended = async { tokio::try_join!(there.run(), back.run()) } => ended,
        }
    };
    if ended.is_err() {
        // What ended badly on one side does so on the other.
        reset(&client);
        reset(&server);
    }
}

/// One direction of a connection.
struct Way<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    mode: watch::Receiver<Mode>,
    carried: &'a AtomicU64,
}

impl Way<'_> {
    async fn run(mut self) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.from.read(&mut piece).await?;
            // An end is news like any other: it does not pass a frozen proxy.
            thawed(&mut self.mode).await;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
                return self.to.shutdown().await;
            };
            self.to.write_all(piece).await?;
            self.carried.fetch_add(read as u64, Ordering::Relaxed);
        }
    }
}

async fn thawed(mode: &mut watch::Receiver<Mode>) {
    // Without its sender the proxy is gone, and with it this task.
    let _ = mode.wait_for(|mode| !mode.frozen).await;
}

/// Makes dropping the stream an RST instead of an orderly end.
fn reset(stream: &TcpStream) {
    // A socket that is gone already needs no reset.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A target that sends back what it gets.
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
        let mut back = vec![0; word.len()];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut back)).await??;
        Ok(back)
    }

    async fn end_of(stream: &mut TcpStream) -> io::Result<usize> {
        tokio::time::timeout(PATIENCE, stream.read(&mut [0; 8])).await.expect("it ends")
    }

    #[tokio::test]
    async fn bytes_and_ends_pass_both_ways() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut stream, b"hello").await.unwrap(), b"hello");
        stream.shutdown().await.unwrap();
        assert_eq!(end_of(&mut stream).await.unwrap(), 0, "an orderly end");
        eventually("the connection to be over", PATIENCE, || async {
            (proxy.counts().open == 0).then_some(())
        })
        .await;
        let counts = proxy.counts();
        assert_eq!((counts.accepted, counts.to_target, counts.to_client), (1, 5, 5));
        assert_eq!((counts.cut, counts.refused), (0, 0));
    }

    #[tokio::test]
    async fn a_cut_resets_what_stands_and_nothing_else() {
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
    async fn a_freeze_holds_bytes_both_ways_and_a_thaw_lets_them_go() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        proxy.freeze();
        client.write_all(b"there").await.unwrap();
        server.write_all(b"back").await.unwrap();
        let mut late = TcpStream::connect(proxy.address()).await.expect("a frozen proxy still accepts");
        late.write_all(b"late").await.unwrap();
        eventually("the late one to be accepted", PATIENCE, || async {
            (proxy.counts().accepted == 2).then_some(())
        })
        .await;
        let mut bytes = [0; 5];
        let held = Duration::from_millis(200);
        assert!(tokio::time::timeout(held, server.read(&mut bytes)).await.is_err(), "held on the way there");
        assert!(tokio::time::timeout(held, client.read(&mut bytes)).await.is_err(), "held on the way back");
        assert!(tokio::time::timeout(held, listener.accept()).await.is_err(), "nobody reaches the target");
        proxy.thaw();
        tokio::time::timeout(PATIENCE, server.read_exact(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(&bytes, b"there");
        tokio::time::timeout(PATIENCE, client.read_exact(&mut bytes[..4])).await.unwrap().unwrap();
        assert_eq!(&bytes[..4], b"back");
        let (mut server, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        tokio::time::timeout(PATIENCE, server.read_exact(&mut bytes[..4])).await.unwrap().unwrap();
        assert_eq!(&bytes[..4], b"late");
    }

    #[tokio::test]
    async fn a_frozen_connection_can_be_cut() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut stream, b"x").await.unwrap(), b"x");
        proxy.freeze();
        proxy.cut();
        let ended = end_of(&mut stream).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_refusal_hits_new_connections_only_until_it_is_over() {
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
    async fn a_target_that_does_not_listen_is_a_reset() {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::free_port(&[Ipv4Addr::LOCALHOST])));
        let proxy = Proxy::start(nobody).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(end_of(&mut stream).await.is_err());
    }

    #[tokio::test]
    async fn connections_end_with_the_proxy() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(exchange(&mut stream, b"x").await.unwrap(), b"x");
        let address = proxy.address();
        drop(proxy);
        assert!(matches!(end_of(&mut stream).await, Ok(0) | Err(_)));
        eventually("the port to be free", PATIENCE, || async {
            TcpStream::connect(address).await.err().map(|_| ())
        })
        .await;
    }
}
