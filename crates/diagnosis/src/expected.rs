//! The record that has to be found.

/// The TXT record that a check looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedRecord<'a> {
    /// The owner name of the record, in lower-case ASCII without the trailing dot.
    pub name: &'a str,
    /// The whole value, which is compared byte for byte.
    pub value: &'a str,
    /// The random part of the value, by which near matches are recognised.
    pub token: &'a str,
}
