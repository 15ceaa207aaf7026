//! Faults that tests inject into calls.
use std::collections::{HashMap, VecDeque};

use deed_claims::Event;
use deed_store::Unavailable;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Acquire,
    Advance,
    Append,
    Lag,
    ReadLog,
    Renew,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error; nothing is done.
    Refuse,
    /// The call is done, but returns an error.
    LoseAnswer,
    /// Nothing is done, and the call never returns.
    Hang,
    /// A read of the log leaves the first event out.
    Gap,
    /// A read of the log meets an event of a newer version.
    Newer,
}

#[derive(Default)]
pub struct Faults(HashMap<Call, VecDeque<Fault>>);

impl Faults {
    pub fn inject(&mut self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.0.entry(call).or_default().extend(faults);
    }

    pub fn take(&mut self, call: Call) -> Option<Fault> {
        self.0.get_mut(&call).and_then(VecDeque::pop_front)
    }
}

pub fn injected() -> Unavailable {
    Unavailable::new("test", "injected fault")
}

/// As a backend reports it: the cause is deeper in the chain.
fn newer() -> Unavailable {
    let error = Event::from_parts("OwnershipShared", 1, "{}").unwrap_err();
    Unavailable::new("test", Unavailable::new("below", error))
}

/// Fails or hangs if the fault says so; returns the faults that the caller has to apply.
pub async fn fail(fault: Option<Fault>) -> Result<Option<Fault>, Unavailable> {
    match fault {
        Some(Fault::Refuse) => Err(injected()),
        Some(Fault::Newer) => Err(newer()),
        Some(Fault::Hang) => std::future::pending().await,
        other => Ok(other),
    }
}

pub fn answer<T>(fault: Option<Fault>, answer: T) -> Result<T, Unavailable> {
    if fault == Some(Fault::LoseAnswer) { Err(injected()) } else { Ok(answer) }
}
