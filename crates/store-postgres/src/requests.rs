//! Requests that are begun or answered at the same time: one statement for all that are new, and more only where one was
//! begun before.
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{BatchBackend, Begin, Receipt, RequestKey, StoredResponse, Unavailable};

use crate::append::Answers;
use crate::columns::Reading;
use crate::idempotency::{self, Columns};
use crate::open::{Database, Misanswered};
use crate::pool::{Failure, Pool};

const WHAT: &str = "begin requests";
/// How often something is tried that another process got in the way of.
const TRIES: usize = 16;

/// A request to be begun.
pub(crate) struct Beginning {
    pub(crate) request: RequestKey,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) now: DateTime<Utc>,
    pub(crate) locked_until: DateTime<Utc>,
    pub(crate) forget_before: DateTime<Utc>,
}

/// One write.
pub(crate) enum RequestOp {
    Begin(Beginning),
    Complete(Receipt),
    Abandon(RequestKey),
}

/// What became of it.
pub(crate) enum RequestAnswer {
    Begun(Begin),
    Done,
}

impl RequestAnswer {
    pub(crate) fn begun(self) -> Result<Begin, Unavailable> {
        match self {
            Self::Begun(begin) => Ok(begin),
            Self::Done => Err(Misanswered::to(WHAT)),
        }
    }
}

/// The last run of a request.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) fingerprint: [u8; 32],
    pub(crate) begun_at: DateTime<Utc>,
    pub(crate) locked_until: DateTime<Utc>,
    pub(crate) response: Option<StoredResponse>,
}

impl Run {
    fn of(beginning: &Beginning) -> Self {
        Self {
            fingerprint: beginning.fingerprint,
            begun_at: beginning.now,
            locked_until: beginning.locked_until,
            response: None,
        }
    }

    /// Whether another run may take the place of this one.
    fn gives_way_to(&self, beginning: &Beginning) -> bool {
        let dead = self.response.is_none() && self.locked_until <= beginning.now;
        let old = self.begun_at < beginning.forget_before;
        (old && (dead || self.response.is_some())) || (dead && self.fingerprint == beginning.fingerprint)
    }

    /// What a beginning is told that does not take its place.
    fn tell(&self, beginning: &Beginning) -> Begin {
        match &self.response {
            _ if self.fingerprint != beginning.fingerprint => Begin::Mismatch,
            Some(response) => Begin::Answered(response.clone()),
            None => Begin::Running,
        }
    }
}

/// The beginnings of one request, in their order, and what is known of it.
#[derive(Default)]
struct Asked<'a> {
    beginnings: Vec<(usize, &'a Beginning)>,
    decided: usize,
    run: Option<Run>,
}

impl<'a> Asked<'a> {
    fn next(&self) -> Option<(usize, &'a Beginning)> {
        self.beginnings.get(self.decided).copied()
    }

    /// The next one is the run now.
    fn started(&mut self, answers: &mut [RequestAnswer]) {
        if let Some((place, beginning)) = self.next() {
            answers[place] = RequestAnswer::Begun(Begin::Started);
            self.run = Some(Run::of(beginning));
            self.decided += 1;
        }
    }

    /// Answers as many as the run allows; the next, if any, may take its place.
    fn decide(&mut self, answers: &mut [RequestAnswer]) {
        let Some(run) = &self.run else { return };
        while let Some((place, beginning)) = self.beginnings.get(self.decided).copied() {
            if run.gives_way_to(beginning) {
                return;
            }
            answers[place] = RequestAnswer::Begun(run.tell(beginning));
            self.decided += 1;
        }
    }
}

/// Writes what the gatherer has gathered.
pub(crate) struct RequestWriter(pub(crate) Arc<Database>);

#[derive(Debug, thiserror::Error)]
#[error("other processes changed the same requests {TRIES} times")]
struct Crowded;

#[async_trait]
impl BatchBackend for RequestWriter {
    type Op = RequestOp;
    type Answer = RequestAnswer;

