//! The last result of querying a canary: a name that has to exist, to tell a failure of our own network from failures
//! elsewhere.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long one result counts for all probes: in an outage many of them fail at the same time.
const FRESH: Duration = Duration::from_secs(5);

/// The last result of the canary.
#[derive(Debug, Default)]
pub(crate) struct Canary {
    last: Mutex<Option<Arc<CanaryRun>>>,
}

/// One run of the canary.
#[derive(Debug)]
struct CanaryRun {
    at: Instant,
    /// The failure; none where the canary was answered.
    fault: OnceCell<Option<String>>,
}

impl Canary {
    /// The failure, if there is one, from a result at most some seconds old; otherwise `query` finds it out.
    pub(crate) async fn fault_or_query(&self, query: impl Future<Output = Option<String>>) -> Option<String> {
        let run = self.current();
        // Concurrent callers wait for the same result.
        run.fault.get_or_init(|| query).await.clone()
    }

    /// Whether the last result is a failure.
    pub(crate) fn failed(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|run| matches!(run.fault.get(), Some(Some(_))))
    }

    fn current(&self) -> Arc<CanaryRun> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(run) if run.at.elapsed() < FRESH => Arc::clone(run),
            _ => Arc::clone(last.insert(Arc::new(CanaryRun { at: Instant::now(), fault: OnceCell::new() }))),
        }
    }
}
