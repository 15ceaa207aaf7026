//! What one look may spend, counted in one place for everything it does at the same time.
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use deed_claims::ProbeFailure;
use tokio::time::Instant;

use crate::config::Budgets;

/// What the canary may spend of a look that heard nobody.
const CANARY: (u32, Duration) = (12, Duration::from_secs(3));

/// The limits of questions and time, and what is left of them.
#[derive(Debug)]
pub(crate) struct Budget {
    most: u32,
    sent: AtomicU32,
    deadline: Instant,
    /// Kept back until somebody has answered: whether our own network is to blame has to be found out within the same
    /// limits.
    kept: (u32, Duration),
    exhausted: AtomicBool,
    crowded: AtomicBool,
    heard: AtomicBool,
}

/// Nothing is left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    pub(crate) fn new(queries: u32, time: Duration) -> Self {
        Self::keeping((0, Duration::ZERO), queries, time)
    }

    /// For a look, which keeps back what its canary may need.
    pub(crate) fn of_look(limits: &Budgets) -> Self {
        Self::keeping(kept(limits), limits.queries, limits.time)
    }

    /// What a look has kept back; none where that is not even one question.
    pub(crate) fn of_canary(limits: &Budgets) -> Option<Self> {
        let (queries, time) = kept(limits);
        (queries > 0).then(|| Self::new(queries, time))
    }

    fn keeping(kept: (u32, Duration), queries: u32, time: Duration) -> Self {
        Self {
            most: queries,
            sent: AtomicU32::new(0),
            deadline: Instant::now() + time,
            kept,
            exhausted: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            heard: AtomicBool::new(false),
        }
    }

    /// Pays for one question, before it is sent.
    pub(crate) fn spend(&self) -> Result<(), Exhausted> {
        let most = self.most();
        let paid = Instant::now() < self.deadline()
            && self
                .sent
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sent| (sent < most).then_some(sent + 1))
                .is_ok();
        if paid { Ok(()) } else { Err(self.exhaust()) }
    }

    /// Counts questions that were paid for elsewhere on behalf of this look.
    pub(crate) fn charge(&self, questions: u32) {
        self.sent.fetch_add(questions, Ordering::Relaxed);
    }

    /// Remembers that a limit was reached.
    pub(crate) fn exhaust(&self) -> Exhausted {
        self.exhausted.store(true, Ordering::Relaxed);
        Exhausted
    }

    /// Remembers that the time went by in our own crowd.
    pub(crate) fn crowd(&self) {
        self.crowded.store(true, Ordering::Relaxed);
    }

    /// Remembers that somebody out there answered.
    pub(crate) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether anybody answered, so that our own network cannot be down.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Whether time went by in our own crowd.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// What an exhausted budget means: the zone's doing, unless we stood in our own way.
    pub(crate) fn failure(&self) -> ProbeFailure {
        if self.is_crowded() {
            ProbeFailure::Internal("no socket or turn was free in time".to_owned())
        } else {
            ProbeFailure::BudgetExhausted
        }
    }

    /// When the look ends.
    pub(crate) fn deadline(&self) -> Instant {
        if self.has_heard() { self.deadline } else { self.deadline - self.kept.1 }
    }

    fn most(&self) -> u32 {
        if self.has_heard() { self.most } else { self.most - self.kept.0 }
    }

    /// Whether a limit has cut something short.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed) || Instant::now() >= self.deadline()
    }

    /// Questions that can still be paid for.
    pub(crate) fn left(&self) -> u32 {
        if Instant::now() < self.deadline() { self.most().saturating_sub(self.sent()) } else { 0 }
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Never more than a part of limits that are narrow.
fn kept(limits: &Budgets) -> (u32, Duration) {
    (CANARY.0.min(limits.queries / 2), CANARY.1.min(limits.time / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hears_nobody_leaves_its_canary_what_it_needs() {
        let limits = Budgets::default();
        let look = Budget::of_look(&limits);
        let end = look.deadline();
        while look.spend().is_ok() {}
        assert_eq!((look.sent(), look.left()), (48, 0));
        tokio::time::advance(end - Instant::now()).await;
        let canary = Budget::of_canary(&limits).unwrap();
        while canary.spend().is_ok() {}
        assert_eq!(look.sent() + canary.sent(), limits.queries);
        assert_eq!(canary.deadline() - end, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_heard_somebody_may_spend_everything() {
        let limits = Budgets::default();
        let begin = Instant::now();
        let look = Budget::of_look(&limits);
        look.hear();
        while look.spend().is_ok() {}
        assert_eq!((look.sent(), look.deadline() - begin), (limits.queries, limits.time));
    }

    #[tokio::test]
    async fn one_question_is_not_shared() {
        let limits = Budgets { queries: 1, ..Budgets::default() };
        assert!(Budget::of_canary(&limits).is_none());
        assert_eq!(Budget::of_look(&limits).left(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn questions_are_paid_for_until_none_is_left() {
        let budget = Budget::new(2, Duration::from_secs(1));
        assert_eq!((budget.spend(), budget.spend()), (Ok(()), Ok(())));
        assert!(!budget.is_exhausted());
        assert_eq!(budget.spend(), Err(Exhausted));
        assert!(budget.is_exhausted());
        assert_eq!(budget.sent(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_paid_for_after_the_deadline() {
        let budget = Budget::new(9, Duration::from_secs(1));
        assert_eq!(budget.deadline(), Instant::now() + Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(budget.spend(), Err(Exhausted));
        assert_eq!(budget.sent(), 0);
    }
}
