//! Errors of the RabbitMQ backend, and the deadline for every call to the broker.

use std::time::Duration;

use crate::BusError;

/// How long the broker may take to answer any call that is not a publish.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Failures for which the client library has no error.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("the broker is not connected")]
    NotConnected,
    #[error("the broker did not answer in time")]
    Timeout,
    #[error("the broker is short of memory or disk space, and takes no messages")]
    Blocked,
    #[error("the connection that the message came through is gone; the broker delivers it again")]
    DeliveryLost,
    #[error("{0} bytes are too long for a name in AMQP")]
    NameTooLong(usize),
    #[error("the dead letter could not be published: {0}")]
    DeadLetterNotPublished(&'static str),
    #[error("the {kind} {name:?} exists with other settings than are wanted: {detail}")]
    Conflict { kind: &'static str, name: String, detail: String },
}

impl From<BrokerError> for BusError {
    fn from(error: BrokerError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

pub(super) fn unavailable(error: lapin::Error) -> BusError {
    BusError::Unavailable(Box::new(error))
}

/// Waits for the broker's reply, at most [`REPLY_TIMEOUT`].
pub(super) async fn within_deadline<T>(reply: impl Future<Output = lapin::Result<T>>) -> Result<T, BusError> {
    match tokio::time::timeout(REPLY_TIMEOUT, reply).await {
        Ok(reply) => reply.map_err(unavailable),
        Err(_) => Err(BrokerError::Timeout.into()),
    }
}
