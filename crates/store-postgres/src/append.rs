//! Writing to the log: what a batch of appends writes is decided here, on what is believed of the streams, and written
//! by one call that refuses when a stream is elsewhere.
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use deed_store::{Append, AppendError, Appended, Position, RequestKey, StreamWrite, Unavailable, Version};

use crate::columns::{Reading, signed};
use crate::open::Misanswered;
use crate::pool::{Failure, Pool};

pub(crate) const WHAT: &str = "append to the log";
/// The log's unique key of stream and version.
const BY_VERSION: &str = "events_by_version";

pub(crate) type AppendAnswer = Result<Appended, AppendError>;

/// An append whose events are text already: encoding is done by who appends, not by who writes for all.
pub(crate) struct Prepared {
    append: Append,
    /// Of all events of all writes.
    payloads: Vec<String>,
    metadata: String,
}

impl Prepared {
    pub(crate) fn new(append: Append) -> Result<Self, Unavailable> {
        let unwritable = |e| Unavailable::new(WHAT, e);
        let payloads = append.writes.iter().flat_map(|w| &w.events).map(deed_claims::Event::payload);
        let payloads = payloads.collect::<Result<_, _>>().map_err(unwritable)?;
        let metadata = serde_json::to_string(&append.metadata).map_err(unwritable)?;
        Ok(Self { append, payloads, metadata })
    }
}

/// Where streams were seen. Of others it is believed that they are where the first append expects them: nearly all are,
/// so they are not asked for first.
#[derive(Default)]
pub(crate) struct Heads<'a>(HashMap<&'a str, u64>);

/// What an append becomes when the plan is written: where its last event stands among those of the plan, and the
/// versions.
struct Place {
    last: u64,
    versions: Vec<Version>,
}

/// What a batch writes if every stream is where it is believed to be; column by column.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    outcomes: Vec<Result<Place, AppendError>>,
    /// Streams that are written to, and the versions they are believed to be at.
    touched: Vec<&'a str>,
    believed: Vec<i64>,
    streams: Vec<&'a str>,
    versions: Vec<i64>,
    kinds: Vec<&'static str>,
    schemas: Vec<i32>,
    payloads: Vec<&'a str>,
    metadata: Vec<&'a str>,
    instants: Vec<DateTime<Utc>>,
    answers: Answers<'a>,
}

/// Answers to be kept, column by column; the first of each request.
#[derive(Default)]
pub(crate) struct Answers<'a> {
    seen: HashSet<&'a RequestKey>,
    pub(crate) key_ids: Vec<&'a str>,
    pub(crate) idempotency_keys: Vec<&'a str>,
    pub(crate) statuses: Vec<i32>,
    pub(crate) bodies: Vec<&'a str>,
}

impl<'a> Answers<'a> {
    pub(crate) fn keep(&mut self, receipt: &'a deed_store::Receipt) {
        let (request, response) = (&receipt.request, &receipt.response);
        if self.seen.insert(request) {
            self.key_ids.push(&request.key_id.0);
            self.idempotency_keys.push(&request.idempotency_key);
            self.statuses.push(response.status.into());
            self.bodies.push(&response.body);
        }
    }
}

/// What became of a plan.
pub(crate) enum Written {
    /// The log ends here now.
    UpTo(u64),
    /// Nothing was written: the touched streams are here.
    Elsewhere(Vec<i64>),
    /// Nothing was written: another process appended to one of the streams, or had to be let through.
    Overtaken,
}

impl<'a> Heads<'a> {
    pub(crate) fn learn(&mut self, plan: &Plan<'a>, seen: Vec<i64>) -> Result<(), Unavailable> {
        for (stream, version) in plan.touched.iter().zip(seen) {
            self.0.insert(stream, Reading(WHAT).number("version", version)?);
        }
        Ok(())
    }

