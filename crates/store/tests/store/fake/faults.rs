//! Which calls break, and how.
use std::collections::{HashMap, VecDeque};

use deed_claims::Event;
use deed_store::Unavailable;

use super::Tables;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Acquire,
    Advance,
    Append,
    Behind,
    ReadLog,
    Renew,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing is done.
    Refuse,
    /// It is done, but an error is the answer.
    LoseAnswer,
    /// Nothing is done, and no answer comes.
    Hang,
    /// Of the log: the first event is left out.
    Gap,
    /// Of the log: an event is one of a newer version.
    Newer,
}

#[derive(Default)]
pub struct Faults(HashMap<Call, VecDeque<Fault>>);

impl Faults {
    pub fn plan(&mut self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.0.entry(call).or_default().extend(faults);
    }
}

pub fn broken() -> Unavailable {
    Unavailable::new("test", "broken on demand")
}

/// As a backend says it: with the cause somewhere below.
fn newer() -> Unavailable {
    let error = Event::from_parts("OwnershipShared", 1, "{}").unwrap_err();
    Unavailable::new("test", Unavailable::new("below", error))
}

impl Tables {
    /// What is left of the fault after this: only what has to be done differently.
    pub(super) async fn fault(&self, call: Call) -> Result<Option<Fault>, Unavailable> {
        let fault = self.faults.lock().unwrap().0.get_mut(&call).and_then(VecDeque::pop_front);
        match fault {
            Some(Fault::Refuse) => Err(broken()),
            Some(Fault::Newer) => Err(newer()),
            Some(Fault::Hang) => std::future::pending().await,
            other => Ok(other),
        }
    }
}

pub fn answer<T>(fault: Option<Fault>, answer: T) -> Result<T, Unavailable> {
    if fault == Some(Fault::LoseAnswer) { Err(broken()) } else { Ok(answer) }
}
