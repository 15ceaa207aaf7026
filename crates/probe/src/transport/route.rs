//! Where a query goes, how long it may take, and what comes back.
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::error::TransportError;

/// How long a socket takes queries.
pub(super) const SOCKET_LIFETIME: Duration = Duration::from_secs(2);

/// The transports to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TransportKind {
    Udp,
    Tcp,
}

/// Queries in flight per socket. On a connection, the queries behind a slow one wait with it.
pub(super) const MAX_IN_FLIGHT: usize = 16;

impl TransportKind {
    /// The value of the metrics' label `transport`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// Queries over one socket in its lifetime.
    pub(super) fn max_queries(self) -> usize {
        match self {
            Self::Udp => 256,
            Self::Tcp => 1024,
        }
    }
}

/// The destination of a query.
pub(super) type Route = (SocketAddr, TransportKind);

/// How long to wait for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitLimits {
    /// From the moment a socket is free.
    pub(crate) longest: Duration,
    /// When the whole probe ends.
    pub(crate) end: Instant,
}

impl WaitLimits {
    pub(super) fn until(self) -> Instant {
        (Instant::now() + self.longest).min(self.end)
    }
}

/// Pays for sending a query a second time, after this error of the first; false where the budget is spent.
pub(crate) type PayRetry<'a> = &'a (dyn Fn(TransportError) -> bool + Sync);

/// A recognised reply, not yet parsed.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
}
