//! The write batch: concurrent appends and idempotent requests of all callers, in one transaction.
use async_trait::async_trait;
use deed_store::{
    AppendError, AppendPlan, Appended, BatchBackend, Begin, BeginRequest, EncodedAppend, Position, Receipt,
    RequestKey, Unavailable,
};

use crate::append::{insert, read_versions};
use crate::idempotency::{RequestRuns, abandon, write_receipts};
use crate::open::StoreInner;
use crate::writer::Durability;

const OPERATION: &str = "write to the store";

/// One write.
pub(crate) enum Op {
    Append(Box<EncodedAppend>),
    Begin(BeginRequest),
    Complete(Receipt),
    Abandon(RequestKey),
}

/// The reply to an [`Op`].
pub(crate) enum OpReply {
    Appended(Result<Appended, AppendError>),
    Begun(Begin),
    Done,
}

#[derive(Debug, thiserror::Error)]
#[error("the reply belongs to another kind of write")]
struct UnexpectedReply;

impl OpReply {
    pub(crate) fn appended(self) -> Result<Appended, AppendError> {
        match self {
            Self::Appended(result) => result,
            _ => Err(Unavailable::new(OPERATION, UnexpectedReply).into()),
        }
    }

    pub(crate) fn begun(self) -> Result<Begin, Unavailable> {
        match self {
            Self::Begun(begin) => Ok(begin),
            _ => Err(Unavailable::new(OPERATION, UnexpectedReply)),
        }
    }
}

impl Op {
    fn append(&self) -> Option<&EncodedAppend> {
        if let Self::Append(append) = self { Some(append) } else { None }
    }

    fn begin(&self) -> Option<&BeginRequest> {
        if let Self::Begin(begin) = self { Some(begin) } else { None }
    }

    fn abandon(&self) -> Option<&RequestKey> {
        if let Self::Abandon(request) = self { Some(request) } else { None }
    }
}

#[async_trait]
impl BatchBackend for StoreInner {
    type Op = Op;
    type OpResult = OpReply;

    /// Begins come first, then appends, then the rest, each in their order: no caller can tell, since none has its reply
    /// yet. Only appends are synced to disk. When power is lost before an append was synced, the run of its request is
    /// lost too; a response without an effect can be computed again.
    async fn execute_batch(&self, batch: Vec<Op>) -> Result<Vec<OpReply>, Unavailable> {
        let appends: Vec<_> = batch.iter().filter_map(Op::append).collect();
        let begins: Vec<_> = batch.iter().filter_map(Op::begin).collect();
        let abandoned: Vec<_> = batch.iter().filter_map(Op::abandon).collect();
        if !appends.is_empty() {
            self.metrics.record_batch(appends.len());
        }
        let durability = if appends.is_empty() { Durability::Ordered } else { Durability::Synced };
        let mut writer = self.writer.lock(durability, OPERATION).await?;
        let mut tx = writer.begin().await?;
        let mut requests = RequestRuns::read(&mut tx, &begins).await?;
        let (end, versions) = read_versions(&mut tx, &appends).await?;
        let mut plan = AppendPlan::on(versions);
        let replies = batch.iter().map(|op| match op {
            Op::Append(append) => OpReply::Appended(plan.add(append).map(|placement| placement.after(end))),
            Op::Begin(begin) => OpReply::Begun(requests.begin(begin)),
            Op::Complete(receipt) => {
                plan.receipts.push(receipt);
                OpReply::Done
            }
            Op::Abandon(_) => OpReply::Done,
        });
        let replies = replies.collect();
        requests.write(&mut tx).await?;
        insert(&mut tx, &plan, end).await?;
        write_receipts(&mut tx, &plan.receipts).await?;
        abandon(&mut tx, &abandoned).await?;
        tx.commit().await.map_err(|e| Unavailable::new(OPERATION, e))?;
        self.advance_head(Position(end.0 + plan.events.len() as u64));
        Ok(replies)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use deed_store::{Idempotency, KeyId, StoredResponse};

    use super::*;
    use crate::open::{SqliteConfig, SqliteStore};

    fn key(name: &str) -> RequestKey {
        RequestKey { key_id: KeyId("key_1".into()), idempotency_key: name.to_owned() }
    }

    fn begin(name: &str, fingerprint: u8, second: i64) -> Op {
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
        Op::Begin(BeginRequest {
            request: key(name),
            fingerprint: [fingerprint; 32],
            now: at(second),
            locked_until: at(second + 60),
            forget_before: at(second - 86_400),
        })
    }

    fn receipt(name: &str, body: &str) -> Receipt {
        Receipt { request: key(name), response: StoredResponse { status: 200, body: body.to_owned() } }
    }

    async fn begun(store: &SqliteStore, batch: Vec<Op>) -> Vec<Begin> {
        let replies = store.inner.execute_batch(batch).await.unwrap();
        replies.into_iter().map(|reply| reply.begun().unwrap()).collect()
    }

    #[tokio::test]
    async fn complete_and_abandon_apply_after_begins() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let batch = vec![
            Op::Abandon(key("abandoned")),
            Op::Complete(receipt("answered", "done")),
            begin("abandoned", 1, 0),
            begin("answered", 1, 0),
            begin("untouched", 1, 0),
        ];
        store.inner.execute_batch(batch).await.unwrap();
        let after = vec![begin("abandoned", 1, 1), begin("answered", 1, 1), begin("untouched", 1, 1)];
        let answered = Begin::Answered(receipt("answered", "done").response);
        assert_eq!(begun(&store, after).await, [Begin::Started, answered, Begin::Running]);
    }

    #[tokio::test]
    async fn concurrent_begins_start_a_request_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut begins = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let store = store.clone();
            begins.spawn(async move {
                store.begin(&key("one"), [1; 32], at(0), at(60), at(-86_400)).await.unwrap()
            });
        }
        let begun = begins.join_all().await;
        assert_eq!(begun.iter().filter(|begin| **begin == Begin::Started).count(), 1);
        assert_eq!(begun.iter().filter(|begin| **begin == Begin::Running).count(), 63);
        let stats = store.write_batcher.stats();
        assert!(stats.batches < stats.ops, "they were not batched: {stats:?}");
    }
}
