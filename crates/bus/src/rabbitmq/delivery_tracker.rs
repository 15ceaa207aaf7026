//! Tracks the deliveries of one subscription, and which acknowledgements the broker has yet to receive. The delivery
//! tags of a channel count up from 1, so a queue indexed by tag is enough.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::broker_error::BrokerError;

pub(super) type DeliveryTag = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryState {
    Unsettled,
    /// Acknowledged by the consumer; the broker has not been told yet.
    Acknowledged,
    /// Settled at the broker, or never handed out.
    Settled,
}

/// How a delivery is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// Removes the message from its queue.
    Ack,
    /// Returns the message to its queue; counts as a delivery.
    Requeue,
    /// Has the broker move the message to the dead letters.
    DeadLetter,
}

/// Acknowledgements to send, in this order: the `multiple` acknowledgement would cover tags that are to be rejected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AckBatch {
    pub requeue: Vec<DeliveryTag>,
    pub dead_letter: Vec<DeliveryTag>,
    /// Acknowledges everything up to this tag (`multiple`).
    pub ack_up_to: Option<DeliveryTag>,
    /// Tags beyond it, acknowledged one by one.
    pub ack: Vec<DeliveryTag>,
}

#[derive(Debug)]
struct TrackedDeliveries {
    first: DeliveryTag,
    states: VecDeque<DeliveryState>,
    requeue: Vec<DeliveryTag>,
    dead_letter: Vec<DeliveryTag>,
    unsent: usize,
    unsettled: usize,
    channel_lost: bool,
}

/// The deliveries of one subscription.
#[derive(Debug)]
pub(super) struct DeliveryTracker {
    tracked: Mutex<TrackedDeliveries>,
    /// How many unsent acknowledgements are sent at once, without waiting for more.
    batch_size: usize,
    /// Notified when there is something to send, after a short wait for more.
    pub flush_soon: Notify,
    /// Notified when there is something to send without delay.
    pub flush_now: Notify,
    /// Unsettled deliveries of all subscriptions of the queue in this process.
    queue_unsettled: Arc<AtomicUsize>,
}

impl DeliveryTracker {
    pub fn new(batch_size: usize, queue_unsettled: Arc<AtomicUsize>) -> Self {
        let tracked = TrackedDeliveries {
            first: 1,
            states: VecDeque::new(),
            requeue: Vec::new(),
            dead_letter: Vec::new(),
            unsent: 0,
            unsettled: 0,
            channel_lost: false,
        };
        Self {
            tracked: Mutex::new(tracked),
            batch_size,
            flush_soon: Notify::new(),
            flush_now: Notify::new(),
            queue_unsettled,
        }
    }

