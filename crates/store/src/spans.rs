//! Spans around calls to a store: a trace shows all backends alike.
//!
//! They belong to the trace of a request or a batch. They have the level `DEBUG`, so they are made for traces only.
use tracing::{Instrument, Span, debug_span, field::Empty};

use crate::{AppendError, LeaseError, Unavailable};

/// An error whose kind is recorded in a span.
pub(crate) trait ErrorKind {
    /// The value of `error.type`, one of few.
    fn kind(&self) -> &'static str;
}

impl ErrorKind for Unavailable {
    fn kind(&self) -> &'static str {
        "unavailable"
    }
}

impl ErrorKind for AppendError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::Unavailable(error) => error.kind(),
        }
    }
}

impl ErrorKind for LeaseError {
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
        pub(crate) async fn $name<T, E: ErrorKind>(
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
    /// A write to the log, time in the batcher's queue included.
    trace_append = "log.append", "append";
    /// A read of a stream.
    trace_read_stream = "stream.read", "read_stream";
    /// A write to the read models.
    trace_apply = "models.apply", "apply";
}

async fn within<T, E: ErrorKind>(span: Span, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let done = call.instrument(span.clone()).await;
    if let Err(error) = &done {
        span.record("error.type", error.kind());
        span.record("otel.status_code", "ERROR");
    }
    done
}

/// Records in the span of a call how many calls its batch had.
pub(crate) fn record_batch_size(span: &Span, calls: usize) {
    if calls > 1 {
        span.record("db.operation.batch.size", calls);
    }
}
