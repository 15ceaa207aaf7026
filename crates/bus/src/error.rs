//! Errors of the bus itself, as opposed to outcomes of one message.

/// A call to the bus failed. Messages in flight may or may not have arrived, so call again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The bus has been closed, for good.
    #[error("the bus is closed")]
    Closed,
    /// The topology declares no queue of this name.
    #[error("there is no queue {0:?}")]
    UnknownQueue(String),
    /// A queue had no room until the deadline.
    #[error("the queue {0:?} is full")]
    Full(String),
    /// The broker's address is invalid. It holds a password, so this does not repeat it.
    #[error("the broker's address cannot be used: {0}")]
    Address(&'static str),
    /// The broker failed or cannot be reached; it may recover.
    #[error("the broker is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
