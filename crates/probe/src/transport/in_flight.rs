//! The queries in flight on one socket, and how replies are matched to them.
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::error::TransportError;
use super::route::{MAX_IN_FLIGHT, RawReply, TransportKind};
use super::socket_limit::SocketLimit;
use crate::wire::{EncodedQuery, ReplyMatch};

/// Messages per socket that match no query: more of them are a guessing attack on the id.
const MAX_UNRELATED: u32 = 64;

/// The queries on one socket that are not answered yet.
#[derive(Debug)]
pub(super) struct InFlightQueries {
    kind: TransportKind,
    table: Mutex<InFlightTable>,
    limit: Arc<SocketLimit>,
    /// Wakes the reader: there may be nothing left to read for.
    pub(super) changed: Notify,
}

#[derive(Debug)]
struct InFlightTable {
    /// Few enough for a linear search.
    entries: Vec<InFlightQuery>,
    /// Queries sent in the socket's lifetime.
    total: usize,
    /// Ids of abandoned queries: their late answers are not an attack.
    abandoned: Vec<u16>,
    unrelated: u32,
    state: SocketState,
    counted_idle: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SocketState {
    /// A new connection, used by one query until that is answered.
    Unproven,
    Open,
    /// Takes no more queries, and closes with the last one.
    Retired,
    Closed,
}

#[derive(Debug)]
struct InFlightQuery {
    id: u16,
    query: Arc<EncodedQuery>,
    /// The most specific error so far, in case the time runs out.
    best_error: TransportError,
    answer: oneshot::Sender<Result<RawReply, TransportError>>,
}

/// The pending reply of one query; dropping it abandons the query.
#[derive(Debug)]
pub(super) struct PendingReply {
    in_flight: Arc<InFlightQueries>,
    id: u16,
    answer: oneshot::Receiver<Result<RawReply, TransportError>>,
}

/// Why a query cannot join a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinRefusal {
    /// The socket has enough queries, or takes none any more.
    Full,
    /// Another query on it has the same id.
    IdTaken,
}

impl InFlightQueries {
    /// A connection has to prove itself with one answer before it is shared; a UDP socket is shared at once.
    pub(super) fn new(kind: TransportKind, limit: Arc<SocketLimit>) -> Self {
        let state = match kind {
            TransportKind::Udp => SocketState::Open,
            TransportKind::Tcp => SocketState::Unproven,
        };
        let table = InFlightTable {
            entries: vec![],
            total: 0,
            abandoned: vec![],
            unrelated: 0,
            state,
            counted_idle: false,
        };
        Self { kind, table: Mutex::new(table), limit, changed: Notify::new() }
    }

    fn table(&self) -> MutexGuard<'_, InFlightTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the first query, by the opener of the socket.
    pub(super) fn begin(self: &Arc<Self>, query: &Arc<EncodedQuery>) -> PendingReply {
        self.add(&mut self.table(), query)
    }

    /// Adds one more query.
    pub(super) fn join(self: &Arc<Self>, query: &Arc<EncodedQuery>) -> Result<PendingReply, JoinRefusal> {
        let mut table = self.table();
        if table.state != SocketState::Open || table.entries.len() >= MAX_IN_FLIGHT {
            return Err(JoinRefusal::Full);
        }
        let id = query.id();
        if table.entries.iter().any(|entry| entry.id == id) || table.abandoned.contains(&id) {
            return Err(JoinRefusal::IdTaken);
        }
        Ok(self.add(&mut table, query))
    }

    fn add(self: &Arc<Self>, table: &mut InFlightTable, query: &Arc<EncodedQuery>) -> PendingReply {
        let (sender, receiver) = oneshot::channel();
        let id = query.id();
        table.entries.push(InFlightQuery {
            id,
            query: Arc::clone(query),
            best_error: TransportError::Timeout,
            answer: sender,
        });
        table.total += 1;
        if table.total >= self.kind.max_queries() && table.state == SocketState::Open {
            table.state = SocketState::Retired;
        }
        self.update(table);
        PendingReply { in_flight: Arc::clone(self), id, answer: receiver }
    }

