//! Sentences for tenants: the only place that has any. The log keeps what they are made of, phrases with named
//! parameters, and they are rendered when somebody reads them.
mod ede;
mod filters;
mod phrase;
mod render;
mod sentences;

pub(crate) use filters::code_point;
pub(crate) use phrase::{Parameters, say};
pub use phrase::{Phrase, PhraseList};
pub(crate) use render::{render, render_item};
