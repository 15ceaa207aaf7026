//! Who waits for which answer on one socket.
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::sockets::Sockets;
use super::trouble::Trouble;
use super::{IN_FLIGHT, Incoming, Via};
use crate::wire::{Echo, Outgoing};

/// Messages that answer nothing, per socket: a flood of them is an attack on the id.
const FOREIGN: u32 = 64;

/// The questions on one socket that are still unanswered.
#[derive(Debug)]
pub(super) struct Waiting {
    via: Via,
    table: Mutex<Table>,
    sockets: Arc<Sockets>,
    /// For the reader: there may be nothing left to read for.
    pub(super) changed: Notify,
}

#[derive(Debug)]
struct Table {
    /// Few enough to be searched in turn.
    slots: Vec<Slot>,
    /// Questions ever asked.
    asked: usize,
    /// Ids of questions that were given up: their answers come late, and are no attack.
    given_up: Vec<u16>,
    foreign: u32,
    state: State,
    counted_idle: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Made for one question; nobody else knows of it until that one is answered.
    Private,
    Open,
    /// Takes no more questions, and ends with the last one.
    Retired,
    Closed,
}

#[derive(Debug)]
struct Slot {
    id: u16,
    asked: Arc<Outgoing>,
    /// The best reason there is, in case the time runs out.
    heard: Trouble,
    answer: oneshot::Sender<Result<Incoming, Trouble>>,
}

/// One question on a socket; dropping it gives the question up.
#[derive(Debug)]
pub(super) struct Ticket {
    waiting: Arc<Waiting>,
    id: u16,
    answer: oneshot::Receiver<Result<Incoming, Trouble>>,
}

/// Why a socket takes no further question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has enough of them, or none left to take.
    Full,
    /// Another question on it has the same id.
    SameId,
}