    /// Gives each append its place after those before it, or finds that it conflicts; then nothing of it is written.
    pub(crate) fn plan(&self, batch: &'a [Prepared]) -> Plan<'a> {
        let mut plan = Plan::default();
        let mut now = HashMap::new();
        for prepared in batch {
            let outcome = self.place(prepared, &mut now, &mut plan);
            plan.outcomes.push(outcome);
        }
        plan
    }

    /// `now` is where the streams are after the appends before this one.
    fn place(
        &self,
        prepared: &'a Prepared,
        now: &mut HashMap<&'a str, u64>,
        plan: &mut Plan<'a>,
    ) -> Result<Place, AppendError> {
        let append = &prepared.append;
        let at = |write: &StreamWrite| {
            let stream = write.stream.as_str();
            now.get(stream).or_else(|| self.0.get(stream)).copied()
        };
        for write in &append.writes {
            if let Some(actual) = at(write).filter(|actual| *actual != write.expected.0) {
                let (stream, expected) = (write.stream.clone(), write.expected);
                return Err(AppendError::Conflict { stream, expected, actual: Version(actual) });
            }
        }
        let mut payloads = prepared.payloads.iter();
        let mut versions = Vec::with_capacity(append.writes.len());
        for write in &append.writes {
            let (stream, mut version) = (write.stream.as_str(), write.expected.0);
            if now.get(stream).is_none() {
                plan.touched.push(stream);
                plan.believed.push(signed(version));
            }
            for (event, payload) in write.events.iter().zip(&mut payloads) {
                version += 1;
                plan.streams.push(stream);
                plan.versions.push(signed(version));
                plan.kinds.push(event.kind());
                plan.schemas.push(event.schema().into());
                plan.payloads.push(payload);
                plan.metadata.push(&prepared.metadata);
                plan.instants.push(append.at);
            }
            now.insert(stream, version);
            versions.push(Version(version));
        }
        if let Some(receipt) = &append.receipt {
            plan.answers.keep(receipt);
        }
        Ok(Place { last: plan.events(), versions })
    }
}

impl Plan<'_> {
    fn events(&self) -> u64 {
        self.streams.len().try_into().unwrap_or(u64::MAX)
    }

    /// Whether everything conflicts.
    pub(crate) fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// Writes it as one transaction, by one call that ends the transaction by itself.
    pub(crate) async fn write(&self, pool: &Pool) -> Result<Written, Unavailable> {
        let mut connection = pool.take(WHAT).await?;
        let Answers { key_ids, idempotency_keys, statuses, bodies, .. } = &self.answers;
        let call = sqlx::query!(
            r#"SELECT last, actual AS "actual: Vec<i64>"
               FROM deed_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
            &self.touched as &[&str],
            &self.believed,
            &self.streams as &[&str],
            &self.versions,
            &self.kinds as &[&str],
            &self.schemas,
            &self.payloads as &[&str],
            &self.metadata as &[&str],
            &self.instants,
            key_ids as &[&str],
            idempotency_keys as &[&str],
            statuses,
            bodies as &[&str],
        );
        let answer = connection.until().wait(call.fetch_one(&mut *connection)).await;
        match connection.done_alone(answer) {
            Ok(answer) => match (answer.last, answer.actual) {
                (Some(last), _) => Ok(Written::UpTo(Reading(WHAT).number("position", last)?)),
                (None, Some(actual)) => Ok(Written::Elsewhere(actual)),
                (None, None) => Err(Misanswered::to(WHAT)),
            },
            Err(failure) if overtaken(&failure) => Ok(Written::Overtaken),
            Err(failure) => Err(Unavailable::new(WHAT, failure)),
        }
    }

    /// What each append is told once the log ends at `last`.
    pub(crate) fn answers(self, last: u64) -> Vec<AppendAnswer> {
        let before = last.saturating_sub(self.events());
        let appended =
            |place: Place| Appended { position: Position(before + place.last), versions: place.versions };
        self.outcomes.into_iter().map(|outcome| outcome.map(appended)).collect()
    }
}

/// Nothing was written, and nothing is wrong.
fn overtaken(failure: &Failure) -> bool {
    failure.is_duplicate_of(BY_VERSION) || failure.is_rolled_back()
}
