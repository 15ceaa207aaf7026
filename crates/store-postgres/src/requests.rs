//! The batch of idempotent requests: one statement for all new requests, and more only for requests that were begun
//! before.
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use deed_store::{BatchBackend, Begin, BeginRequest, Receipt, Receipts, RequestKey, RequestRun, Unavailable};

use crate::append::ReceiptColumns;
use crate::columns::Decoder;
use crate::idempotency::{self, KeyColumns};
use crate::open::{StoreInner, UnexpectedReply};
use crate::pool::{CallError, Pool};

const OPERATION: &str = "begin requests";
/// How often a statement is tried that conflicts with other processes.
const ATTEMPTS: usize = 16;

/// One write.
pub(crate) enum RequestOp {
    Begin(BeginRequest),
    Complete(Receipt),
    Abandon(RequestKey),
}

/// The reply to a [`RequestOp`].
pub(crate) enum RequestReply {
    Begun(Begin),
    Done,
}

impl RequestReply {
    pub(crate) fn begun(self) -> Result<Begin, Unavailable> {
        match self {
            Self::Begun(begin) => Ok(begin),
            Self::Done => Err(UnexpectedReply::to(OPERATION)),
        }
    }
}

/// The begins of one request in their order, and its run as far as it is known.
#[derive(Default)]
struct PendingBegins<'a> {
    begins: Vec<(usize, &'a BeginRequest)>,
    decided: usize,
    run: Option<RequestRun>,
}

impl<'a> PendingBegins<'a> {
    fn next(&self) -> Option<(usize, &'a BeginRequest)> {
        self.begins.get(self.decided).copied()
    }

    /// The next begin has started its run.
    fn started(&mut self, replies: &mut [RequestReply]) {
        if let Some((index, begin)) = self.next() {
            replies[index] = RequestReply::Begun(Begin::Started);
            self.run = Some(RequestRun::of(begin));
            self.decided += 1;
        }
    }

    /// Replies to the begins that the run decides; the next one may replace the run.
    fn decide(&mut self, replies: &mut [RequestReply]) {
        let Some(run) = &self.run else { return };
        while let Some((index, begin)) = self.begins.get(self.decided).copied() {
            let Some(reply) = run.reply_to(begin) else { return };
            replies[index] = RequestReply::Begun(reply);
            self.decided += 1;
        }
    }
}

/// Executes batches of idempotent requests.
pub(crate) struct RequestWriter(pub(crate) Arc<StoreInner>);

#[derive(Debug, thiserror::Error)]
#[error("other processes changed the same requests {ATTEMPTS} times")]
struct RetriesExhausted;

#[async_trait]
impl BatchBackend for RequestWriter {
    type Op = RequestOp;
    type OpResult = RequestReply;

    /// Begins come first, then the rest, each in their order: no caller can tell, since none has its reply yet. None of it
    /// is synced to disk. When the server loses power before an append was synced, the run of its request is lost too; a
    /// response without an effect can be computed again.
    async fn execute_batch(&self, batch: Vec<RequestOp>) -> Result<Vec<RequestReply>, Unavailable> {
        let pool = &self.0.requests;
        let mut replies: Vec<_> = batch.iter().map(|_| RequestReply::Done).collect();
        let mut pending: BTreeMap<(&str, &str), PendingBegins<'_>> = BTreeMap::new();
        let (mut receipts, mut abandoned) = (Receipts::default(), vec![]);
        for (index, op) in batch.iter().enumerate() {
            match op {
                RequestOp::Begin(begin) => {
                    pending.entry(key(&begin.request)).or_default().begins.push((index, begin));
                }
                RequestOp::Complete(receipt) => receipts.push(receipt),
                RequestOp::Abandon(request) => abandoned.push(key(request)),
            }
        }
        begin(pool, pending, &mut replies).await?;
        if !receipts.is_empty() {
            let receipts = ReceiptColumns::of(&receipts);
            retry(|| idempotency::complete(pool, &receipts)).await?;
        }
        if !abandoned.is_empty() {
            let columns = KeyColumns::of(abandoned.into_iter());
            retry(|| idempotency::abandon(pool, &columns)).await?;
        }
        Ok(replies)
    }
}

