//! The pool of open sockets by server, and how a query is placed on one.
//!
//! Why sharing a socket does not help a forger. An off-path attacker has to guess port, id and letter case of one
//! query while it is in flight. The system chooses ports at random, and each is used towards one server only, so that
//! no other server learns it. A port lives for at most `SOCKET_LIFETIME` and `TransportKind::max_queries` queries, so
//! that probing for it (by how a full or a silent port reacts) has to start anew before it gets far; at most
//! `MAX_IN_FLIGHT` queries share it at a time, each with a random id and letter case of its own, so that a forged
//! packet on the right port hits the one query that matters with the same probability as on a port of its own. Wrong
//! guesses are counted per socket: some tens of them close it, and its queries move to TCP.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::{Instant, timeout_at};

use super::error::TransportError;
use super::in_flight::{JoinRefusal, PendingReply};
use super::route::{PayRetry, RawReply, Route, TransportKind, WaitLimits};
use super::shared_socket::SharedSocket;
use super::socket_limit::{ServerReputation, SocketLimit, SocketPermit};
use crate::wire::EncodedQuery;

type SocketsByRoute = HashMap<Route, Vec<Arc<SharedSocket>>>;

#[derive(Debug)]
pub(crate) struct SocketPool {
    limit: Arc<SocketLimit>,
    sockets: Mutex<SocketsByRoute>,
}

impl SocketPool {
    pub(super) fn new(most: usize) -> Self {
        Self { limit: Arc::new(SocketLimit::new(most)), sockets: Mutex::default() }
    }

    /// How many sockets are open, and how many may be.
    pub(crate) fn used(&self) -> (usize, usize) {
        self.limit.used()
    }

    fn sockets(&self) -> MutexGuard<'_, SocketsByRoute> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a query on a socket to its server and waits for the answer. `pay` is called before it is sent a second
    /// time.
    pub(super) async fn send(
        self: &Arc<Self>,
        to: Route,
        reputation: ServerReputation,
        query: EncodedQuery,
        wait: WaitLimits,
        pay: PayRetry<'_>,
    ) -> Result<RawReply, TransportError> {
        let mut query = Arc::new(query);
        let mut until = None;
        if let Some((socket, pending)) = self.join(to, &mut query) {
            let whole = wait.until();
            // A server that closed a connection, or answers once per connection, is queried again on a new one (RFC
            // 7766 §6.2.4). A lost datagram is for the caller to repeat.
            let (patience, again): (_, fn(TransportError) -> bool) = match to.1 {
                TransportKind::Udp => (whole, |error| error == TransportError::Internal),
                TransportKind::Tcp => (Instant::now() + (whole - Instant::now()) / 2, |_| true),
            };
            match self.exchange(&socket, pending, &query, patience).await {
                Err(NotSent(_)) => {}
                Ok(Err(error)) if again(error) && pay(error) => until = Some(whole),
                Ok(answer) => return answer,
            }
        }
        let permit = self.permit(reputation, wait.end).await?;
        let until = until.unwrap_or_else(|| wait.until());
        let socket = Arc::new(self.open(to, permit, until).await?);
        let pending = socket.in_flight.begin(&query);
        self.sockets().entry(to).or_default().push(Arc::clone(&socket));
        let reader = Reader { socket: Arc::clone(&socket), pool: Arc::downgrade(self) };
        tokio::spawn(async move { reader.socket.serve().await });
        self.exchange(&socket, pending, &query, until).await.unwrap_or_else(|NotSent(error)| Err(error))
    }

    /// Joins an open socket; none when all of them are full. The query gets another id where its own is taken.
    fn join(&self, to: Route, query: &mut Arc<EncodedQuery>) -> Option<(Arc<SharedSocket>, PendingReply)> {
        let sockets = self.sockets();
        // The newest first: it has most of its lifetime left.
        for socket in sockets.get(&to)?.iter().rev() {
            if socket.is_old() {
                break;
            }
            match socket.in_flight.join(query) {
                Ok(pending) => return Some((Arc::clone(socket), pending)),
                Err(JoinRefusal::IdTaken) => *query = Arc::new(query.with_another_id()),
                Err(JoinRefusal::Full) => {}
            }
        }
        None
    }

    async fn open(
        &self,
        to: Route,
        permit: SocketPermit,
        until: Instant,
    ) -> Result<SharedSocket, TransportError> {
        match to.1 {
            TransportKind::Udp => SharedSocket::open_udp(to.0, permit, &self.limit),
            TransportKind::Tcp => timeout_at(until, SharedSocket::open_tcp(to.0, permit, &self.limit))
                .await
                .unwrap_or(Err(TransportError::Timeout)),
        }
    }

