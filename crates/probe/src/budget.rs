//! The budget of one probe: counts queries and time for everything that runs concurrently.
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use deed_diagnosis::ProbeFailure;
use tokio::time::Instant;

use crate::config::Budgets;

/// What the canary may spend of a probe that got no answer.
const CANARY_RESERVE: (u32, Duration) = (12, Duration::from_secs(3));

/// The limits of queries and time, and what is left of them.
#[derive(Debug)]
pub(crate) struct Budget {
    max_queries: u32,
    sent: AtomicU32,
    deadline: Instant,
    /// Reserved until some server has answered: the canary, which finds out whether our own network is to blame, has
    /// to fit into the same limits.
    reserve: (u32, Duration),
    spent: AtomicBool,
    at_capacity: AtomicBool,
    answered: AtomicBool,
}

/// Nothing is left of the budget.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BudgetSpent;

impl Budget {
    pub(crate) fn new(queries: u32, time: Duration) -> Self {
        Self::with_reserve((0, Duration::ZERO), queries, time)
    }

    /// The budget of a probe, with a reserve for its canary.
    pub(crate) fn of_probe(limits: &Budgets) -> Self {
        Self::with_reserve(reserve(limits), limits.queries, limits.time)
    }

    /// The reserve of a probe; none where it is less than one query.
    pub(crate) fn of_canary(limits: &Budgets) -> Option<Self> {
        let (queries, time) = reserve(limits);
        (queries > 0).then(|| Self::new(queries, time))
    }

    fn with_reserve(reserve: (u32, Duration), queries: u32, time: Duration) -> Self {
        Self {
            max_queries: queries,
            sent: AtomicU32::new(0),
            deadline: Instant::now() + time,
            reserve,
            spent: AtomicBool::new(false),
            at_capacity: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        }
    }

    /// Pays for one query, before it is sent.
    pub(crate) fn spend(&self) -> Result<(), BudgetSpent> {
        let max_queries = self.max_queries();
        let paid = Instant::now() < self.deadline()
            && self
                .sent
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sent| {
                    (sent < max_queries).then_some(sent + 1)
                })
                .is_ok();
        if paid { Ok(()) } else { Err(self.mark_spent()) }
    }

    /// Counts queries that were paid for elsewhere on behalf of this probe.
    pub(crate) fn charge(&self, questions: u32) {
        self.sent.fetch_add(questions, Ordering::Relaxed);
    }

    /// Records that a limit was reached.
    pub(crate) fn mark_spent(&self) -> BudgetSpent {
        self.spent.store(true, Ordering::Relaxed);
        BudgetSpent
    }

    /// Records that time was lost waiting for our own sockets or rate limits.
    pub(crate) fn mark_at_capacity(&self) {
        self.at_capacity.store(true, Ordering::Relaxed);
    }

    /// Records that some server answered.
    pub(crate) fn mark_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether some server answered, which proves that our own network works.
    pub(crate) fn has_answer(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether time was lost waiting for our own sockets or rate limits.
    pub(crate) fn was_at_capacity(&self) -> bool {
        self.at_capacity.load(Ordering::Relaxed)
    }

    /// What a spent budget means: the zone is too slow, unless time was lost on our side.
    pub(crate) fn failure(&self) -> ProbeFailure {
        if self.was_at_capacity() {
            ProbeFailure::Internal("no socket, or slot of the rate limit, was free in time".to_owned())
        } else {
            ProbeFailure::BudgetExhausted
        }
    }

    /// When the probe ends.
    pub(crate) fn deadline(&self) -> Instant {
        if self.has_answer() { self.deadline } else { self.deadline - self.reserve.1 }
    }

    fn max_queries(&self) -> u32 {
        if self.has_answer() { self.max_queries } else { self.max_queries - self.reserve.0 }
    }

    /// Whether a limit has cut something short.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed) || Instant::now() >= self.deadline()
    }

    /// Queries that can still be paid for.
    pub(crate) fn left(&self) -> u32 {
        if Instant::now() < self.deadline() { self.max_queries().saturating_sub(self.sent()) } else { 0 }
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// A small budget reserves only a part of itself.
fn reserve(limits: &Budgets) -> (u32, Duration) {
    (CANARY_RESERVE.0.min(limits.queries / 2), CANARY_RESERVE.1.min(limits.time / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn unanswered_probe_leaves_canary_reserve() {
        let limits = Budgets::default();
        let probe = Budget::of_probe(&limits);
        let end = probe.deadline();
        while probe.spend().is_ok() {}
        assert_eq!((probe.sent(), probe.left()), (48, 0));
        tokio::time::advance(end - Instant::now()).await;
        let canary = Budget::of_canary(&limits).unwrap();
        while canary.spend().is_ok() {}
        assert_eq!(probe.sent() + canary.sent(), limits.queries);
        assert_eq!(canary.deadline() - end, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn answered_probe_may_spend_whole_budget() {
        let limits = Budgets::default();
        let begin = Instant::now();
        let probe = Budget::of_probe(&limits);
        probe.mark_answered();
        while probe.spend().is_ok() {}
        assert_eq!((probe.sent(), probe.deadline() - begin), (limits.queries, limits.time));
    }

    #[tokio::test]
    async fn reserves_nothing_of_a_single_query() {
        let limits = Budgets { queries: 1, ..Budgets::default() };
        assert!(Budget::of_canary(&limits).is_none());
        assert_eq!(Budget::of_probe(&limits).left(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn spends_queries_until_none_left() {
        let budget = Budget::new(2, Duration::from_secs(1));
        assert_eq!((budget.spend(), budget.spend()), (Ok(()), Ok(())));
        assert!(!budget.is_spent());
        assert_eq!(budget.spend(), Err(BudgetSpent));
        assert!(budget.is_spent());
        assert_eq!(budget.sent(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn spends_nothing_after_deadline() {
        let budget = Budget::new(9, Duration::from_secs(1));
        assert_eq!(budget.deadline(), Instant::now() + Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(budget.spend(), Err(BudgetSpent));
        assert_eq!(budget.sent(), 0);
    }
}
