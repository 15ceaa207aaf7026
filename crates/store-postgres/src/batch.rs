//! What is appended at the same time is written together.
use async_trait::async_trait;
use deed_store::{Append, AppendBackend, AppendError, Appended, BatchBackend, Position, Unavailable};

use crate::append::{AppendAnswer, Heads, Prepared, WHAT, Written};
use crate::open::Database;

/// How often a batch is planned anew. Each time another process has appended to one of its streams, and the append that
/// expected otherwise is out of the next plan.
const TRIES: usize = 64;

#[derive(Debug, thiserror::Error)]
#[error("other processes appended to the same streams {TRIES} times")]
struct Crowded;

#[async_trait]
impl BatchBackend for Database {
    type Op = Prepared;
    type Answer = AppendAnswer;

    async fn carry_out(&self, batch: Vec<Prepared>) -> Result<Vec<AppendAnswer>, Unavailable> {
        self.told.batch(batch.len());
        let mut heads = Heads::default();
        for _ in 0..TRIES {
            let plan = heads.plan(&batch);
            if plan.is_empty() {
                return Ok(plan.answers(0));
            }
            match plan.write(&self.log).await? {
                Written::UpTo(last) => {
                    self.saw(Position(last));
                    return Ok(plan.answers(last));
                }
                Written::Elsewhere(seen) => heads.learn(&plan, seen)?,
                Written::Overtaken => {}
            }
        }
        Err(Unavailable::new(WHAT, Crowded))
    }
}

#[async_trait]
impl AppendBackend for Database {
    async fn append_batch(
        &self,
        batch: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendError>>, Unavailable> {
        self.carry_out(batch.into_iter().map(Prepared::new).collect::<Result<_, _>>()?).await
    }
}
