//! What comes at the same time is written together: appends and requests of all callers in one transaction.
use async_trait::async_trait;
use deed_store::{
    Append, AppendBackend, AppendError, Appended, BatchWriter, Begin, Position, Receipt, RequestKey,
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
impl BatchWriter for Database {
    type Op = Op;
    type Answer = Answer;

    /// As if all beginnings came first, in their order, then the appends in theirs, then the rest: nobody can tell,
    /// since nobody has an answer yet. Synced for the sake of appends only. When power is lost before an append was
    /// synced, the run of its request is lost with it; an answer that had no effect may be found anew.
    async fn write(&self, batch: Vec<Op>) -> Result<Vec<Answer>, Unavailable> {
        let appends: Vec<_> = batch.iter().filter_map(Op::append).collect();
        let begun: Vec<_> = batch.iter().filter_map(Op::begin).collect();
        let abandoned: Vec<_> = batch.iter().filter_map(Op::abandon).collect();
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
        let answers = self.write(batch.collect::<Result<_, Unavailable>>()?).await?;
        Ok(answers.into_iter().map(Answer::appended).collect())
    }
}
