//! Tasks under supervision: who they are, and how each of them ended.
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

/// Why a task ended on its own account.
pub(crate) type TaskError = Box<dyn Error + Send + Sync>;

/// The tasks of one kind, which are ended together.
#[derive(Default)]
pub(crate) struct Tasks {
    running: JoinSet<Result<(), TaskError>>,
    names: HashMap<Id, &'static str>,
}

/// How a task ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: &'static str,
    pub(crate) result: Result<(), TaskError>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(()) => write!(f, "the {} ended", self.name),
            Err(_) => write!(f, "the {} died", self.name),
        }
    }
}

impl Tasks {
    /// Starts a task.
    pub(crate) fn spawn<E: Into<TaskError>>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let handle = self.running.spawn(async move { work.await.map_err(Into::into) });
        self.names.insert(handle.id(), name);
    }

    /// Waits for the next task to end; for ever when there is none.
    pub(crate) async fn next(&mut self) -> Ended {
        match self.running.join_next_with_id().await {
            Some(ended) => self.ended(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits for all tasks, which have been told to stop, until the deadline; the rest is dropped. What went wrong is
    /// logged.
    pub(crate) async fn finish(&mut self, deadline: Instant) -> Finish {
        let mut finish = Finish::Orderly;
        while !self.running.is_empty() {
            let Ok(Some(ended)) = timeout_at(deadline, self.running.join_next_with_id()).await else {
                let late: Vec<_> = self.names.values().copied().collect();
                tracing::error!(tasks = ?late, "not finished in time, dropped");
                self.running.abort_all();
                return Finish::CutShort;
            };
            let ended = self.ended(ended);
            if let Err(error) = &ended.result {
                tracing::error!(error = &**error as &dyn Error, "{ended} while it was stopping");
                finish = Finish::CutShort;
            }
        }
        finish
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), TaskError>), JoinError>) -> Ended {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(panicked) => (panicked.id(), Err(panicked.into())),
        };
        Ended { name: self.names.remove(&id).unwrap_or("task"), result }
    }
}

/// How the end of all tasks went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Everything in hand was finished.
    Orderly,
    /// Something was dropped.
    CutShort,
}

impl Finish {
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Orderly { other } else { self }
    }
}

/// How long is left until `deadline`, and a little for those who come after.
pub(crate) fn before(deadline: Instant, reserve: Duration) -> Instant {
    deadline.checked_sub(reserve).unwrap_or(deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn a_panic_and_a_failure_are_the_death_of_a_named_task() {
        let mut tasks = Tasks::default();
        tasks.spawn("relay", async { Err::<(), _>(std::io::Error::other("gone")) });
        let ended = tasks.next().await;
        assert_eq!(ended.to_string(), "the relay died");
        assert_eq!(ended.result.unwrap_err().to_string(), "gone");
        tasks.spawn("verifier", async {
            if soon() > Instant::now() { panic!("a bug") } else { Ok::<_, TaskError>(()) }
        });
        assert_eq!(tasks.next().await.to_string(), "the verifier died");
        tasks.spawn("projector", async { Ok::<_, TaskError>(()) });
        assert_eq!(tasks.next().await.to_string(), "the projector ended");
    }

    #[tokio::test]
    async fn what_is_not_finished_in_time_is_dropped_and_said() {
        let mut tasks = Tasks::default();
        tasks.spawn("quick", async { Ok::<_, TaskError>(()) });
        assert_eq!(tasks.finish(soon()).await, Finish::Orderly);
        tasks.spawn("slow", std::future::pending::<Result<(), TaskError>>());
        assert_eq!(tasks.finish(Instant::now()).await, Finish::CutShort);
        tasks.spawn("failing", async { Err::<(), TaskError>("disk full".into()) });
        assert_eq!(tasks.finish(soon()).await, Finish::CutShort);
    }
}
