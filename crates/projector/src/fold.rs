//! Folds events into rows: a pure function of the present rows and the events, which skips events already folded.
use std::collections::BTreeMap;

use chrono::Duration;
use deed_claims::app::App;
use deed_claims::{Event, Ownership, StreamId, StreamKind};
use deed_store::{AppRow, Changes, ClaimRow, DueRow, OwnershipRow, Position, RecordedEvent, Version};

use crate::lifecycle_counter::LifecycleCounter;

/// A gap between the folded events of a stream and the next event; folding over it would make a wrong state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream} goes on at version {found}, but {folded} events of it are folded")]
pub struct FoldError {
    /// The stream.
    pub stream: StreamId,
    /// How many of its events are folded.
    pub folded: Version,
    /// The version of the next event.
    pub found: Version,
}

/// The events of one batch by stream, in order within each stream; events of slugs make no rows.
pub(crate) struct EventsByStream<'a> {
    /// The position before the batch.
    from: Position,
    ownerships: Streams<'a>,
    apps: Streams<'a>,
}

type Streams<'a> = BTreeMap<&'a StreamId, Vec<&'a RecordedEvent>>;

impl<'a> EventsByStream<'a> {
    pub(crate) fn group(from: Position, events: &'a [RecordedEvent]) -> Self {
        let mut grouped = Self { from, ownerships: BTreeMap::new(), apps: BTreeMap::new() };
        for event in events {
            let streams = match event.stream.kind() {
                StreamKind::Apex | StreamKind::Host => &mut grouped.ownerships,
                StreamKind::App => &mut grouped.apps,
                StreamKind::Slug => continue,
            };
            streams.entry(&event.stream).or_default().push(event);
        }
        grouped
    }

    /// The streams of names that may have a row.
    pub(crate) fn existing_ownerships(&self) -> Vec<StreamId> {
        self.existing(&self.ownerships)
    }

    /// The streams of apps that may have a row.
    pub(crate) fn existing_apps(&self) -> Vec<StreamId> {
        self.existing(&self.apps)
    }

    /// All streams but those that begin in the batch, which have no row yet.
    fn existing(&self, streams: &Streams<'_>) -> Vec<StreamId> {
        let begins = |events: &[&RecordedEvent]| {
            events.first().is_some_and(|first| first.version == Version(1) && first.position > self.from)
        };
        let existing = streams.iter().filter(|(_, events)| !begins(events));
        existing.map(|(stream, _)| StreamId::clone(stream)).collect()
    }

    /// The changes that the events make to the given rows of their streams. Work whose event is published as a message
    /// falls due `visibility` later; lifecycle events are put into `counter`.
    pub(crate) fn fold(
        self,
        ownerships: Vec<OwnershipRow>,
        apps: Vec<AppRow>,
        visibility: Duration,
        mut counter: Option<&mut LifecycleCounter>,
    ) -> Result<Changes, FoldError> {
        let mut changes = Changes::default();
        let mut rows: BTreeMap<StreamId, OwnershipRow> =
            ownerships.into_iter().map(|row| (row.stream.clone(), row)).collect();
        for (stream, events) in self.ownerships {
            let row = rows.remove(stream);
            let folded = row.as_ref().map_or(Version(0), |row| row.version);
            if row.is_none() {
                changes.new_streams.insert(stream.clone());
            }
            let state = row.map(|row| row.state).unwrap_or_default();
            let evolve =
                |state, event: &RecordedEvent| evolve_ownership(state, event, counter.as_deref_mut());
            let (version, state) = fold_stream(stream, folded, state, &events, evolve)?;
            if version > folded {
                let row = OwnershipRow { stream: stream.clone(), version, state };
                project_rows(&mut changes, row, visibility);
            }
        }
        let mut rows: BTreeMap<StreamId, AppRow> =
            apps.into_iter().map(|row| (row.stream.clone(), row)).collect();
        for (stream, events) in self.apps {
            let row = rows.remove(stream);
            let folded = row.as_ref().map_or(Version(0), |row| row.version);
            let (version, app) = fold_stream(stream, folded, row.map(|row| row.app), &events, evolve_app)?;
            if let Some(app) = app.filter(|_| version > folded) {
                changes.apps.push(AppRow { stream: stream.clone(), version, app });
            }
        }
        Ok(changes)
    }
}

fn evolve_ownership(
    state: Ownership,
    recorded: &RecordedEvent,
    counter: Option<&mut LifecycleCounter>,
) -> Ownership {
    match (&recorded.event, counter) {
        (Event::Ownership(event), Some(counter)) => counter.evolve(state, recorded.position, event),
        (Event::Ownership(event), None) => state.evolve(event),
        (Event::App(_), _) => state,
    }
}

fn evolve_app(state: Option<App>, recorded: &RecordedEvent) -> Option<App> {
    match &recorded.event {
        Event::App(event) => App::evolve(state, event),
        Event::Ownership(_) => state,
    }
}

/// Folds the new events into a stream's state, in which `folded` events are folded already.
fn fold_stream<S>(
    stream: &StreamId,
    folded: Version,
    state: S,
    events: &[&RecordedEvent],
    mut evolve: impl FnMut(S, &RecordedEvent) -> S,
) -> Result<(Version, S), FoldError> {
    let (mut version, mut state) = (folded, state);
    for recorded in events {
        if recorded.version <= version {
            continue;
        }
        if recorded.version.0 != version.0 + 1 {
            return Err(FoldError { stream: stream.clone(), folded: version, found: recorded.version });
        }
        state = evolve(state, recorded);
        version = recorded.version;
    }
    Ok((version, state))
}

/// Adds the rows of one ownership: the ownership itself, its claims and their due work.
fn project_rows(changes: &mut Changes, row: OwnershipRow, visibility: Duration) {
    let OwnershipRow { stream, version, state } = &row;
    if let (Some(name), Some(scope)) = (&state.name, state.scope) {
        changes.claims.extend(state.claims.values().map(|claim| ClaimRow {
            stream: stream.clone(),
            version: *version,
            name: name.clone(),
            scope,
            status: claim.status().as_str().to_owned(),
            claim: claim.clone(),
        }));
    }
    for claim in state.claims.values() {
        changes.due.extend(claim.due().into_iter().map(|due| {
            let due_at = if due.announced { due.at + visibility } else { due.at };
            (stream.clone(), DueRow { claim_id: claim.id, kind: due.kind, attempt: due.attempt, due_at })
        }));
    }
    changes.ownerships.push(row);
}
