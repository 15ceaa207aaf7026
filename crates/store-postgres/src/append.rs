//! Writes to the log: a batch of appends is planned on assumed stream versions, and written by one call that fails when a
//! stream is at another version.
use chrono::{DateTime, Utc};
use deed_store::{AppendError, AppendPlan, Appended, PlannedEvent, Receipt, Receipts, Unavailable};

use crate::columns::{Decoder, to_i64};
use crate::open::UnexpectedReply;
use crate::pool::{CallError, Pool};

pub(crate) const OPERATION: &str = "append to the log";
/// The log's unique constraint on stream and version.
const VERSION_CONSTRAINT: &str = "events_by_version";

pub(crate) type AppendResult = Result<Appended, AppendError>;

/// The result of writing a plan.
pub(crate) enum AppendOutcome {
    /// Written; the new end of the log.
    Written(u64),
    /// Nothing was written; the actual versions of the streams.
    VersionMismatch(Vec<i64>),
    /// Nothing was written: another process appended to one of the streams, or the transaction was a deadlock victim.
    Retry,
}

/// Writes a plan in one transaction, by a single call without an open transaction around it.
pub(crate) async fn write(plan: &AppendPlan<'_>, pool: &Pool) -> Result<AppendOutcome, Unavailable> {
    let mut connection = pool.acquire(OPERATION).await?;
    let assumed: Vec<_> = plan.streams.iter().map(|(_, version)| to_i64(version.0)).collect();
    let written: Vec<_> = plan.streams.iter().map(|(stream, _)| *stream).collect();
    let events = EventColumns::of(&plan.events);
    let receipts = ReceiptColumns::of(&plan.receipts);
    let call = sqlx::query!(
        r#"SELECT last, actual AS "actual: Vec<i64>"
               FROM deed_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
        &written as &[&str],
        &assumed,
        &events.streams as &[&str],
        &events.versions,
        &events.kinds as &[&str],
        &events.schemas,
        &events.payloads as &[&str],
        &events.metadata as &[&str],
        &events.instants,
        &receipts.key_ids as &[&str],
        &receipts.idempotency_keys as &[&str],
        &receipts.statuses,
        &receipts.bodies as &[&str],
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

/// The events of a plan, in columns.
#[derive(Default)]
struct EventColumns<'a> {
    streams: Vec<&'a str>,
    versions: Vec<i64>,
    kinds: Vec<&'static str>,
    schemas: Vec<i32>,
    payloads: Vec<&'a str>,
    metadata: Vec<&'a str>,
    instants: Vec<DateTime<Utc>>,
}

impl<'a> EventColumns<'a> {
    fn of(events: &[PlannedEvent<'a>]) -> Self {
        let mut columns = Self::default();
        for event in events {
            columns.streams.push(event.stream);
            columns.versions.push(to_i64(event.version.0));
            columns.kinds.push(event.kind);
            columns.schemas.push(event.schema.into());
            columns.payloads.push(event.payload);
            columns.metadata.push(event.metadata);
            columns.instants.push(event.at);
        }
        columns
    }
}

/// Receipts to store, in columns.
#[derive(Default)]
pub(crate) struct ReceiptColumns<'a> {
    pub(crate) key_ids: Vec<&'a str>,
    pub(crate) idempotency_keys: Vec<&'a str>,
    pub(crate) statuses: Vec<i32>,
    pub(crate) bodies: Vec<&'a str>,
}

impl<'a> ReceiptColumns<'a> {
    pub(crate) fn of(receipts: &Receipts<'a>) -> Self {
        let mut columns = Self::default();
        for Receipt { request, response } in receipts.iter() {
            columns.key_ids.push(&request.key_id.0);
            columns.idempotency_keys.push(&request.idempotency_key);
            columns.statuses.push(response.status.into());
            columns.bodies.push(&response.body);
        }
        columns
    }
}

/// Whether nothing was written because of another process, so that a retry helps.
fn is_retryable(error: &CallError) -> bool {
    error.is_duplicate_of(VERSION_CONSTRAINT) || error.is_rolled_back()
}
