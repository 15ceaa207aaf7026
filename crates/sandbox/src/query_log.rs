//! The log of the last queries, for tests and for `GET /queries`.

use std::collections::VecDeque;

use crate::control::types::QueryView;

/// A ring of the latest queries, numbered from 1.
#[derive(Debug)]
pub(crate) struct QueryLog {
    capacity: usize,
    last: u64,
    entries: VecDeque<QueryView>,
}

impl QueryLog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, last: 0, entries: VecDeque::new() }
    }

    /// Logs the query under the next number, which it returns.
    pub(crate) fn push(&mut self, mut entry: QueryView) -> u64 {
        self.last += 1;
        entry.seq = self.last;
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.last
    }

    /// Queries numbered above `after`, and for `name` if one is given, oldest first.
    pub(crate) fn list(&self, name: Option<&str>, after: u64) -> Vec<QueryView> {
        let wanted = |entry: &&QueryView| {
            entry.seq > after
                && name.is_none_or(|name| entry.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name)))
        };
        self.entries.iter().filter(wanted).cloned().collect()
    }

    /// Removes the queries; the numbering continues.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::Transport;

    fn entry(name: &str) -> QueryView {
        QueryView {
            seq: 0,
            transport: Transport::Udp,
            name: Some(name.to_owned()),
            kind: None,
            rcode: None,
            fault: None,
        }
    }

    #[test]
    fn drops_oldest_and_keeps_numbering() {
        let mut log = QueryLog::new(2);
        for name in ["a.x", "B.x", "c.x"] {
            log.push(entry(name));
        }
        assert_eq!(log.list(None, 0).iter().map(|e| e.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(log.list(Some("b.X"), 0).len(), 1);
        assert_eq!(log.list(Some("b.x"), 2).len(), 0);
        log.clear();
        assert_eq!(log.push(entry("d.x")), 4);
    }
}