    /// As if all beginnings came first, in their order, then the rest: nobody can tell, since nobody has an answer yet.
    /// None of it is waited for to reach the disk. When the server's power is lost before an append was synced, the run
    /// of its request is lost with it; an answer that had no effect may be found anew.
    async fn carry_out(&self, batch: Vec<RequestOp>) -> Result<Vec<RequestAnswer>, Unavailable> {
        let pool = &self.0.requests;
        let mut answers: Vec<_> = batch.iter().map(|_| RequestAnswer::Done).collect();
        let mut asked: BTreeMap<(&str, &str), Asked<'_>> = BTreeMap::new();
        let (mut kept, mut abandoned) = (Answers::default(), vec![]);
        for (place, op) in batch.iter().enumerate() {
            match op {
                RequestOp::Begin(beginning) => {
                    asked.entry(key(&beginning.request)).or_default().beginnings.push((place, beginning));
                }
                RequestOp::Complete(receipt) => kept.keep(receipt),
                RequestOp::Abandon(request) => abandoned.push(key(request)),
            }
        }
        begin(pool, asked, &mut answers).await?;
        if !kept.key_ids.is_empty() {
            again(|| idempotency::keep(pool, &kept)).await?;
        }
        if !abandoned.is_empty() {
            let columns = Columns::of(abandoned.into_iter());
            again(|| idempotency::abandon(pool, &columns)).await?;
        }
        Ok(answers)
    }
}

fn key(request: &RequestKey) -> (&str, &str) {
    (&request.key_id.0, &request.idempotency_key)
}

/// Tries a statement again that fell to a deadlock, of which nothing is left.
async fn again<T, F: Future<Output = Result<T, (&'static str, Failure)>>>(
    mut statement: impl FnMut() -> F,
) -> Result<T, Unavailable> {
    let mut tries = 1;
    loop {
        match statement().await {
            Err((_, failure)) if failure.is_rolled_back() && tries < TRIES => tries += 1,
            other => return other.map_err(|(what, failure)| Unavailable::new(what, failure)),
        }
    }
}

/// Rows are written in the order of their key, as by everybody who changes several.
async fn begin(
    pool: &Pool,
    mut asked: BTreeMap<(&str, &str), Asked<'_>>,
    answers: &mut [RequestAnswer],
) -> Result<(), Unavailable> {
    for _ in 0..TRIES {
        asked.retain(|_, asked| asked.next().is_some());
        if asked.is_empty() {
            return Ok(());
        }
        start(pool, &mut asked, answers).await?;
        learn(pool, &mut asked).await?;
        decide(&mut asked, answers);
        replace(pool, &mut asked, answers).await?;
        decide(&mut asked, answers);
    }
    Err(Unavailable::new(WHAT, Crowded))
}

/// Answers those that what is known allows to.
fn decide(asked: &mut BTreeMap<(&str, &str), Asked<'_>>, answers: &mut [RequestAnswer]) {
    for asked in asked.values_mut() {
        asked.decide(answers);
    }
}

/// Begins those of which nothing is known, as far as there is nothing.
async fn start(
    pool: &Pool,
    asked: &mut BTreeMap<(&str, &str), Asked<'_>>,
    answers: &mut [RequestAnswer],
) -> Result<(), Unavailable> {
    let unknown = asked.iter().filter(|(_, asked)| asked.run.is_none());
    let runs: Vec<_> = unknown.filter_map(|(key, asked)| Some((*key, Run::of(asked.next()?.1)))).collect();
    if runs.is_empty() {
        return Ok(());
    }
    let started = again(|| idempotency::start(pool, &runs)).await?;
    let started = set(&started);
    asked.iter_mut().filter(|(key, _)| started.contains(*key)).for_each(|(_, asked)| asked.started(answers));
    Ok(())
}

/// Looks at those that were there; one that is gone meanwhile is begun the next time.
async fn learn(pool: &Pool, asked: &mut BTreeMap<(&str, &str), Asked<'_>>) -> Result<(), Unavailable> {
    let mut unknown: Vec<_> = asked.iter_mut().filter(|(_, asked)| asked.run.is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(unknown.iter().map(|(key, _)| **key));
    for (place, run) in again(|| idempotency::runs(pool, &columns)).await? {
        let (_, asked) = unknown.get_mut(place).ok_or_else(|| Reading(WHAT).unreadable("place", None))?;
        asked.run = Some(run);
    }
    Ok(())
}

/// Puts new runs in the place of those that give way, unless another process was faster.
async fn replace(
    pool: &Pool,
    asked: &mut BTreeMap<(&str, &str), Asked<'_>>,
    answers: &mut [RequestAnswer],
) -> Result<(), Unavailable> {
    let giving_way = asked.iter().filter_map(|(key, asked)| {
        let (_, beginning) = asked.next()?;
        Some((*key, asked.run.clone()?, Run::of(beginning)))
    });
    let pairs: Vec<_> = giving_way.collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let replaced = again(|| idempotency::replace(pool, &pairs)).await?;
    let replaced = set(&replaced);
    for (key, ..) in &pairs {
        match asked.get_mut(key) {
            Some(asked) if replaced.contains(key) => asked.started(answers),
            Some(asked) => asked.run = None,
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
