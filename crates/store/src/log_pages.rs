//! Reads a long range of the log in pages, with read-ahead.
use futures::{Stream, StreamExt, stream};

use crate::{EventStore, Position, RecordedEvent, Unavailable};

/// Pages that are read concurrently.
const AHEAD: usize = 2;

/// Events are missing in what was read; moving the checkpoint past them would lose them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Gap {
    /// Positions are not consecutive.
    #[error("position {found} was read where {expected} was to come")]
    At {
        /// The next position.
        expected: Position,
        /// The position that was read.
        found: Position,
    },
    /// The log ended early.
    #[error("the log ended at {found} where {expected} was to come")]
    Short {
        /// The last position that was requested.
        expected: Position,
        /// The last position that was read.
        found: Position,
    },
}

/// Fails unless events directly follow a position, without a gap.
pub(crate) fn check_contiguous(from: Position, events: &[RecordedEvent]) -> Result<(), Gap> {
    let gap = (from.0 + 1..).zip(events).find(|(expected, event)| event.position.0 != *expected);
    gap.map_or(Ok(()), |(expected, event)| {
        Err(Gap::At { expected: Position(expected), found: event.position })
    })
}

/// The events after one position and up to another, which the log must contain, in order and in pages. Positions have no
/// gaps, so the start of each page is known in advance, and two pages are read concurrently.
///
/// A page is an error when the store does not answer, or when events are missing.
pub fn log_pages(
    store: &dyn EventStore,
    after: Position,
    end: Position,
    page: usize,
) -> impl Stream<Item = Result<Vec<RecordedEvent>, Unavailable>> + Send {
    let page = page.max(1);
    let starts = (after.0..end.0).step_by(page);
    let pages = starts.map(move |start| {
        let left = usize::try_from(end.0 - start).unwrap_or(usize::MAX);
        read(store, Position(start), page.min(left))
    });
    stream::iter(pages).buffered(AHEAD)
}

async fn read(
    store: &dyn EventStore,
    from: Position,
    count: usize,
) -> Result<Vec<RecordedEvent>, Unavailable> {
    const OPERATION: &str = "read the log";
    let events = store.read_log(from, count).await?;
    check_contiguous(from, &events).map_err(|gap| Unavailable::new(OPERATION, gap))?;
    if events.len() < count {
        let expected = Position(from.0.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
        let found = events.last().map_or(from, |event| event.position);
        return Err(Unavailable::new(OPERATION, Gap::Short { expected, found }));
    }
    Ok(events)
}
