//! Errors of starting and running the sandbox, and of invalid changes.

use std::io;
use std::net::SocketAddr;

/// The sandbox could not start, or one of its tasks ended too early.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The DNS port (UDP and TCP on the same number) could not be opened.
    #[error("cannot listen for DNS queries on {address}")]
    BindDns {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The control port could not be opened.
    #[error("cannot listen for control requests on {address}")]
    BindControl {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// A socket failed while the sandbox was running.
    #[error("the {task} task stopped")]
    Socket {
        task: &'static str,
        #[source]
        source: io::Error,
    },
    /// A task panicked.
    #[error("a sandbox task panicked")]
    TaskDied(#[source] tokio::task::JoinError),
}

/// A change that was refused, and the field that is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidInput {
    /// The invalid field of the request: `name`, `values[1]`, `ttl` …
    pub field: String,
    /// What is wrong with it, as a sentence fragment.
    pub problem: String,
}

impl InvalidInput {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}
