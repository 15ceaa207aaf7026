//! What comes at the same time is written together: appends and requests of all callers in one transaction.
use async_trait::async_trait;
use deed_store::{
    Append, AppendBackend, AppendError, Appended, BatchBackend, Begin, Position, Receipt, RequestKey,
    Unavailable,
};

use crate::append::{Heads, Prepared, Written};
use crate::idempotency::{Answers, Beginning, Requests, abandon};
use crate::open::Database;
use crate::writer::Durability;

const WHAT: &str = "write to the store";

/// One write.
pub(crate) enum Op {
    Append(Box<Prepared>),
    Begin(Beginning),
    Complete(Receipt),
    Abandon(RequestKey),
}

/// What became of it.
pub(crate) enum Answer {
    Appended(Result<Appended, AppendError>),
    Begun(Begin),
    Done,
}

#[derive(Debug, thiserror::Error)]
#[error("the answer belongs to another kind of write")]
struct Misanswered;

impl Answer {
    pub(crate) fn appended(self) -> Result<Appended, AppendError> {
        match self {
            Self::Appended(result) => result,
            _ => Err(Unavailable::new(WHAT, Misanswered).into()),
        }
    }

    pub(crate) fn begun(self) -> Result<Begin, Unavailable> {
        match self {
            Self::Begun(begin) => Ok(begin),
            _ => Err(Unavailable::new(WHAT, Misanswered)),
        }
    }
}

impl Op {
    fn append(&self) -> Option<&Prepared> {
        if let Self::Append(append) = self { Some(append) } else { None }
    }

    fn begin(&self) -> Option<&Beginning> {
        if let Self::Begin(beginning) = self { Some(beginning) } else { None }
    }

    fn abandon(&self) -> Option<&RequestKey> {
        if let Self::Abandon(request) = self { Some(request) } else { None }
    }
}

#[async_trait]
impl BatchBackend for Database {
    type Op = Op;
    type Answer = Answer;

    /// As if all beginnings came first, in their order, then the appends in theirs, then the rest: nobody can tell,
    /// since nobody has an answer yet. Synced for the sake of appends only. When power is lost before an append was
    /// synced, the run of its request is lost with it; an answer that had no effect may be found anew.
    async fn carry_out(&self, batch: Vec<Op>) -> Result<Vec<Answer>, Unavailable> {
        let appends: Vec<_> = batch.iter().filter_map(Op::append).collect();
        let begun: Vec<_> = batch.iter().filter_map(Op::begin).collect();
        let abandoned: Vec<_> = batch.iter().filter_map(Op::abandon).collect();
        if !appends.is_empty() {
            self.told.batch(appends.len());
        }
        let durability = if appends.is_empty() { Durability::Ordered } else { Durability::Synced };
        let mut turn = self.writer.turn(durability, WHAT).await?;
        let mut tx = turn.begin().await?;
        let mut requests = Requests::read(&mut tx, &begun).await?;
        let mut log = Heads::read(&mut tx, &appends).await?;
        let (mut written, mut kept) = (Written::default(), Answers::default());
        let answers = batch.iter().map(|op| match op {
            Op::Append(append) => Answer::Appended(log.place(append, &mut written, &mut kept)),
            Op::Begin(beginning) => Answer::Begun(requests.begin(beginning)),
            Op::Complete(receipt) => {
                kept.keep(receipt);
                Answer::Done
            }
            Op::Abandon(_) => Answer::Done,
        });
        let answers = answers.collect();
        requests.write(&mut tx).await?;
        written.insert(&mut tx).await?;
        kept.write(&mut tx).await?;
        abandon(&mut tx, &abandoned).await?;
        tx.commit().await.map_err(|e| Unavailable::new(WHAT, e))?;
        self.saw(Position(log.last));
        Ok(answers)
    }
}

#[async_trait]
impl AppendBackend for Database {
    async fn append_batch(
        &self,
        batch: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendError>>, Unavailable> {
        let batch = batch.into_iter().map(|append| Ok(Op::Append(Box::new(Prepared::new(append)?))));
        let answers = self.carry_out(batch.collect::<Result<_, Unavailable>>()?).await?;
        Ok(answers.into_iter().map(Answer::appended).collect())
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
        let micros = |second: i64| second * 1_000_000;
        Op::Begin(Beginning {
            request: key(name),
            fingerprint: [fingerprint; 32],
            now: micros(second),
            locked_until: micros(second + 60),
            forget_before: micros(second - 86_400),
        })
    }

    fn receipt(name: &str, body: &str) -> Receipt {
        Receipt { request: key(name), response: StoredResponse { status: 200, body: body.to_owned() } }
    }

    async fn begun(store: &SqliteStore, batch: Vec<Op>) -> Vec<Begin> {
        let answers = store.database.carry_out(batch).await.unwrap();
        answers.into_iter().map(|answer| answer.begun().unwrap()).collect()
    }

    #[tokio::test]
    async fn beginnings_in_a_batch_answer_as_if_one_came_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        store.database.carry_out(vec![begin("known", 1, 0)]).await.unwrap();
        store.complete(&receipt("known", "done")).await.unwrap();
        let batch = vec![
            begin("new", 1, 0),
            begin("known", 1, 1),
            begin("new", 1, 1),
            begin("known", 2, 1),
            begin("new", 2, 1),
            // The run that this very batch began is dead by then.
            begin("new", 1, 60),
            begin("new", 1, 61),
            // The answer is a day old.
            begin("known", 2, 90_000),
            begin("known", 1, 90_000),
        ];
        let answered = Begin::Answered(receipt("known", "done").response);
        let expected = [
            Begin::Started,
            answered,
            Begin::Running,
            Begin::Mismatch,
            Begin::Mismatch,
            Begin::Started,
            Begin::Running,
            Begin::Started,
            Begin::Mismatch,
        ];
        assert_eq!(begun(&store, batch).await, expected);
        // The last run of each is what was written.
        let after = vec![begin("new", 1, 119), begin("new", 1, 120), begin("known", 2, 90_001)];
        assert_eq!(begun(&store, after).await, [Begin::Running, Begin::Started, Begin::Running]);
    }

    #[tokio::test]
    async fn an_answer_and_an_abandonment_come_after_the_beginnings_of_their_batch() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let batch = vec![
            Op::Abandon(key("abandoned")),
            Op::Complete(receipt("answered", "done")),
            begin("abandoned", 1, 0),
            begin("answered", 1, 0),
            begin("untouched", 1, 0),
        ];
        store.database.carry_out(batch).await.unwrap();
        let after = vec![begin("abandoned", 1, 1), begin("answered", 1, 1), begin("untouched", 1, 1)];
        let answered = Begin::Answered(receipt("answered", "done").response);
        assert_eq!(begun(&store, after).await, [Begin::Started, answered, Begin::Running]);
    }

    #[tokio::test]
    async fn concurrent_beginnings_of_one_request_start_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut beginning = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let store = store.clone();
            beginning.spawn(async move {
                store.begin(&key("one"), [1; 32], at(0), at(60), at(-86_400)).await.unwrap()
            });
        }
        let begun = beginning.join_all().await;
        assert_eq!(begun.iter().filter(|begin| **begin == Begin::Started).count(), 1);
        assert_eq!(begun.iter().filter(|begin| **begin == Begin::Running).count(), 63);
        let stats = store.commit.stats();
        assert!(stats.batches < stats.appends, "they were not gathered: {stats:?}");
    }
}
