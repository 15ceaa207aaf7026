//! One bounded queue in memory: who waits for room, who waits for work, and what happens to what comes back.

use std::{
    collections::VecDeque,
    iter::once,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Destination, Publishing, Told};
use crate::{DeadLetter, DeadReason, Depth, Message, PublishOutcome};

/// A message's place in a queue. Whoever holds the entry holds the place, so a message always fits when it comes back.
pub(super) struct Entry {
    pub message: Arc<Message>,
    pub deliveries: u32,
    pub redelivered: bool,
    pub place: OwnedSemaphorePermit,
}

/// A dead letter. The first `capacity` of them are kept for nothing; each one beyond holds on to a place in the queue
/// (one of them does, not necessarily its own), so that neither list grows without bound and nothing is thrown away.
struct Dead {
    number: u64,
    message: Arc<Message>,
    deliveries: u32,
    reason: DeadReason,
    place: Option<OwnedSemaphorePermit>,
}

/// What came of making a dead letter ready again.
pub(super) enum Revived {
    Ready,
    NeedsPlace,
    Gone,
}

#[derive(Default)]
struct Inner {
    ready: VecDeque<Entry>,
    unsettled: usize,
    dead: VecDeque<Dead>,
    buried: u64,
}

impl Inner {
    /// Takes a dead letter out, with the place that is not needed any more now that there is one fewer.
    fn exhume(&mut self, number: u64) -> Option<(Dead, Option<OwnedSemaphorePermit>)> {
        let at = self.dead.iter().position(|dead| dead.number == number)?;
        let mut dead = self.dead.remove(at)?;
        let place = dead.place.take().or_else(|| self.dead.iter_mut().find_map(|other| other.place.take()));
        Some((dead, place))
    }
}

/// Places and ready messages are counted by semaphores: first come, first served, and a waiter that is dropped leaves
/// nothing behind.
pub(super) struct Queue {
    pub name: String,
    capacity: usize,
    max_deliveries: u32,
    places: Arc<Semaphore>,
    ready: Semaphore,
    inner: Mutex<Inner>,
    told: Arc<Told>,
}

impl Queue {
    pub fn new(name: String, capacity: usize, max_deliveries: u32, told: Arc<Told>) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            name,
            capacity,
            max_deliveries: max_deliveries.max(1),
            places: Arc::new(Semaphore::new(capacity)),
            ready: Semaphore::new(0),
            inner: Mutex::default(),
            told,
        }
    }

    /// Nothing that runs under the lock can panic half-way, so a poisoned lock guards sound data.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place; the caller sets the deadline.
    pub async fn place(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => place,
            // Only a closed semaphore refuses, and these are never closed.
            Err(_) => std::future::pending().await,
        }
    }

    pub fn push(&self, message: Arc<Message>, place: OwnedSemaphorePermit) {
        self.make_ready(&mut self.lock(), Entry { message, deliveries: 0, redelivered: false, place });
    }

    fn make_ready(&self, inner: &mut Inner, entry: Entry) {
        inner.ready.push_back(entry);
        self.ready.add_permits(1);
    }

    /// Waits for a message and takes it in hand.
    pub async fn pop(&self) -> Entry {
        loop {
            match self.ready.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => std::future::pending().await,
            }
            let mut inner = self.lock();
            // There is one permit for each ready message, so this finds one.
            if let Some(mut entry) = inner.ready.pop_front() {
                inner.unsettled += 1;
                entry.deliveries += 1;
                return entry;
            }
        }
    }

    pub fn done(&self, entry: Entry) {
        self.lock().unsettled -= 1;
        drop(entry);
    }

    /// To the back of the queue, so that a message that always fails does not keep the others waiting.
    pub fn give_back(&self, mut entry: Entry) {
        if entry.deliveries >= self.max_deliveries {
            tracing::warn!(
                queue = self.name,
                deliveries = entry.deliveries,
                "a message was delivered too often and is now a dead letter"
            );
            return self.bury(entry, DeadReason::DeliveryLimit);
        }
        entry.redelivered = true;
        let mut inner = self.lock();
        inner.unsettled -= 1;
        self.make_ready(&mut inner, entry);
    }

    pub fn bury(&self, entry: Entry, reason: DeadReason) {
        let Entry { message, deliveries, place, .. } = entry;
        let mut inner = self.lock();
        inner.unsettled -= 1;
        let place = (inner.dead.len() >= self.capacity).then_some(place);
        let keeps_its_place = place.is_some();
        inner.buried += 1;
        let number = inner.buried;
        inner.dead.push_back(Dead { number, message, deliveries, reason, place });
        drop(inner);
        // As where a broker has it published.
        let _ =
            Publishing::begin(&self.told, once(Destination::Dead)).end(Ok(vec![PublishOutcome::Confirmed]));
        if keeps_its_place {
            tracing::warn!(queue = self.name, "too many dead letters: the latest takes up room for work");
        }
    }

    /// The oldest dead letters, at most `limit`.
    pub fn dead(&self, limit: usize) -> Vec<DeadLetter> {
        let letter = |dead: &Dead| DeadLetter {
            message: Arc::clone(&dead.message),
            queue: self.name.clone(),
            reason: dead.reason.clone(),
            deliveries: dead.deliveries,
        };
        self.lock().dead.iter().take(limit).map(letter).collect()
    }

    /// The numbers of the dead letters that are chosen, oldest first.
    pub fn dead_numbers(&self, chosen: impl Fn(&Message) -> bool) -> Vec<u64> {
        let inner = self.lock();
        inner.dead.iter().filter(|dead| chosen(&dead.message)).map(|dead| dead.number).collect()
    }

    /// Whether there was such a dead letter to remove.
    pub fn purge(&self, number: u64) -> bool {
        self.lock().exhume(number).is_some()
    }

    /// Makes a dead letter ready again, in a place that the dead letters hold or in the one given.
    pub fn revive(&self, number: u64, place: Option<OwnedSemaphorePermit>) -> Revived {
        let mut inner = self.lock();
        if place.is_none() && inner.dead.iter().all(|dead| dead.place.is_none()) {
            return Revived::NeedsPlace;
        }
        let Some((dead, freed)) = inner.exhume(number) else {
            return Revived::Gone;
        };
        if let Some(place) = freed.or(place) {
            let entry = Entry { message: dead.message, deliveries: 0, redelivered: false, place };
            self.make_ready(&mut inner, entry);
        }
        Revived::Ready
    }

    pub fn depth(&self) -> Depth {
        let inner = self.lock();
        Depth { ready: inner.ready.len(), unsettled: inner.unsettled, dead: inner.dead.len() }
    }
}
