//! Many tasks doing the same thing for a while, and how often they did it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What one task of a load has: numbers that no other task gets, until the time is over.
pub struct Turn {
    next: Arc<AtomicU64>,
    begin: Instant,
    length: Duration,
}

impl Turn {
    /// The next number; none when the time is over.
    pub fn number(&self) -> Option<u64> {
        (self.begin.elapsed() < self.length).then(|| self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// What came of it.
pub struct Done {
    /// Things done in all.
    pub count: u64,
    /// A second.
    pub rate: f64,
}

/// Runs `work` in so many tasks for one round; each says how many things it did.
pub async fn run<F>(tasks: usize, length: Duration, work: impl Fn(Turn) -> F) -> Done
where
    F: Future<Output = u64> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        running.spawn(work(Turn { next: next.clone(), begin, length }));
    }
    let count: u64 = running.join_all().await.into_iter().sum();
    Done { count, rate: per_second(count, begin.elapsed()) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
pub fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}
