//! Staggered queries to several servers: one starts when the servers before it have failed or are slow.
use std::time::Duration;

use deed_diagnosis::NetworkFault;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use crate::exchange::NoReply;
use crate::response::Response;

/// Why none of a zone's servers gave a usable answer.
#[derive(Debug)]
pub(crate) enum ZoneFailure {
    BudgetSpent,
    /// The egress filter refuses every address.
    Blocked,
    Unusable(Vec<ServerFailure>),
}

/// Why one server's reply is unusable.
#[derive(Debug)]
pub(crate) enum ServerFailure {
    Rcode(u16),
    Fault(NetworkFault),
}

/// Queries of which some are running and the others wait.
pub(crate) struct StaggeredQueries<I: Iterator> {
    waiting: I,
    running: FuturesUnordered<I::Item>,
    /// How long a running query may take before the next one starts.
    patience: Duration,
    next_start: Instant,
}

impl<I: ExactSizeIterator<Item: Future>> StaggeredQueries<I> {
    /// Starts no query yet; the first one is due at once.
    pub(crate) fn new(waiting: I, patience: Duration) -> Self {
        Self { waiting, running: FuturesUnordered::new(), patience, next_start: Instant::now() }
    }

    /// Starts at most so many of the waiting queries.
    pub(crate) fn start(&mut self, count: usize) {
        self.running.extend(self.waiting.by_ref().take(count));
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether the next query has to start.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.next_start
    }

    /// The next query starts when the running ones have taken too long.
    pub(crate) fn delay_next(&mut self) {
        self.next_start = Instant::now() + self.patience;
    }

    /// The next query starts at once.
    pub(crate) fn hasten_next(&mut self) {
        self.next_start = Instant::now();
    }

    /// The result of a running query; none when the next query is due first, or none is running.
    pub(crate) async fn next(&mut self) -> Option<<I::Item as Future>::Output> {
        tokio::select! {
            result = self.running.next() => result,
            () = sleep_until(self.next_start), if self.waiting.len() > 0 => None,
        }
    }
}

/// The usable part of one server's reply; a reply without it is added to the failures.
///
/// # Errors
/// [`ZoneFailure::BudgetSpent`] when there is nothing left to query other servers with.
pub(crate) fn usable<T>(
    result: Result<Response, NoReply>,
    read: impl FnOnce(Response) -> Option<T>,
    failures: &mut Vec<ServerFailure>,
) -> Result<Option<T>, ZoneFailure> {
    match result {
        Ok(response) => {
            let rcode = response.rcode();
            let usable = read(response);
            if usable.is_none() {
                failures.push(ServerFailure::Rcode(rcode));
            }
            return Ok(usable);
        }
        Err(NoReply::BudgetSpent) => return Err(ZoneFailure::BudgetSpent),
        Err(NoReply::Fault(fault)) => failures.push(ServerFailure::Fault(fault)),
        Err(NoReply::Blocked) => {}
    }
    Ok(None)
}
