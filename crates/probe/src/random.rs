//! Unpredictable bits, straight from the operating system, fetched some at a time: a call for each question would be
//! the dearest part of writing it.
use std::cell::RefCell;

/// Bytes fetched at once; more would be known longer before they are used.
const BLOCK: usize = 256;

thread_local! {
    static LEFT: RefCell<Left> = const { RefCell::new(Left { bytes: [0; BLOCK], used: BLOCK }) };
}

struct Left {
    bytes: [u8; BLOCK],
    used: usize,
}

impl Left {
    #[expect(clippy::disallowed_methods, reason = "whoever could choose it could forge answers")]
    fn refill(&mut self) -> Result<(), getrandom::Error> {
        getrandom::fill(&mut self.bytes)?;
        self.used = 0;
        Ok(())
    }
}

/// An id for a question (RFC 5452 §9.2).
pub(crate) fn id() -> Result<u16, getrandom::Error> {
    take().map(u16::from_be_bytes)
}

/// As many bits as fit.
pub(crate) fn bits() -> Result<u64, getrandom::Error> {
    take().map(u64::from_be_bytes)
}

/// Bytes that are given out once.
fn take<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    LEFT.with_borrow_mut(|left| {
        if left.used + N > BLOCK {
            left.refill()?;
        }
        let mut taken = [0; N];
        taken.swap_with_slice(&mut left.bytes[left.used..left.used + N]);
        left.used += N;
        Ok(taken)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bits_are_given_out_twice() {
        let seen: HashSet<u64> = (0..10 * BLOCK).map(|_| bits().unwrap()).collect();
        assert_eq!(seen.len(), 10 * BLOCK);
        assert!((0..64).any(|_| id().unwrap() != 0));
    }
}