    /// Matches a message to its query.
    pub(super) fn on_message(&self, bytes: &[u8]) {
        let mut table = self.table();
        let id = bytes.first_chunk().map(|id| u16::from_be_bytes(*id));
        let Some(at) = table.entries.iter().position(|entry| Some(entry.id) == id) else {
            return self.on_unrelated(&mut table, id);
        };
        let entry = &mut table.entries[at];
        let truncated = match (entry.query.match_reply(bytes), self.kind) {
            (ReplyMatch::Matches { truncated }, _) => truncated,
            // Random letter case protects UDP; a connection cannot be forged off-path.
            (ReplyMatch::CaseDiffers, TransportKind::Tcp) => bytes[2] & 0x02 != 0,
            (ReplyMatch::CaseDiffers, TransportKind::Udp) => {
                entry.best_error = TransportError::CaseDiffers;
                return self.on_unrelated(&mut table, None);
            }
            (ReplyMatch::Malformed, TransportKind::Udp) => {
                if entry.best_error == TransportError::Timeout {
                    entry.best_error = TransportError::Malformed;
                }
                return self.on_unrelated(&mut table, None);
            }
            (ReplyMatch::Unrelated | ReplyMatch::Malformed, _) => return self.on_unrelated(&mut table, None),
        };
        let entry = table.entries.swap_remove(at);
        // The receiver may have been dropped just now.
        let _ = entry.answer.send(Ok(RawReply { bytes: bytes.to_vec(), truncated }));
        if table.state == SocketState::Unproven {
            table.state = SocketState::Open;
        }
        self.update(&mut table);
    }

    /// On a connection an unexpected message is a protocol error. Datagrams may come from anywhere: it takes many of
    /// them.
    fn on_unrelated(&self, table: &mut InFlightTable, id: Option<u16>) {
        if let Some(late) = table.abandoned.iter().position(|abandoned| Some(*abandoned) == id) {
            table.abandoned.swap_remove(late);
            return;
        }
        table.unrelated += 1;
        let most = match self.kind {
            TransportKind::Udp => MAX_UNRELATED,
            TransportKind::Tcp => 1,
        };
        if table.unrelated >= most {
            self.end(table, TransportError::Malformed);
        }
    }

    /// Takes no more queries; those in flight may still be answered.
    pub(super) fn retire(&self) {
        let mut table = self.table();
        if table.state != SocketState::Closed {
            table.state = SocketState::Retired;
        }
        self.update(&mut table);
    }

    /// Closes the socket at once: the queries in flight fail.
    pub(super) fn close(&self, error: TransportError) {
        self.end(&mut self.table(), error);
    }

    fn end(&self, table: &mut InFlightTable, error: TransportError) {
        table.state = SocketState::Closed;
        for entry in table.entries.drain(..) {
            let error = if entry.best_error == TransportError::Timeout { error } else { entry.best_error };
            let _ = entry.answer.send(Err(error));
        }
        self.update(table);
    }

    /// Closes the socket when no query is in flight.
    pub(super) fn close_if_idle(&self) -> bool {
        let mut table = self.table();
        let idle = table.counted_idle;
        if idle {
            self.end(&mut table, TransportError::Internal);
        }
        idle
    }

    /// Whether there is nothing left to read for.
    pub(super) fn is_over(&self) -> bool {
        self.table().state == SocketState::Closed
    }

    fn abandon(&self, id: u16) -> TransportError {
        let mut table = self.table();
        let Some(at) = table.entries.iter().position(|entry| entry.id == id) else {
            return TransportError::Timeout;
        };
        let entry = table.entries.swap_remove(at);
        table.abandoned.push(id);
        // After one time-out the connection takes no more queries.
        if self.kind == TransportKind::Tcp && table.state != SocketState::Closed {
            table.state = SocketState::Retired;
        }
        self.update(&mut table);
        entry.best_error
    }

    /// Updates the state after a change: closes a socket that is retired and empty, or idle while others wait for a
    /// socket.
    fn update(&self, table: &mut InFlightTable) {
        let done = table.entries.is_empty() && table.total > 0;
        if done
            && table.state != SocketState::Closed
            && (table.state != SocketState::Open || self.limit.is_at_limit())
        {
            table.state = SocketState::Closed;
        }
        let idle = done && table.state == SocketState::Open;
        if idle != table.counted_idle {
            table.counted_idle = idle;
            if idle {
                self.limit.idle().fetch_add(1, Ordering::Relaxed);
            } else {
                self.limit.idle().fetch_sub(1, Ordering::Relaxed);
            }
        }
        if table.state == SocketState::Closed {
            self.changed.notify_one();
        }
    }
}

impl PendingReply {
    /// The reply, or why there is none until then.
    pub(super) async fn answer(mut self, until: Instant) -> Result<RawReply, TransportError> {
        match timeout_at(until, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            // The reader ended with its runtime.
            Ok(Err(_)) => Err(TransportError::Internal),
            Err(_) => Err(self.in_flight.abandon(self.id)),
        }
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.in_flight.abandon(self.id);
    }
}
