//! Values in columns: numbers as signed integers, JSON as text.
pub(crate) use deed_store::rows::{Decoder, to_i64};
