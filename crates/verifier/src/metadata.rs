//! What the events that result from a piece of work say about their cause.
use deed_messages::VerificationWork;
use deed_store::Metadata;

/// The longest request id that is kept with an event.
const MAX_REQUEST_ID: usize = 255;

/// The metadata of the events that result from a piece of work.
pub(crate) fn metadata(work: &VerificationWork) -> Metadata {
    let trace = work.trace.as_ref();
    Metadata {
        request_id: request_id(work).map(str::to_owned),
        actor: Some("verifier".to_owned()),
        traceparent: trace.map(|trace| trace.traceparent().to_owned()),
        tracestate: trace.and_then(|trace| trace.tracestate()).map(str::to_owned),
    }
}

/// The request id of the events that result from a piece of work: the id of its message.
pub(crate) fn request_id(work: &VerificationWork) -> Option<&str> {
    Some(&*work.message_id).filter(|id| id.len() <= MAX_REQUEST_ID)
}
