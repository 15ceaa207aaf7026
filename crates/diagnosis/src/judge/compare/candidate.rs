//! A value from the DNS in the forms that comparing needs, computed once per value: a set may have thousands of values.
use crate::characters::{ALL, characters, fold, is_quote, is_space};

/// A value to compare with the expected one.
#[derive(Debug)]
pub(crate) struct Candidate<'v> {
    pub value: &'v [u8],
    /// Its characters.
    pub chars: Vec<char>,
    /// The characters without quotation marks and white space, in lower case.
    pub folded: Vec<char>,
}

impl<'v> Candidate<'v> {
    pub fn of(value: &'v [u8]) -> Self {
        let chars = characters(value);
        let folded = fold(&chars, ALL);
        Self { value, chars, folded }
    }

    /// Whether it equals a folded text, apart from quotation marks, white space and case.
    pub fn equals_folded(&self, folded: &[char]) -> bool {
        self.folded == folded
    }

    /// The number of quotation marks in it.
    pub(super) fn quote_count(&self) -> usize {
        self.chars.iter().filter(|c| is_quote(**c)).count()
    }

    /// The first quotation mark in it.
    pub(super) fn first_quote(&self) -> Option<char> {
        self.chars.iter().copied().find(|c| is_quote(*c))
    }

    /// The white space at a position, counted from 0.
    pub(super) fn space_at(&self, at: usize) -> Option<char> {
        self.chars.get(at).copied().filter(|c| is_space(*c))
    }
}
