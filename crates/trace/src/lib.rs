//! Ties what one process does to what another did before it: which span is a child, which only has a link.
//!
//! A trace is what somebody waits for: a request, and what follows at once from it. What happens later begins a trace of
//! its own and links to the one that caused it. Without a tracer nothing here does anything.
#![deny(missing_docs)]

mod context;
mod exemplars;
mod message;
mod span;

pub use context::TraceContext;
pub use exemplars::{Exemplar, Exemplars};
pub use message::{Message, processed, publication, published};
pub use span::{SAME_TRACE, attribute, failed, follow, is_kept, links, parent};
