//! Runs many concurrent tasks for a while and counts their operations.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A worker of a load: hands out unique numbers until the time is over.
pub struct Worker {
    next: Arc<AtomicU64>,
    begin: Instant,
    length: Duration,
}

impl Worker {
    /// The next number; none when the time is over.
    pub fn number(&self) -> Option<u64> {
        (self.begin.elapsed() < self.length).then(|| self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The result of a load.
pub struct LoadResult {
    /// Operations in total.
    pub count: u64,
    /// Operations per second.
    pub rate: f64,
}

/// Runs `work` in this many tasks for one round; each returns its number of operations.
pub async fn run<F>(tasks: usize, length: Duration, work: impl Fn(Worker) -> F) -> LoadResult
where
    F: Future<Output = u64> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        running.spawn(work(Worker { next: next.clone(), begin, length }));
    }
    let count: u64 = running.join_all().await.into_iter().sum();
    LoadResult { count, rate: per_second(count, begin.elapsed()) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
pub fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}
