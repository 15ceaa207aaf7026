//! Reading a long stretch of the log: a page is asked for before the one in front of it has arrived.
use futures::{Stream, StreamExt, stream};

use crate::{EventStore, Position, RecordedEvent, Unavailable};

/// Pages that are read at the same time.
const AHEAD: usize = 2;

/// What was read is not what lies in the log: it would be lost if anybody moved on over it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Gap {
    /// A hole.
    #[error("position {found} was read where {expected} was to come")]
    At {
        /// What follows what was read before.
        expected: Position,
        /// What was read.
        found: Position,
    },
    /// The end is missing.
    #[error("the log ended at {found} where {expected} was to come")]
    Short {
        /// The last position that was asked for.
        expected: Position,
        /// The last that was read.
        found: Position,
    },
}

/// Whether events are those that follow a position.
pub(crate) fn without_gap(from: Position, events: &[RecordedEvent]) -> Result<(), Gap> {
    let wrong = (from.0 + 1..).zip(events).find(|(expected, event)| event.position.0 != *expected);
    wrong.map_or(Ok(()), |(expected, event)| {
        Err(Gap::At { expected: Position(expected), found: event.position })
    })
}

/// The events after one position and up to another, where the log has to reach, in order and page by page. Positions have
/// no gaps, so it is known where a page begins before the one in front of it has been read, and two are read at a time.
///
/// A page is an error when the store does not answer, or answers with something else than was asked for.
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
    const WHAT: &str = "read the log";
    let events = store.read_log(from, count).await?;
    without_gap(from, &events).map_err(|gap| Unavailable::new(WHAT, gap))?;
    if events.len() < count {
        let expected = Position(from.0.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
        let found = events.last().map_or(from, |event| event.position);
        return Err(Unavailable::new(WHAT, Gap::Short { expected, found }));
    }
    Ok(events)
}
