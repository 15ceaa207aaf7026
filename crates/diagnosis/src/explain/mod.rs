//! Sentences for tenants, all in this module. The log keeps phrases with named parameters, which are rendered on
//! reading.
mod ede;
mod filters;
mod phrase;
mod render;
mod sentences;

pub(crate) use filters::code_point;
pub(crate) use phrase::{Parameters, say};
pub use phrase::{Phrase, PhraseList};
pub(crate) use render::render;
