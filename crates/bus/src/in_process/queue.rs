//! One bounded queue in memory, with its unsettled deliveries and its dead letters.

use std::{
    collections::VecDeque,
    iter::once,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{PublishMetricsSlot, PublishRecorder};
use crate::{DeadLetter, DeadReason, Depth, Limits, Message, PublishOutcome, QueueSpec};

/// A message with its slot in the queue. The slot stays reserved while the message is unsettled, so a requeued message
/// always fits.
pub(super) struct QueuedMessage {
    pub message: Arc<Message>,
    pub deliveries: u32,
    pub redelivered: bool,
    pub slot: OwnedSemaphorePermit,
}

/// A dead letter. The first `capacity` dead letters occupy no slot of the queue; for each further one, one of them (not
/// necessarily itself) keeps its slot. So neither list grows without bound, and no message is dropped.
struct QueuedDeadLetter {
    number: u64,
    message: Arc<Message>,
    deliveries: u32,
    reason: DeadReason,
    slot: Option<OwnedSemaphorePermit>,
}

/// What became of replaying a dead letter.
pub(super) enum ReplayResult {
    Replayed,
    NeedsSlot,
    NotFound,
}

#[derive(Default)]
struct QueueState {
    ready: VecDeque<QueuedMessage>,
    unsettled: usize,
    dead: VecDeque<QueuedDeadLetter>,
    last_dead_number: u64,
}

impl QueueState {
    /// Removes a dead letter, and frees one of the slots that dead letters occupy.
    fn remove_dead(&mut self, number: u64) -> Option<(QueuedDeadLetter, Option<OwnedSemaphorePermit>)> {
        let index = self.dead.iter().position(|dead| dead.number == number)?;
        let mut dead = self.dead.remove(index)?;
        let slot = dead.slot.take().or_else(|| self.dead.iter_mut().find_map(|other| other.slot.take()));
        Some((dead, slot))
    }
}

/// Semaphores count free slots and ready messages: they are fair, and a dropped waiter leaves nothing behind.
pub(super) struct Queue {
    pub name: String,
    dead_letters_name: String,
    capacity: usize,
    max_deliveries: u32,
    free_slots: Arc<Semaphore>,
    ready: Semaphore,
    state: Mutex<QueueState>,
    metrics: Arc<PublishMetricsSlot>,
}

impl Queue {
    pub fn new(name: &str, spec: &QueueSpec, limits: &Limits, metrics: Arc<PublishMetricsSlot>) -> Self {
        let capacity = limits.capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            name: name.to_owned(),
            dead_letters_name: spec.dead_letter_queue.clone(),
            capacity,
            max_deliveries: limits.max_deliveries.max(1),
            free_slots: Arc::new(Semaphore::new(capacity)),
            ready: Semaphore::new(0),
            state: Mutex::default(),
            metrics,
        }
    }

    /// No code that runs under the lock can panic half-way, so the data behind a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free slot; the caller sets the deadline.
    pub async fn reserve_slot(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.free_slots).acquire_owned().await {
            Ok(slot) => slot,
            // Only a closed semaphore returns an error, and this one is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    pub fn push(&self, message: Arc<Message>, slot: OwnedSemaphorePermit) {
        let queued = QueuedMessage { message, deliveries: 0, redelivered: false, slot };
        self.make_ready(&mut self.lock(), queued);
    }

    fn make_ready(&self, state: &mut QueueState, queued: QueuedMessage) {
        state.ready.push_back(queued);
        self.ready.add_permits(1);
    }

    /// Waits for a ready message and delivers it.
    pub async fn pop(&self) -> QueuedMessage {
        loop {
            match self.ready.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => std::future::pending().await,
            }
            let mut state = self.lock();
            // There is one permit for each ready message, so there is one.
            if let Some(mut queued) = state.ready.pop_front() {
                state.unsettled += 1;
                queued.deliveries += 1;
                return queued;
            }
        }
    }

    pub fn acknowledge(&self, queued: QueuedMessage) {
        self.lock().unsettled -= 1;
        drop(queued);
    }

    /// Requeues at the back of the queue, so that a message that always fails does not block the others.
    pub fn requeue(&self, mut queued: QueuedMessage) {
        if queued.deliveries >= self.max_deliveries {
            tracing::warn!(
                queue = self.name,
                deliveries = queued.deliveries,
                "a message was delivered too often and is now a dead letter"
            );
            return self.dead_letter(queued, DeadReason::DeliveryLimit);
        }
        queued.redelivered = true;
        let mut state = self.lock();
        state.unsettled -= 1;
        self.make_ready(&mut state, queued);
    }

    pub fn dead_letter(&self, queued: QueuedMessage, reason: DeadReason) {
        let QueuedMessage { message, deliveries, slot, .. } = queued;
        let mut state = self.lock();
        state.unsettled -= 1;
        let slot = (state.dead.len() >= self.capacity).then_some(slot);
        let keeps_its_slot = slot.is_some();
        state.last_dead_number += 1;
        let number = state.last_dead_number;
        state.dead.push_back(QueuedDeadLetter { number, message, deliveries, reason, slot });
        drop(state);
        // Counted as a publish, as on RabbitMQ, where a dead letter is published to its queue.
        let _ = PublishRecorder::start(&self.metrics, once(&*self.dead_letters_name))
            .record(Ok(vec![PublishOutcome::Confirmed]));
        if keeps_its_slot {
            tracing::warn!(queue = self.name, "too many dead letters: the latest takes up room for work");
        }
    }

    /// The oldest dead letters, at most `limit`.
    pub fn dead_letters(&self, limit: usize) -> Vec<DeadLetter> {
        let letter = |dead: &QueuedDeadLetter| DeadLetter {
            message: Arc::clone(&dead.message),
            queue: self.name.clone(),
            reason: dead.reason.clone(),
            deliveries: dead.deliveries,
        };
        self.lock().dead.iter().take(limit).map(letter).collect()
    }

    /// The numbers of the selected dead letters, oldest first.
    pub fn dead_letter_numbers(&self, is_selected: impl Fn(&Message) -> bool) -> Vec<u64> {
        let state = self.lock();
        state.dead.iter().filter(|dead| is_selected(&dead.message)).map(|dead| dead.number).collect()
    }

    /// Removes a dead letter; `false` when there is none with this number.
    pub fn purge(&self, number: u64) -> bool {
        self.lock().remove_dead(number).is_some()
    }

    /// Makes a dead letter ready again, in a slot that dead letters occupy or in the reserved one.
    pub fn replay(&self, number: u64, reserved: Option<OwnedSemaphorePermit>) -> ReplayResult {
        let mut state = self.lock();
        if reserved.is_none() && state.dead.iter().all(|dead| dead.slot.is_none()) {
            return ReplayResult::NeedsSlot;
        }
        let Some((dead, freed)) = state.remove_dead(number) else {
            return ReplayResult::NotFound;
        };
        if let Some(slot) = freed.or(reserved) {
            let queued = QueuedMessage { message: dead.message, deliveries: 0, redelivered: false, slot };
            self.make_ready(&mut state, queued);
        }
        ReplayResult::Replayed
    }

    pub fn depth(&self) -> Depth {
        let state = self.lock();
        Depth { ready: state.ready.len(), unsettled: state.unsettled, dead: state.dead.len() }
    }
}
