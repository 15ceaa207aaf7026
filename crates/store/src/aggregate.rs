//! The aggregates: what the streams of each kind fold to.
use deed_claims::app::{App, SlugOwner};
use deed_claims::{Event, Ownership};

use crate::SnapshotState;

/// A kind of stream: how its events fold to a state.
pub trait Aggregate: Send + Sync + 'static {
    /// The state; the default is that of a stream without events.
    type State: Default + Clone + Send + Sync;

    /// The state after one more event; an event of another aggregate changes nothing.
    fn evolve(state: Self::State, event: &Event) -> Self::State;

    /// The state in a snapshot; none when it is that of another aggregate.
    fn restore(snapshot: SnapshotState) -> Option<Self::State>;
}

/// All claims on one name.
impl Aggregate for Ownership {
    type State = Self;

    fn evolve(state: Self, event: &Event) -> Self {
        match event {
            Event::Ownership(event) => state.evolve(event),
            Event::App(_) => state,
        }
    }

    fn restore(snapshot: SnapshotState) -> Option<Self> {
        match snapshot {
            SnapshotState::Ownership(ownership) => Some(*ownership),
            SnapshotState::App(_) => None,
        }
    }
}

/// One app; no state before the app was created.
impl Aggregate for App {
    type State = Option<Self>;

    fn evolve(state: Option<Self>, event: &Event) -> Option<Self> {
        match event {
            Event::App(event) => Self::evolve(state, event),
            Event::Ownership(_) => state,
        }
    }

    fn restore(snapshot: SnapshotState) -> Option<Option<Self>> {
        match snapshot {
            SnapshotState::App(app) => Some(Some(*app)),
            SnapshotState::Ownership(_) => None,
        }
    }
}

/// One slug; its stream is short, and no snapshots of it are kept.
impl Aggregate for SlugOwner {
    type State = Self;

    fn evolve(state: Self, event: &Event) -> Self {
        match event {
            Event::App(event) => state.evolve(event),
            Event::Ownership(_) => state,
        }
    }

    fn restore(_: SnapshotState) -> Option<Self> {
        None
    }
}
