//! Rows that a rebuild wrote a short while ago: it does not read back what it knows.
use std::{collections::HashMap, mem};

use deed_claims::StreamId;
use deed_store::{AppRow, Changes, OwnershipRow};

/// Rows of one table in a generation; two of them are kept.
const GENERATION: usize = 10_000;

/// The newest rows. What is in the batch that is being written is among them, so that the next one can be folded
/// meanwhile.
#[derive(Default)]
pub(crate) struct Recent {
    pub(crate) ownerships: Rows<OwnershipRow>,
    pub(crate) apps: Rows<AppRow>,
}

impl Recent {
    /// Keeps the rows of a batch, at least until those of the next batch are kept.
    pub(crate) fn keep(&mut self, changes: &Changes) {
        self.ownerships.keep(changes.ownerships.iter().map(|row| (&row.stream, row)));
        self.apps.keep(changes.apps.iter().map(|row| (&row.stream, row)));
    }
}

/// The newest rows of one table, in two generations: when the young one is large enough, the old one is forgotten.
pub(crate) struct Rows<R> {
    young: HashMap<StreamId, R>,
    old: HashMap<StreamId, R>,
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<R: Clone> Rows<R> {
    /// The rows of these streams that are here; the streams of the others are left.
    pub(crate) fn find(&self, streams: &mut Vec<StreamId>) -> Vec<R> {
        let row = |stream: &StreamId| self.young.get(stream).or_else(|| self.old.get(stream));
        let found = streams.iter().filter_map(row).cloned().collect();
        streams.retain(|stream| row(stream).is_none());
        found
    }

    fn keep<'a>(&mut self, rows: impl Iterator<Item = (&'a StreamId, &'a R)>)
    where
        R: 'a,
    {
        self.young.extend(rows.map(|(stream, row)| (stream.clone(), row.clone())));
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apex;

    fn keep(rows: &mut Rows<u32>, batch: impl IntoIterator<Item = (u32, u32)>) {
        let batch: Vec<_> = batch.into_iter().map(|(n, row)| (apex(&format!("n{n}.com")), row)).collect();
        rows.keep(batch.iter().map(|(stream, row)| (stream, row)));
    }

    #[test]
    fn the_newest_row_of_each_stream_is_found_and_the_oldest_are_forgotten() {
        let generation = u32::try_from(GENERATION).unwrap();
        let mut rows = Rows::default();
        keep(&mut rows, [(1, 10), (2, 20)]);
        keep(&mut rows, (100..100 + generation).map(|n| (n, n)));
        keep(&mut rows, [(1, 11)]);
        let mut streams = [1, 2, 3].map(|n| apex(&format!("n{n}.com"))).to_vec();
        assert_eq!(rows.find(&mut streams), [11, 20]);
        assert_eq!(streams, [apex("n3.com")]);

        keep(&mut rows, (200_000..200_000 + generation).map(|n| (n, n)));
        let mut streams = [1, 2].map(|n| apex(&format!("n{n}.com"))).to_vec();
        assert_eq!(rows.find(&mut streams), [11]);
        assert_eq!(streams, [apex("n2.com")]);
        assert!(rows.young.len() + rows.old.len() <= 2 * GENERATION + 2);
    }
}
