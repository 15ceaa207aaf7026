//! A value that stands in the DNS, in the forms that comparing needs. They are made once for each value: a set may have
//! thousands of them.
use super::characters::{ANY, characters, fold, is_quote, is_space};

/// A value to compare.
#[derive(Debug)]
pub(in crate::judge) struct Sample<'v> {
    pub value: &'v [u8],
    /// Its characters.
    pub whole: Vec<char>,
    /// Those that are left without marks, white space and capital letters.
    pub bare: Vec<char>,
}

impl<'v> Sample<'v> {
    pub fn of(value: &'v [u8]) -> Self {
        let whole = characters(value);
        let bare = fold(&whole, ANY);
        Self { value, whole, bare }
    }

    /// Whether it is the same as a bare text apart from marks, white space and capital letters.
    pub fn is_but_form(&self, bare: &[char]) -> bool {
        self.bare == bare
    }

    /// How many marks are in it.
    pub(super) fn marks(&self) -> usize {
        self.whole.iter().filter(|c| is_quote(**c)).count()
    }

    /// The first mark in it.
    pub(super) fn first_mark(&self) -> Option<char> {
        self.whole.iter().copied().find(|c| is_quote(*c))
    }

    /// White space at a place, counted from 0.
    pub(super) fn space_at(&self, at: usize) -> Option<char> {
        self.whole.get(at).copied().filter(|c| is_space(*c))
    }
}
