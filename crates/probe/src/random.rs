//! Random bits from the operating system, fetched in blocks: one system call per query would be the most expensive
//! part of encoding it.
use std::cell::RefCell;

/// Bytes fetched at once; a larger block would exist longer before it is used.
const BLOCK: usize = 256;

thread_local! {
    static BLOCK_LEFT: RefCell<RandomBlock> = const { RefCell::new(RandomBlock { bytes: [0; BLOCK], used: BLOCK }) };
}

struct RandomBlock {
    bytes: [u8; BLOCK],
    used: usize,
}

impl RandomBlock {
    #[expect(clippy::disallowed_methods, reason = "whoever could choose it could forge answers")]
    fn refill(&mut self) -> Result<(), getrandom::Error> {
        getrandom::fill(&mut self.bytes)?;
        self.used = 0;
        Ok(())
    }
}

/// A query id (RFC 5452 §9.2).
pub(crate) fn id() -> Result<u16, getrandom::Error> {
    take().map(u16::from_be_bytes)
}

/// 64 random bits.
pub(crate) fn bits() -> Result<u64, getrandom::Error> {
    take().map(u64::from_be_bytes)
}

/// Takes bytes from the block; each is handed out once.
fn take<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    BLOCK_LEFT.with_borrow_mut(|left| {
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
    fn hands_out_no_bits_twice() {
        let seen: HashSet<u64> = (0..10 * BLOCK).map(|_| bits().unwrap()).collect();
        assert_eq!(seen.len(), 10 * BLOCK);
        assert!((0..64).any(|_| id().unwrap() != 0));
    }
}