    async fn exchange(
        &self,
        socket: &SharedSocket,
        pending: PendingReply,
        query: &EncodedQuery,
        until: Instant,
    ) -> Result<Result<RawReply, TransportError>, NotSent> {
        if let Err(error) = socket.send(query).await {
            // The reported error often belongs to an earlier datagram; either way the socket cannot be used any more.
            let error = TransportError::of(&error);
            socket.in_flight.close(error);
            return Err(NotSent(error));
        }
        Ok(pending.answer(until).await)
    }

    /// The permit to open a socket; waits for it at the limit.
    async fn permit(
        &self,
        reputation: ServerReputation,
        end: Instant,
    ) -> Result<SocketPermit, TransportError> {
        if let Some(permit) = self.limit.try_acquire(reputation) {
            return Ok(permit);
        }
        if self.limit.has_idle() {
            // Its permit is returned as soon as its reader has noticed.
            let sockets = self.sockets();
            sockets.values().flatten().find(|socket| socket.in_flight.close_if_idle());
        }
        self.limit.acquire(reputation, end).await
    }

    /// Removes a socket whose reader has ended.
    fn forget(&self, socket: &Arc<SharedSocket>) {
        let to = (socket.address, socket.kind());
        let mut sockets = self.sockets();
        if let Some(left) = sockets.get_mut(&to) {
            left.retain(|other| !Arc::ptr_eq(other, socket));
            if left.is_empty() {
                sockets.remove(&to);
            }
        }
    }
}

/// Reads a socket, and closes it when the reading ends for any reason.
struct Reader {
    socket: Arc<SharedSocket>,
    pool: Weak<SocketPool>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.socket.in_flight.close(TransportError::Internal);
        if let Some(pool) = self.pool.upgrade() {
            pool.forget(&self.socket);
        }
    }
}

/// A query that was not sent.
struct NotSent(TransportError);

impl Drop for SocketPool {
    /// The readers hold the sockets: closing ends them.
    fn drop(&mut self) {
        for socket in self.sockets().values().flatten() {
            socket.in_flight.close(TransportError::Internal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use hickory_proto::rr::{Name, RecordType};
    use tokio::net::UdpSocket;

    use super::super::route::SOCKET_LIFETIME;
    use super::*;
    use crate::wire::{DnsQuery, EdnsMode, NameCase, Recursion};

    fn question(name: &str) -> EncodedQuery {
        let query = DnsQuery {
            name: Name::from_ascii(name).unwrap(),
            rtype: RecordType::TXT,
            recursion: Recursion::No,
        };
        EncodedQuery::new(&query, EdnsMode::With, NameCase::Random)
    }

    /// Answers everything but queries for `silent.`.
    async fn serve(socket: UdpSocket) {
        let mut buffer = [0; 512];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
            buffer[2] |= 0x80;
            if !buffer[12..].to_ascii_lowercase().starts_with(b"\x06silent") {
                socket.send_to(&buffer[..size], from).await.unwrap();
            }
        }
    }

    fn wait(longest: Duration) -> WaitLimits {
        WaitLimits { longest, end: Instant::now() + Duration::from_mins(1) }
    }

    #[tokio::test]
    async fn releases_sockets_after_every_kind_of_query() {
        let server_socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = (server_socket.local_addr().unwrap(), TransportKind::Udp);
        let server = tokio::spawn(serve(server_socket));
        let pool = Arc::new(SocketPool::new(8));
        let ask = |name, longest| {
            pool.send(to, ServerReputation::Unknown, question(name), wait(longest), &|_| true)
        };

        let answers = join_all((0..40).map(|_| ask("a.test.", Duration::from_secs(30)))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(ask("silent.", Duration::from_millis(50)).await.err(), Some(TransportError::Timeout));
        {
            let mut dropped = Box::pin(ask("silent.", Duration::from_secs(30)));
            assert!(futures::poll!(&mut dropped).is_pending());
        }
        let over = async {
            while !pool.sockets().is_empty() || pool.limit.has_idle() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // All of them: the shared ones and the reserved ones.
            while std::iter::from_fn(|| pool.limit.try_acquire(ServerReputation::Known))
                .collect::<Vec<_>>()
                .len()
                < 8
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), over).await.expect("idle sockets close");
        server.abort();
    }

    #[tokio::test]
    async fn closes_idle_sockets_at_limit() {
        let pool = Arc::new(SocketPool::new(2));
        let mut servers = vec![];
        let started = Instant::now();
        // More servers than sockets, one after the other, and much faster than sockets expire.
        for _ in 0..20 {
            let server_socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let to = (server_socket.local_addr().unwrap(), TransportKind::Udp);
            servers.push(tokio::spawn(serve(server_socket)));
            let wait = wait(Duration::from_secs(30));
            let query = pool.send(to, ServerReputation::Unknown, question("a.test."), wait, &|_| true);
            assert!(query.await.is_ok());
        }
        assert!(started.elapsed() < SOCKET_LIFETIME * 5, "the query waited for the socket to expire");
        for server in servers {
            server.abort();
        }
    }
}
