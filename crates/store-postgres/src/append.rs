//! Writes to the log: a batch of appends is planned on assumed stream versions, and written by one call that fails when a
//! stream is at another version.
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use deed_store::{Append, AppendError, Appended, Position, RequestKey, StreamWrite, Unavailable, Version};

use crate::columns::{Decoder, to_i64};
use crate::open::UnexpectedReply;
use crate::pool::{CallError, Pool};

pub(crate) const OPERATION: &str = "append to the log";
/// The log's unique constraint on stream and version.
const VERSION_CONSTRAINT: &str = "events_by_version";

pub(crate) type AppendResult = Result<Appended, AppendError>;

/// An append with encoded events: the caller encodes them, not the task that writes for all callers.
pub(crate) struct EncodedAppend {
    append: Append,
    /// Of all events of all writes.
    payloads: Vec<String>,
    metadata: String,
}

impl EncodedAppend {
    pub(crate) fn new(append: Append) -> Result<Self, Unavailable> {
        let unwritable = |e| Unavailable::new(OPERATION, e);
        let payloads = append.writes.iter().flat_map(|w| &w.events).map(deed_claims::Event::payload);
        let payloads = payloads.collect::<Result<_, _>>().map_err(unwritable)?;
        let metadata = serde_json::to_string(&append.metadata).map_err(unwritable)?;
        Ok(Self { append, payloads, metadata })
    }
}

/// Known versions of streams. Other streams are assumed to be at the expected version of their first append: nearly all
/// are, so their versions are not read first.
#[derive(Default)]
pub(crate) struct StreamVersions<'a>(HashMap<&'a str, u64>);

/// The place of an append in a plan: the number of its last event among the events of the plan, and the new versions of
/// its streams.
struct Placement {
    last: u64,
    versions: Vec<Version>,
}

/// What a batch writes if every stream is at its assumed version, in columns.
#[derive(Default)]
pub(crate) struct AppendPlan<'a> {
    placements: Vec<Result<Placement, AppendError>>,
    /// The streams that are written to, and their assumed versions.
    written_streams: Vec<&'a str>,
    assumed_versions: Vec<i64>,
    streams: Vec<&'a str>,
    versions: Vec<i64>,
    kinds: Vec<&'static str>,
    schemas: Vec<i32>,
    payloads: Vec<&'a str>,
    metadata: Vec<&'a str>,
    instants: Vec<DateTime<Utc>>,
    receipts: Receipts<'a>,
}

/// Receipts to store, in columns; the first one of each request.
#[derive(Default)]
pub(crate) struct Receipts<'a> {
    requests: HashSet<&'a RequestKey>,
    pub(crate) key_ids: Vec<&'a str>,
    pub(crate) idempotency_keys: Vec<&'a str>,
    pub(crate) statuses: Vec<i32>,
    pub(crate) bodies: Vec<&'a str>,
}

impl<'a> Receipts<'a> {
    pub(crate) fn push(&mut self, receipt: &'a deed_store::Receipt) {
        let (request, response) = (&receipt.request, &receipt.response);
        if self.requests.insert(request) {
            self.key_ids.push(&request.key_id.0);
            self.idempotency_keys.push(&request.idempotency_key);
            self.statuses.push(response.status.into());
            self.bodies.push(&response.body);
        }
    }
}

/// The result of writing a plan.
pub(crate) enum AppendOutcome {
    /// Written; the new end of the log.
    Written(u64),
    /// Nothing was written; the actual versions of the streams.
    VersionMismatch(Vec<i64>),
    /// Nothing was written: another process appended to one of the streams, or the transaction was a deadlock victim.
    Retry,
}

impl<'a> StreamVersions<'a> {
    pub(crate) fn update(&mut self, plan: &AppendPlan<'a>, actual: Vec<i64>) -> Result<(), Unavailable> {
        for (stream, version) in plan.written_streams.iter().zip(actual) {
            self.0.insert(stream, Decoder(OPERATION).number("version", version)?);
        }
        Ok(())
    }