    /// No code that runs under the lock can panic half-way, so the data behind a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, TrackedDeliveries> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to track a delivery that is handed out.
    pub fn hand_out(&self, tag: DeliveryTag) {
        let mut tracked = self.lock();
        let Some(index) = tag.checked_sub(tracked.first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        while tracked.states.len() < index {
            tracked.states.push_back(DeliveryState::Settled);
        }
        tracked.states.push_back(DeliveryState::Unsettled);
        tracked.unsettled += 1;
        self.queue_unsettled.fetch_add(1, Ordering::AcqRel);
    }

    /// Settles a delivery: the acknowledgement goes into the next batch.
    ///
    /// # Errors
    /// When the delivery is settled already, or its channel is gone.
    pub fn settle(&self, tag: DeliveryTag, acknowledgement: Acknowledgement) -> Result<(), BrokerError> {
        let mut tracked = self.lock();
        let index = tag.checked_sub(tracked.first).and_then(|index| usize::try_from(index).ok());
        let state = index
            .and_then(|index| tracked.states.get_mut(index))
            .filter(|state| **state == DeliveryState::Unsettled);
        let Some(state) = state else { return Err(BrokerError::DeliveryLost) };
        *state = match acknowledgement {
            Acknowledgement::Ack => DeliveryState::Acknowledged,
            Acknowledgement::Requeue | Acknowledgement::DeadLetter => DeliveryState::Settled,
        };
        tracked.unsettled -= 1;
        self.queue_unsettled.fetch_sub(1, Ordering::AcqRel);
        match acknowledgement {
            Acknowledgement::Ack => {}
            Acknowledgement::Requeue => tracked.requeue.push(tag),
            Acknowledgement::DeadLetter => tracked.dead_letter.push(tag),
        }
        tracked.unsent += 1;
        let (is_first, is_full) = (tracked.unsent == 1, tracked.unsent >= self.batch_size);
        let channel_lost = tracked.channel_lost;
        drop(tracked);
        if is_full || acknowledgement != Acknowledgement::Ack {
            self.flush_now.notify_one();
        }
        if is_first {
            self.flush_soon.notify_one();
        }
        if channel_lost { Err(BrokerError::DeliveryLost) } else { Ok(()) }
    }

    /// Takes out the acknowledgements that have not been sent yet.
    pub fn take_batch(&self) -> AckBatch {
        let mut tracked = self.lock();
        let mut batch = AckBatch {
            requeue: std::mem::take(&mut tracked.requeue),
            dead_letter: std::mem::take(&mut tracked.dead_letter),
            ..AckBatch::default()
        };
        tracked.unsent = 0;
        let settled = |state: &DeliveryState| *state != DeliveryState::Unsettled;
        while let Some(state) = tracked.states.front().copied().filter(settled) {
            tracked.states.pop_front();
            if state == DeliveryState::Acknowledged {
                batch.ack_up_to = Some(tracked.first);
            }
            tracked.first += 1;
        }
        let first = tracked.first;
        for (tag, state) in (first..).zip(tracked.states.iter_mut()) {
            if *state == DeliveryState::Acknowledged {
                *state = DeliveryState::Settled;
                batch.ack.push(tag);
            }
        }
        batch
    }

    /// Marks the channel as lost: acknowledgements from now on cannot reach the broker.
    pub fn mark_lost(&self) {
        self.lock().channel_lost = true;
    }

    /// The tag of the next delivery. It changes with each delivery.
    pub fn next_tag(&self) -> DeliveryTag {
        let tracked = self.lock();
        tracked.first
            + DeliveryTag::try_from(tracked.states.len()).unwrap_or(DeliveryTag::MAX - tracked.first)
    }

    /// How many deliveries are unsettled.
    pub fn unsettled(&self) -> usize {
        self.lock().unsettled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(handed_out: DeliveryTag) -> DeliveryTracker {
        let tracker = DeliveryTracker::new(100, Arc::default());
        (1..=handed_out).for_each(|tag| tracker.hand_out(tag));
        tracker
    }

    #[test]
    fn acknowledges_consecutive_tags_at_once() {
        let tracker = tracker(5);
        for tag in [2, 1, 3] {
            tracker.settle(tag, Acknowledgement::Ack).unwrap();
        }
        assert_eq!(tracker.take_batch(), AckBatch { ack_up_to: Some(3), ..AckBatch::default() });
        assert_eq!(tracker.take_batch(), AckBatch::default());
        assert_eq!(tracker.unsettled(), 2);
    }

    #[test]
    fn never_acknowledges_unsettled_tags() {
        let tracker = tracker(5);
        for tag in [1, 3, 5] {
            tracker.settle(tag, Acknowledgement::Ack).unwrap();
        }
        let batch = AckBatch { ack_up_to: Some(1), ack: vec![3, 5], ..AckBatch::default() };
        assert_eq!(tracker.take_batch(), batch);
        tracker.settle(2, Acknowledgement::Ack).unwrap();
        assert_eq!(tracker.take_batch(), AckBatch { ack_up_to: Some(2), ..AckBatch::default() });
        tracker.settle(4, Acknowledgement::Ack).unwrap();
        assert_eq!(tracker.take_batch(), AckBatch { ack_up_to: Some(4), ..AckBatch::default() });
        assert_eq!(tracker.unsettled(), 0);
    }

    #[test]
    fn rejections_share_a_batch_with_acknowledgements() {
        let tracker = tracker(4);
        tracker.settle(2, Acknowledgement::Requeue).unwrap();
        tracker.settle(3, Acknowledgement::DeadLetter).unwrap();
        tracker.settle(1, Acknowledgement::Ack).unwrap();
        tracker.settle(4, Acknowledgement::Ack).unwrap();
        let batch = AckBatch { requeue: vec![2], dead_letter: vec![3], ack_up_to: Some(4), ack: vec![] };
        assert_eq!(tracker.take_batch(), batch);
    }

    #[test]
    fn refuses_to_settle_twice_or_after_channel_loss() {
        let tracker = tracker(2);
        tracker.settle(1, Acknowledgement::Ack).unwrap();
        assert!(tracker.settle(1, Acknowledgement::Requeue).is_err());
        tracker.mark_lost();
        assert!(tracker.settle(2, Acknowledgement::Ack).is_err());
        assert_eq!(tracker.unsettled(), 0);
    }
}
