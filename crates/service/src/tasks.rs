//! Supervised tasks with names and results.
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

/// The error of a task.
pub(crate) type TaskError = Box<dyn Error + Send + Sync>;

/// Tasks that are stopped together.
#[derive(Default)]
pub(crate) struct Tasks {
    running: JoinSet<Result<(), TaskError>>,
    names: HashMap<Id, &'static str>,
}

/// The name and the result of a task that has ended.
#[derive(Debug)]
pub(crate) struct TaskExit {
    pub name: &'static str,
    pub result: Result<(), TaskError>,
}

impl fmt::Display for TaskExit {
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

    /// Waits for the next task to end; pending for ever when there is none.
    pub(crate) async fn next(&mut self) -> TaskExit {
        match self.running.join_next_with_id().await {
            Some(task_exit) => self.task_exit(task_exit),
            None => std::future::pending().await,
        }
    }

    /// Waits until all tasks, which have been told to stop, have ended; aborts the rest at the deadline.
    /// Errors are logged.
    pub(crate) async fn finish(&mut self, deadline: Instant) -> ShutdownOutcome {
        let mut finish = ShutdownOutcome::Clean;
        while !self.running.is_empty() {
            let Ok(Some(task_exit)) = timeout_at(deadline, self.running.join_next_with_id()).await else {
                let late: Vec<_> = self.names.values().copied().collect();
                tracing::error!(tasks = ?late, "not finished in time, dropped");
                self.running.abort_all();
                return ShutdownOutcome::Incomplete;
            };
            let task_exit = self.task_exit(task_exit);
            if let Err(error) = &task_exit.result {
                tracing::error!(error = &**error as &dyn Error, "{task_exit} while it was stopping");
                finish = ShutdownOutcome::Incomplete;
            }
        }
        finish
    }

    fn task_exit(&mut self, task_exit: Result<(Id, Result<(), TaskError>), JoinError>) -> TaskExit {
        let (id, result) = match task_exit {
            Ok((id, result)) => (id, result),
            Err(panicked) => (panicked.id(), Err(panicked.into())),
        };
        TaskExit { name: self.names.remove(&id).unwrap_or("task"), result }
    }
}

/// The result of stopping tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutdownOutcome {
    /// All work was finished.
    Clean,
    /// A task failed or was aborted.
    Incomplete,
}

impl ShutdownOutcome {
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Clean { other } else { self }
    }
}

/// The deadline minus a reserve for later steps.
pub(crate) fn deadline_before(deadline: Instant, reserve: Duration) -> Instant {
    deadline.checked_sub(reserve).unwrap_or(deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn panic_and_error_name_the_task() {
        let mut tasks = Tasks::default();
        tasks.spawn("relay", async { Err::<(), _>(std::io::Error::other("gone")) });
        let task_exit = tasks.next().await;
        assert_eq!(task_exit.to_string(), "the relay died");
        assert_eq!(task_exit.result.unwrap_err().to_string(), "gone");
        tasks.spawn("verifier", async {
            if soon() > Instant::now() { panic!("a bug") } else { Ok::<_, TaskError>(()) }
        });
        assert_eq!(tasks.next().await.to_string(), "the verifier died");
        tasks.spawn("projector", async { Ok::<_, TaskError>(()) });
        assert_eq!(tasks.next().await.to_string(), "the projector ended");
    }

    #[tokio::test]
    async fn aborts_tasks_at_deadline() {
        let mut tasks = Tasks::default();
        tasks.spawn("quick", async { Ok::<_, TaskError>(()) });
        assert_eq!(tasks.finish(soon()).await, ShutdownOutcome::Clean);
        tasks.spawn("slow", std::future::pending::<Result<(), TaskError>>());
        assert_eq!(tasks.finish(Instant::now()).await, ShutdownOutcome::Incomplete);
        tasks.spawn("failing", async { Err::<(), TaskError>("disk full".into()) });
        assert_eq!(tasks.finish(soon()).await, ShutdownOutcome::Incomplete);
    }
}
