//! What goes wrong with a broker, and the deadline that everything asked of it has.

use std::time::Duration;

use crate::BusError;

/// How long the broker may take to answer anything that is not a publish.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// What the client library has no error for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the broker is not connected")]
    NotConnected,
    #[error("the broker did not answer in time")]
    Silent,
    #[error("the broker is short of memory or disk space, and takes no messages")]
    Blocked,
    #[error("the connection that the message came through is gone; the broker delivers it again")]
    DeliveryLost,
    #[error("{0} bytes are too long for a name in AMQP")]
    TooLong(usize),
    #[error("the dead letter could not be put away: {0}")]
    NotBuried(&'static str),
    #[error("the {kind} {name:?} exists with other settings than are wanted: {detail}")]
    Conflict { kind: &'static str, name: String, detail: String },
}

impl From<Trouble> for BusError {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable(Box::new(trouble))
    }
}

pub(super) fn unavailable(error: lapin::Error) -> BusError {
    BusError::Unavailable(Box::new(error))
}

/// Waits for the broker's answer, and no longer than it may take.
pub(super) async fn within<T>(answer: impl Future<Output = lapin::Result<T>>) -> Result<T, BusError> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer.map_err(unavailable),
        Err(_) => Err(Trouble::Silent.into()),
    }
}
