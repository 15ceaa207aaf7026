//! What one subscription has in hand, and what the broker has yet to be told of it. Delivery tags of a channel count
//! up from 1, so a queue of slots is all the index there is.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::trouble::Trouble;

pub(super) type Tag = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Held,
    Done,
    /// The broker has been told, or nobody has ever had it.
    Away,
}

/// How a delivery is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// Back to the queue; counts as a delivery.
    Requeue,
    /// To the dead letters, by the broker.
    Bury,
}

/// What to tell the broker, in this order: an acknowledgement of many takes in what has not been given back before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub requeue: Vec<Tag>,
    pub bury: Vec<Tag>,
    /// Everything up to this tag.
    pub done_up_to: Option<Tag>,
    /// Beyond it, one by one.
    pub done: Vec<Tag>,
}

#[derive(Debug)]
struct Books {
    first: Tag,
    slots: VecDeque<Slot>,
    requeue: Vec<Tag>,
    bury: Vec<Tag>,
    unreported: usize,
    held: usize,
    lost: bool,
}

/// The books of one subscription.
#[derive(Debug)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    /// How many reports at once are worth a message to the broker.
    batch: usize,
    /// Something is to be reported, in a while.
    pub soon: Notify,
    /// Something is to be reported now.
    pub now: Notify,
    /// Those of all subscriptions of the queue in this process.
    all_held: Arc<AtomicUsize>,
}

impl Ledger {
    pub fn new(batch: usize, all_held: Arc<AtomicUsize>) -> Self {
        let books = Books {
            first: 1,
            slots: VecDeque::new(),
            requeue: Vec::new(),
            bury: Vec::new(),
            unreported: 0,
            held: 0,
            lost: false,
        };
        Self { books: Mutex::new(books), batch, soon: Notify::new(), now: Notify::new(), all_held }
    }

    /// Nothing that runs under the lock can panic half-way, so a poisoned lock guards sound books.
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a delivery that is handed out.
    pub fn hand_out(&self, tag: Tag) {
        let mut books = self.lock();
        let Some(index) = tag.checked_sub(books.first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        while books.slots.len() < index {
            books.slots.push_back(Slot::Away);
        }
        books.slots.push_back(Slot::Held);
        books.held += 1;
        self.all_held.fetch_add(1, Ordering::AcqRel);
    }

    /// Enters what became of it.
    ///
    /// # Errors
    /// When the broker cannot be told any more.
    pub fn settle(&self, tag: Tag, verdict: Verdict) -> Result<(), Trouble> {
        let mut books = self.lock();
        let index = tag.checked_sub(books.first).and_then(|index| usize::try_from(index).ok());
        let slot = index.and_then(|index| books.slots.get_mut(index)).filter(|slot| **slot == Slot::Held);
        let Some(slot) = slot else { return Err(Trouble::DeliveryLost) };
        *slot = if verdict == Verdict::Done { Slot::Done } else { Slot::Away };
        books.held -= 1;
        self.all_held.fetch_sub(1, Ordering::AcqRel);
        match verdict {
            Verdict::Done => {}
            Verdict::Requeue => books.requeue.push(tag),
            Verdict::Bury => books.bury.push(tag),
        }
        books.unreported += 1;
        let (first, full) = (books.unreported == 1, books.unreported >= self.batch);
        let lost = books.lost;
        drop(books);
        if full || verdict != Verdict::Done {
            self.now.notify_one();
        }
        if first {
            self.soon.notify_one();
        }
        if lost { Err(Trouble::DeliveryLost) } else { Ok(()) }
    }

    /// Takes out what the broker has not been told yet.
    pub fn report(&self) -> Report {
        let mut books = self.lock();
        let mut report = Report {
            requeue: std::mem::take(&mut books.requeue),
            bury: std::mem::take(&mut books.bury),
            ..Report::default()
        };
        books.unreported = 0;
        while let Some(slot) = books.slots.front().copied().filter(|slot| *slot != Slot::Held) {
            books.slots.pop_front();
            if slot == Slot::Done {
                report.done_up_to = Some(books.first);
            }
            books.first += 1;
        }
        let first = books.first;
        for (tag, slot) in (first..).zip(books.slots.iter_mut()) {
            if *slot == Slot::Done {
                *slot = Slot::Away;
                report.done.push(tag);
            }
        }
        report
    }

    /// The channel is gone: nothing that is settled from now on reaches the broker.
    pub fn lose(&self) {
        self.lock().lost = true;
    }

    /// The tag that the next delivery will have. It changes with each.
    pub fn next_tag(&self) -> Tag {
        let books = self.lock();
        books.first + Tag::try_from(books.slots.len()).unwrap_or(Tag::MAX - books.first)
    }

    /// How many are in somebody's hands.
    pub fn held(&self) -> usize {
        self.lock().held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(handed_out: Tag) -> Ledger {
        let ledger = Ledger::new(100, Arc::default());
        (1..=handed_out).for_each(|tag| ledger.hand_out(tag));
        ledger
    }

    #[test]
    fn what_is_done_in_order_is_one_acknowledgement() {
        let ledger = ledger(5);
        for tag in [2, 1, 3] {
            ledger.settle(tag, Verdict::Done).unwrap();
        }
        assert_eq!(ledger.report(), Report { done_up_to: Some(3), ..Report::default() });
        assert_eq!(ledger.report(), Report::default());
        assert_eq!(ledger.held(), 2);
    }

    #[test]
    fn what_is_held_is_never_acknowledged_with_the_others() {
        let ledger = ledger(5);
        for tag in [1, 3, 5] {
            ledger.settle(tag, Verdict::Done).unwrap();
        }
        assert_eq!(ledger.report(), Report { done_up_to: Some(1), done: vec![3, 5], ..Report::default() });
        ledger.settle(2, Verdict::Done).unwrap();
        assert_eq!(ledger.report(), Report { done_up_to: Some(2), ..Report::default() });
        ledger.settle(4, Verdict::Done).unwrap();
        assert_eq!(ledger.report(), Report { done_up_to: Some(4), ..Report::default() });
        assert_eq!(ledger.held(), 0);
    }

    #[test]
    fn what_goes_back_is_reported_with_what_is_done_around_it() {
        let ledger = ledger(4);
        ledger.settle(2, Verdict::Requeue).unwrap();
        ledger.settle(3, Verdict::Bury).unwrap();
        ledger.settle(1, Verdict::Done).unwrap();
        ledger.settle(4, Verdict::Done).unwrap();
        let report = Report { requeue: vec![2], bury: vec![3], done_up_to: Some(4), done: vec![] };
        assert_eq!(ledger.report(), report);
    }

    #[test]
    fn nothing_is_settled_twice_nor_after_the_channel_is_lost() {
        let ledger = ledger(2);
        ledger.settle(1, Verdict::Done).unwrap();
        assert!(ledger.settle(1, Verdict::Requeue).is_err());
        ledger.lose();
        assert!(ledger.settle(2, Verdict::Done).is_err());
        assert_eq!(ledger.held(), 0);
    }
}
