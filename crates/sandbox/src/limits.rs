//! Limits that clients can reach.
use std::time::Duration;

/// Limits that clients can reach.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a TCP connection may be idle, or take for one message.
    pub tcp_idle: Duration,
    /// TCP connections open at the same time.
    pub tcp_connections: usize,
    /// Queries kept in the query log.
    pub query_log: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tcp_idle: Duration::from_secs(10), tcp_connections: 256, query_log: 4096 }
    }
}