impl Waiting {
    /// Connections have to prove themselves with one answer; a datagram socket has nothing to prove.
    pub(super) fn new(via: Via, sockets: Arc<Sockets>) -> Self {
        let state = match via {
            Via::Datagrams => State::Open,
            Via::Connection => State::Private,
        };
        let table =
            Table { slots: vec![], asked: 0, given_up: vec![], foreign: 0, state, counted_idle: false };
        Self { via, table: Mutex::new(table), sockets, changed: Notify::new() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first question, of whoever opened the socket.
    pub(super) fn begin(self: &Arc<Self>, asked: &Arc<Outgoing>) -> Ticket {
        self.add(&mut self.table(), asked)
    }

    /// One more question.
    pub(super) fn join(self: &Arc<Self>, asked: &Arc<Outgoing>) -> Result<Ticket, Refusal> {
        let mut table = self.table();
        if table.state != State::Open || table.slots.len() >= IN_FLIGHT {
            return Err(Refusal::Full);
        }
        let id = asked.id();
        if table.slots.iter().any(|slot| slot.id == id) || table.given_up.contains(&id) {
            return Err(Refusal::SameId);
        }
        Ok(self.add(&mut table, asked))
    }

    fn add(self: &Arc<Self>, table: &mut Table, asked: &Arc<Outgoing>) -> Ticket {
        let (sender, receiver) = oneshot::channel();
        let id = asked.id();
        table.slots.push(Slot { id, asked: Arc::clone(asked), heard: Trouble::Timeout, answer: sender });
        table.asked += 1;
        if table.asked >= self.via.questions() && table.state == State::Open {
            table.state = State::Retired;
        }
        self.settle(table);
        Ticket { waiting: Arc::clone(self), id, answer: receiver }
    }

    /// Hands a message to the question that it answers.
    pub(super) fn hear(&self, bytes: &[u8]) {
        let mut table = self.table();
        let id = bytes.first_chunk().map(|id| u16::from_be_bytes(*id));
        let Some(at) = table.slots.iter().position(|slot| Some(slot.id) == id) else {
            return self.hear_foreign(&mut table, id);
        };
        let slot = &mut table.slots[at];
        let truncated = match (slot.asked.echo(bytes), self.via) {
            (Echo::Ours { truncated }, _) => truncated,
            // Letter case guards datagrams; a connection cannot be forged from aside.
            (Echo::CaseDiffers, Via::Connection) => bytes[2] & 0x02 != 0,
            (Echo::CaseDiffers, Via::Datagrams) => {
                slot.heard = Trouble::CaseDiffers;
                return self.hear_foreign(&mut table, None);
            }
            (Echo::Garbled, Via::Datagrams) => {
                if slot.heard == Trouble::Timeout {
                    slot.heard = Trouble::Malformed;
                }
                return self.hear_foreign(&mut table, None);
            }
            (Echo::Foreign | Echo::Garbled, _) => return self.hear_foreign(&mut table, None),
        };
        let slot = table.slots.swap_remove(at);
        // Nobody listens any more where the asker has just gone.
        let _ = slot.answer.send(Ok(Incoming { bytes: bytes.to_vec(), truncated }));
        if table.state == State::Private {
            table.state = State::Open;
        }
        self.settle(&mut table);
    }

    /// On a connection, whoever says what was not asked for is not to be understood. Datagrams may come from
    /// anybody: it takes many of them.
    fn hear_foreign(&self, table: &mut Table, id: Option<u16>) {
        if let Some(late) = table.given_up.iter().position(|given_up| Some(*given_up) == id) {
            table.given_up.swap_remove(late);
            return;
        }
        table.foreign += 1;
        let most = match self.via {
            Via::Datagrams => FOREIGN,
            Via::Connection => 1,
        };
        if table.foreign >= most {
            self.end(table, Trouble::Malformed);
        }
    }

    /// Takes no more questions; those that are on their way may still be answered.
    pub(super) fn retire(&self) {
        let mut table = self.table();
        if table.state != State::Closed {
            table.state = State::Retired;
        }
        self.settle(&mut table);
    }

    /// Ends it at once: what is on its way fails.
    pub(super) fn close(&self, trouble: Trouble) {
        self.end(&mut self.table(), trouble);
    }

    fn end(&self, table: &mut Table, trouble: Trouble) {
        table.state = State::Closed;
        for slot in table.slots.drain(..) {
            let trouble = if slot.heard == Trouble::Timeout { trouble } else { slot.heard };
            let _ = slot.answer.send(Err(trouble));
        }
        self.settle(table);
    }

    /// Closes it when nobody uses it.
    pub(super) fn close_if_idle(&self) -> bool {
        let mut table = self.table();
        let idle = table.counted_idle;
        if idle {
            self.end(&mut table, Trouble::Internal);
        }
        idle
    }

    /// Whether there is nothing left to read for.
    pub(super) fn is_over(&self) -> bool {
        self.table().state == State::Closed
    }

    fn leave(&self, id: u16) -> Trouble {
        let mut table = self.table();
        let Some(at) = table.slots.iter().position(|slot| slot.id == id) else { return Trouble::Timeout };
        let slot = table.slots.swap_remove(at);
        table.given_up.push(id);
        // Silent once, it is not asked on the same connection again.
        if self.via == Via::Connection && table.state != State::Closed {
            table.state = State::Retired;
        }
        self.settle(&mut table);
        slot.heard
    }

    /// Draws the conclusions of a change: what is retired and done with is closed, and so is what would lie idle
    /// while others wait for a socket.
    fn settle(&self, table: &mut Table) {
        let done = table.slots.is_empty() && table.asked > 0;
        if done && table.state != State::Closed && (table.state != State::Open || self.sockets.are_short()) {
            table.state = State::Closed;
        }
        let idle = done && table.state == State::Open;
        if idle != table.counted_idle {
            table.counted_idle = idle;
            if idle {
                self.sockets.idle().fetch_add(1, Ordering::Relaxed);
            } else {
                self.sockets.idle().fetch_sub(1, Ordering::Relaxed);
            }
        }
        if table.state == State::Closed {
            self.changed.notify_one();
        }
    }
}

impl Ticket {
    /// The answer, or why there is none until then.
    pub(super) async fn answer(mut self, until: Instant) -> Result<Incoming, Trouble> {
        match timeout_at(until, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            // The reader went away with its runtime.
            Ok(Err(_)) => Err(Trouble::Internal),
            Err(_) => Err(self.waiting.leave(self.id)),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.leave(self.id);
    }
}
