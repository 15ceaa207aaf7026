//! Spans of what is asked of a store: for backends, so that all are seen alike in a trace.
//!
//! They are parts of a request's or a batch's trace. Of debugging level, so that they are made for traces only.
use tracing::{Instrument, Span, debug_span, field::Empty};

use crate::{AppendError, LeaseError, Unavailable};

/// An error in the word of a trace.
pub trait Failing {
    /// One of few words.
    fn kind(&self) -> &'static str;
}

impl Failing for Unavailable {
    fn kind(&self) -> &'static str {
        "unavailable"
    }
}

impl Failing for AppendError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::Unavailable(error) => error.kind(),
        }
    }
}

impl Failing for LeaseError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unavailable(error) => error.kind(),
        }
    }
}

macro_rules! spans {
    ($($(#[doc = $doc:literal])+ $name:ident = $span:literal, $operation:literal;)*) => {$(
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// Those of `call`.
        pub async fn $name<T, E: Failing>(
            system: &'static str,
            call: impl Future<Output = Result<T, E>>,
        ) -> Result<T, E> {
            let span = debug_span!(
                $span,
                otel.kind = "client",
                db.system.name = system,
                db.operation.name = $operation,
                db.operation.batch.size = Empty,
                error.type = Empty,
                otel.status_code = Empty
            );
            within(span, call).await
        }
    )*};
}

spans! {
    /// Writes to the log, waiting for others to write with included.
    appending = "log.append", "append";
    /// Reads a stream.
    reading = "stream.read", "read_stream";
    /// Writes rows of the read models.
    applying = "models.apply", "apply";
}

async fn within<T, E: Failing>(span: Span, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let done = call.instrument(span.clone()).await;
    if let Err(error) = &done {
        span.record("error.type", error.kind());
        span.record("otel.status_code", "ERROR");
    }
    done
}

/// Tells the span of a call how many were written, or read, together.
pub(crate) fn gathered(span: &Span, calls: usize) {
    if calls > 1 {
        span.record("db.operation.batch.size", calls);
    }
}
