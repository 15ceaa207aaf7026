//! What can go wrong with the bus itself, as opposed to one message.

/// The bus could not do what was asked. What was in flight may or may not have arrived, so do it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The bus has been closed; it does not come back.
    #[error("the bus is closed")]
    Closed,
    /// The topology declares no queue of this name.
    #[error("there is no queue {0:?}")]
    UnknownQueue(String),
    /// A queue had no room until the deadline.
    #[error("the queue {0:?} is full")]
    Full(String),
    /// The broker's address is no use. It holds a password, so this does not repeat it.
    #[error("the broker's address cannot be used: {0}")]
    Address(&'static str),
    /// The broker cannot be reached or failed; it may come back.
    #[error("the broker is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
