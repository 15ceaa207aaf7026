//! Trace context across processes: which spans become children, and which only get a link.
//!
//! A trace covers a request and the work that follows it at once. Later work begins a trace of its own and links to the
//! trace that caused it. Without a tracer, these functions have no effect.
#![deny(missing_docs)]

mod messaging;
mod span;

pub use messaging::{MessageAttributes, publish_span, set_process_attributes, set_publish_attributes};
pub use span::{
    MAX_PARENT_AGE, add_links, context_of, is_recording, set_attribute, set_error, set_parent,
    set_parent_or_link,
};
