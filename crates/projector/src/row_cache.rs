//! A cache of the rows that a rebuild wrote last, so that it does not read its own writes back from the store.
use std::{collections::HashMap, mem};

use deed_claims::StreamId;
use deed_store::{AppRow, Changes, OwnershipRow};

/// Rows of one table in a generation; the cache keeps two generations.
const GENERATION: usize = 10_000;

/// The rows written last. They include those of the batch that is being written, so that the next batch can be folded
/// meanwhile.
#[derive(Default)]
pub(crate) struct RowCache {
    pub(crate) ownerships: TableCache<OwnershipRow>,
    pub(crate) apps: TableCache<AppRow>,
}

impl RowCache {
    /// Keeps the rows of a batch, at least until the rows of the next batch are inserted.
    pub(crate) fn insert(&mut self, changes: &Changes) {
        self.ownerships.insert(changes.ownerships.iter().map(|row| (&row.stream, row)));
        self.apps.insert(changes.apps.iter().map(|row| (&row.stream, row)));
    }
}

/// The newest rows of one table, in two generations: a full young generation replaces the old one.
pub(crate) struct TableCache<R> {
    young: HashMap<StreamId, R>,
    old: HashMap<StreamId, R>,
}

impl<R> Default for TableCache<R> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<R: Clone> TableCache<R> {
    /// Returns the cached rows of these streams and removes their streams from the list; the misses stay in it.
    pub(crate) fn take_hits(&self, streams: &mut Vec<StreamId>) -> Vec<R> {
        let row = |stream: &StreamId| self.young.get(stream).or_else(|| self.old.get(stream));
        let hits = streams.iter().filter_map(row).cloned().collect();
        streams.retain(|stream| row(stream).is_none());
        hits
    }

    fn insert<'a>(&mut self, rows: impl Iterator<Item = (&'a StreamId, &'a R)>)
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

    fn insert(rows: &mut TableCache<u32>, batch: impl IntoIterator<Item = (u32, u32)>) {
        let batch: Vec<_> = batch.into_iter().map(|(n, row)| (apex(&format!("n{n}.com")), row)).collect();
        rows.insert(batch.iter().map(|(stream, row)| (stream, row)));
    }

    #[test]
    fn keeps_newest_rows_and_evicts_oldest() {
        let generation = u32::try_from(GENERATION).unwrap();
        let mut rows = TableCache::default();
        insert(&mut rows, [(1, 10), (2, 20)]);
        insert(&mut rows, (100..100 + generation).map(|n| (n, n)));
        insert(&mut rows, [(1, 11)]);
        let mut streams = [1, 2, 3].map(|n| apex(&format!("n{n}.com"))).to_vec();
        assert_eq!(rows.take_hits(&mut streams), [11, 20]);
        assert_eq!(streams, [apex("n3.com")]);

        insert(&mut rows, (200_000..200_000 + generation).map(|n| (n, n)));
        let mut streams = [1, 2].map(|n| apex(&format!("n{n}.com"))).to_vec();
        assert_eq!(rows.take_hits(&mut streams), [11]);
        assert_eq!(streams, [apex("n2.com")]);
        assert!(rows.young.len() + rows.old.len() <= 2 * GENERATION + 2);
    }
}