fn key(request: &RequestKey) -> (&str, &str) {
    (&request.key_id.0, &request.idempotency_key)
}

/// Retries a statement that the server rolled back because of a deadlock.
async fn retry<T, F: Future<Output = Result<T, (&'static str, CallError)>>>(
    mut statement: impl FnMut() -> F,
) -> Result<T, Unavailable> {
    let mut attempts = 1;
    loop {
        match statement().await {
            Err((_, error)) if error.is_rolled_back() && attempts < ATTEMPTS => attempts += 1,
            other => return other.map_err(|(operation, error)| Unavailable::new(operation, error)),
        }
    }
}

/// Writes rows in the order of the key, as every statement that changes several rows.
async fn begin(
    pool: &Pool,
    mut pending: BTreeMap<(&str, &str), PendingBegins<'_>>,
    replies: &mut [RequestReply],
) -> Result<(), Unavailable> {
    for _ in 0..ATTEMPTS {
        pending.retain(|_, begins| begins.next().is_some());
        if pending.is_empty() {
            return Ok(());
        }
        start(pool, &mut pending, replies).await?;
        read_runs(pool, &mut pending).await?;
        decide(&mut pending, replies);
        replace(pool, &mut pending, replies).await?;
        decide(&mut pending, replies);
    }
    Err(Unavailable::new(OPERATION, RetriesExhausted))
}

/// Replies to the begins that known runs decide.
fn decide(pending: &mut BTreeMap<(&str, &str), PendingBegins<'_>>, replies: &mut [RequestReply]) {
    for begins in pending.values_mut() {
        begins.decide(replies);
    }
}

/// Inserts runs for requests without a known run; it skips requests that have one.
async fn start(
    pool: &Pool,
    pending: &mut BTreeMap<(&str, &str), PendingBegins<'_>>,
    replies: &mut [RequestReply],
) -> Result<(), Unavailable> {
    let unknown = pending.iter().filter(|(_, begins)| begins.run.is_none());
    let runs = unknown.filter_map(|(key, begins)| Some((*key, RequestRun::of(begins.next()?.1))));
    let runs: Vec<_> = runs.collect();
    if runs.is_empty() {
        return Ok(());
    }
    let started = retry(|| idempotency::start(pool, &runs)).await?;
    let started = set(&started);
    let started = pending.iter_mut().filter(|(key, _)| started.contains(*key));
    started.for_each(|(_, begins)| begins.started(replies));
    Ok(())
}

/// Reads the runs of requests that were begun before; one that was deleted meanwhile is begun in the next round.
async fn read_runs(
    pool: &Pool,
    pending: &mut BTreeMap<(&str, &str), PendingBegins<'_>>,
) -> Result<(), Unavailable> {
    let mut unknown: Vec<_> = pending.iter_mut().filter(|(_, begins)| begins.run.is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let columns = KeyColumns::of(unknown.iter().map(|(key, _)| **key));
    for (index, run) in retry(|| idempotency::runs(pool, &columns)).await? {
        let (_, begins) =
            unknown.get_mut(index).ok_or_else(|| Decoder(OPERATION).unreadable("place", None))?;
        begins.run = Some(run);
    }
    Ok(())
}

/// Replaces the runs that may be replaced, unless another process was faster.
async fn replace(
    pool: &Pool,
    pending: &mut BTreeMap<(&str, &str), PendingBegins<'_>>,
    replies: &mut [RequestReply],
) -> Result<(), Unavailable> {
    let replaceable = pending.iter().filter_map(|(key, begins)| {
        let (_, begin) = begins.next()?;
        Some((*key, begins.run.clone()?, RequestRun::of(begin)))
    });
    let pairs: Vec<_> = replaceable.collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let replaced = retry(|| idempotency::replace(pool, &pairs)).await?;
    let replaced = set(&replaced);
    for (key, ..) in &pairs {
        match pending.get_mut(key) {
            Some(begins) if replaced.contains(key) => begins.started(replies),
            Some(begins) => begins.run = None,
            None => {}
        }
    }
    Ok(())
}

fn set(keys: &[(String, String)]) -> HashSet<(&str, &str)> {
    keys.iter().map(|(key_id, idempotency_key)| (key_id.as_str(), idempotency_key.as_str())).collect()
}

#[cfg(test)]
mod tests;
