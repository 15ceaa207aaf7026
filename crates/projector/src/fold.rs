//! From rows and events to new rows: pure, and deaf to events that are folded already.
use std::collections::BTreeMap;

use chrono::Duration;
use deed_claims::app::App;
use deed_claims::{Event, Ownership, StreamId, StreamKind};
use deed_store::{AppRow, Changes, ClaimRow, DueRow, OwnershipRow, Position, RecordedEvent, Version};

use crate::tally::Tally;

/// Events that do not go on where the rows end: folding them would make a state that never was.
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

/// The events of one batch by stream, each stream's in order; slugs make no rows.
pub(crate) struct Touched<'a> {
    /// Where the batch begins: nothing is shown of what comes later.
    from: Position,
    ownerships: Streams<'a>,
    apps: Streams<'a>,
}

type Streams<'a> = BTreeMap<&'a StreamId, Vec<&'a RecordedEvent>>;

impl<'a> Touched<'a> {
    pub(crate) fn of(from: Position, events: &'a [RecordedEvent]) -> Self {
        let mut touched = Self { from, ownerships: BTreeMap::new(), apps: BTreeMap::new() };
        for event in events {
            let streams = match event.stream.kind() {
                StreamKind::Apex | StreamKind::Host => &mut touched.ownerships,
                StreamKind::App => &mut touched.apps,
                StreamKind::Slug => continue,
            };
            streams.entry(&event.stream).or_default().push(event);
        }
        touched
    }

    /// The streams of contested names that may have a row.
    pub(crate) fn known_ownerships(&self) -> Vec<StreamId> {
        self.known(&self.ownerships)
    }

    /// The streams of apps that may have a row.
    pub(crate) fn known_apps(&self) -> Vec<StreamId> {
        self.known(&self.apps)
    }

    /// A stream that begins in the batch has no row yet.
    fn known(&self, streams: &Streams<'_>) -> Vec<StreamId> {
        let begins = |events: &[&RecordedEvent]| {
            events.first().is_some_and(|first| first.version == Version(1) && first.position > self.from)
        };
        let known = streams.iter().filter(|(_, events)| !begins(events));
        known.map(|(stream, _)| StreamId::clone(stream)).collect()
    }

    /// What the events change, given the rows of the touched streams. `visibility` is how much later work falls due
    /// that an event asks for by itself; what happens to claims is put into `tally`.
    pub(crate) fn fold(
        self,
        ownerships: Vec<OwnershipRow>,
        apps: Vec<AppRow>,
        visibility: Duration,
        mut tally: Option<&mut Tally>,
    ) -> Result<Changes, FoldError> {
        let mut changes = Changes::default();
        let mut rows: BTreeMap<StreamId, OwnershipRow> =
            ownerships.into_iter().map(|row| (row.stream.clone(), row)).collect();
        for (stream, events) in self.ownerships {
            let row = rows.remove(stream);
            let folded = row.as_ref().map_or(Version(0), |row| row.version);
            if row.is_none() {
                changes.fresh.insert(stream.clone());
            }
            let state = row.map(|row| row.state).unwrap_or_default();
            let (version, state) =
                advance(stream, folded, state, &events, |state, event| own(state, event, &mut tally))?;
            if version > folded {
                show(&mut changes, OwnershipRow { stream: stream.clone(), version, state }, visibility);
            }
        }
        let mut rows: BTreeMap<StreamId, AppRow> =
            apps.into_iter().map(|row| (row.stream.clone(), row)).collect();
        for (stream, events) in self.apps {
            let row = rows.remove(stream);
            let folded = row.as_ref().map_or(Version(0), |row| row.version);
            let (version, app) = advance(stream, folded, row.map(|row| row.app), &events, app)?;
            if let Some(app) = app.filter(|_| version > folded) {
                changes.apps.push(AppRow { stream: stream.clone(), version, app });
            }
        }
        Ok(changes)
    }
}

fn own(state: Ownership, recorded: &RecordedEvent, tally: &mut Option<&mut Tally>) -> Ownership {
    match (&recorded.event, tally) {
        (Event::Ownership(event), Some(tally)) => tally.evolve(state, recorded.position, event),
        (Event::Ownership(event), None) => state.evolve(event),
        (Event::App(_), _) => state,
    }
}

fn app(state: Option<App>, recorded: &RecordedEvent) -> Option<App> {
    match &recorded.event {
        Event::App(event) => App::evolve(state, event),
        Event::Ownership(_) => state,
    }
}

/// Folds the events that are new to a stream's state; `folded` of them are in it.
fn advance<S>(
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

/// Adds the rows that show a state: itself, its claims, their due work.
fn show(changes: &mut Changes, row: OwnershipRow, visibility: Duration) {
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