    /// Places each append after those before it, unless it conflicts; a conflicting append writes nothing.
    pub(crate) fn plan(&self, batch: &'a [EncodedAppend]) -> AppendPlan<'a> {
        let mut plan = AppendPlan::default();
        let mut current = HashMap::new();
        for encoded in batch {
            let placement = self.place(encoded, &mut current, &mut plan);
            plan.placements.push(placement);
        }
        plan
    }

    /// `current` has the versions of streams after the appends before this one.
    fn place(
        &self,
        encoded: &'a EncodedAppend,
        current: &mut HashMap<&'a str, u64>,
        plan: &mut AppendPlan<'a>,
    ) -> Result<Placement, AppendError> {
        let append = &encoded.append;
        let version_of = |write: &StreamWrite| {
            let stream = write.stream.as_str();
            current.get(stream).or_else(|| self.0.get(stream)).copied()
        };
        for write in &append.writes {
            if let Some(actual) = version_of(write).filter(|actual| *actual != write.expected.0) {
                let (stream, expected) = (write.stream.clone(), write.expected);
                return Err(AppendError::Conflict { stream, expected, actual: Version(actual) });
            }
        }
        let mut payloads = encoded.payloads.iter();
        let mut versions = Vec::with_capacity(append.writes.len());
        for write in &append.writes {
            let (stream, mut version) = (write.stream.as_str(), write.expected.0);
            if current.get(stream).is_none() {
                plan.written_streams.push(stream);
                plan.assumed_versions.push(to_i64(version));
            }
            for (event, payload) in write.events.iter().zip(&mut payloads) {
                version += 1;
                plan.streams.push(stream);
                plan.versions.push(to_i64(version));
                plan.kinds.push(event.kind());
                plan.schemas.push(event.schema().into());
                plan.payloads.push(payload);
                plan.metadata.push(&encoded.metadata);
                plan.instants.push(append.at);
            }
            current.insert(stream, version);
            versions.push(Version(version));
        }
        if let Some(receipt) = &append.receipt {
            plan.receipts.push(receipt);
        }
        Ok(Placement { last: plan.events(), versions })
    }
}

impl AppendPlan<'_> {
    fn events(&self) -> u64 {
        self.streams.len().try_into().unwrap_or(u64::MAX)
    }

    /// Whether every append conflicts.
    pub(crate) fn is_empty(&self) -> bool {
        self.written_streams.is_empty()
    }

    /// Writes the plan in one transaction, by a single call without an open transaction around it.
    pub(crate) async fn write(&self, pool: &Pool) -> Result<AppendOutcome, Unavailable> {
        let mut connection = pool.acquire(OPERATION).await?;
        let Receipts { key_ids, idempotency_keys, statuses, bodies, .. } = &self.receipts;
        let call = sqlx::query!(
            r#"SELECT last, actual AS "actual: Vec<i64>"
               FROM deed_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
            &self.written_streams as &[&str],
            &self.assumed_versions,
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
        let answer = connection.deadline().run(call.fetch_one(&mut *connection)).await;
        match connection.finish_statement(answer) {
            Ok(answer) => match (answer.last, answer.actual) {
                (Some(last), _) => Ok(AppendOutcome::Written(Decoder(OPERATION).number("position", last)?)),
                (None, Some(actual)) => Ok(AppendOutcome::VersionMismatch(actual)),
                (None, None) => Err(UnexpectedReply::to(OPERATION)),
            },
            Err(error) if is_retryable(&error) => Ok(AppendOutcome::Retry),
            Err(error) => Err(Unavailable::new(OPERATION, error)),
        }
    }

    /// The result of each append when the log ends at `last`.
    pub(crate) fn results(self, last: u64) -> Vec<AppendResult> {
        let before = last.saturating_sub(self.events());
        let appended = |placement: Placement| Appended {
            position: Position(before + placement.last),
            versions: placement.versions,
        };
        self.placements.into_iter().map(|placement| placement.map(appended)).collect()
    }
}

/// Whether nothing was written because of another process, so that a retry helps.
fn is_retryable(error: &CallError) -> bool {
    error.is_duplicate_of(VERSION_CONSTRAINT) || error.is_rolled_back()
}
