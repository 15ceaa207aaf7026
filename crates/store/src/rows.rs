//! Rows of the tables as both backends read them, and their decoding.
use std::{collections::BTreeSet, error::Error, str::FromStr};

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use deed_claims::{DueKind, Event, Scope};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{
    ApiKey, AppRow, ClaimPage, ClaimRow, Cursor, DueItem, KeyId, KeyOwner, KeyScope, OwnershipRow, Position,
    RecordedEvent, Unavailable, Version,
};

/// Positions, versions, counts and limits as a signed column; saturates at the end of its range.
pub fn to_i64(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// The text of a scope in a column.
pub const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Apex => "apex",
        Scope::Host => "host",
    }
}

/// A column with a value that this program did not write.
#[derive(Debug, thiserror::Error)]
#[error("column {column} cannot be decoded")]
struct Unreadable {
    column: &'static str,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Decodes columns for an operation; its errors name the column.
#[derive(Debug, Clone, Copy)]
pub struct Decoder(pub &'static str);

impl Decoder {
    /// A number that is not negative, or of another range.
    pub fn number<N: TryFrom<i64>>(self, column: &'static str, value: i64) -> Result<N, Unavailable> {
        N::try_from(value).map_err(|_| self.unreadable(column, None))
    }

    /// A time.
    pub fn instant(self, column: &'static str, at: impl TimeColumn) -> Result<DateTime<Utc>, Unavailable> {
        at.instant(self, column)
    }

    /// A text of a type.
    pub fn parsed<T>(self, column: &'static str, text: &str) -> Result<T, Unavailable>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        text.parse().map_err(|e: T::Err| self.unreadable(column, Some(Box::new(e))))
    }

    /// A value as JSON.
    pub fn json<T: DeserializeOwned>(self, column: &'static str, text: &str) -> Result<T, Unavailable> {
        serde_json::from_str(text).map_err(|e| self.unreadable(column, Some(Box::new(e))))
    }

    /// The error of a column.
    pub fn unreadable(
        self,
        column: &'static str,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> Unavailable {
        Unavailable::new(self.0, Unreadable { column, source })
    }
}

/// A time in a column.
pub trait TimeColumn {
    /// The time.
    fn instant(self, decoder: Decoder, column: &'static str) -> Result<DateTime<Utc>, Unavailable>;
}

impl TimeColumn for DateTime<Utc> {
    fn instant(self, _: Decoder, _: &'static str) -> Result<Self, Unavailable> {
        Ok(self)
    }
}

/// Microseconds since 1970.
impl TimeColumn for i64 {
    fn instant(self, decoder: Decoder, column: &'static str) -> Result<DateTime<Utc>, Unavailable> {
        DateTime::from_timestamp_micros(self).ok_or_else(|| decoder.unreadable(column, None))
    }
}

/// A row of the table of events.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns are those of `RecordedEvent`")]
pub struct EventRecord<T> {
    pub position: i64,
    pub stream: String,
    pub version: i64,
    pub kind: String,
    pub schema: i64,
    pub payload: String,
    pub metadata: String,
    pub recorded_at: T,
}

impl<T: TimeColumn> EventRecord<T> {
    /// The event.
    pub fn decode(self, decoder: Decoder) -> Result<RecordedEvent, Unavailable> {
        let schema = decoder.number("schema", self.schema)?;
        Ok(RecordedEvent {
            position: Position(decoder.number("position", self.position)?),
            stream: decoder.parsed("stream", &self.stream)?,
            version: Version(decoder.number("version", self.version)?),
            recorded_at: decoder.instant("recorded_at", self.recorded_at)?,
            metadata: decoder.json("metadata", &self.metadata)?,
            event: Event::from_parts(&self.kind, schema, &self.payload)
                .map_err(|e| decoder.unreadable("payload", Some(e.into())))?,
            schema,
            payload: self.payload,
        })
    }
}

/// The events of a stream, in order.
pub type StreamEvents = Result<Vec<RecordedEvent>, Unavailable>;

/// The replies to a batch of reads of streams. Each row comes with the index of its read; an unreadable event fails the read
/// of its own stream only.
pub fn stream_events<T: TimeColumn>(
    reads: usize,
    rows: impl IntoIterator<Item = (usize, EventRecord<T>)>,
    decoder: Decoder,
) -> Result<Vec<StreamEvents>, Unavailable> {
    let mut replies: Vec<StreamEvents> = (0..reads).map(|_| Ok(vec![])).collect();
    for (place, row) in rows {
        let reply = replies.get_mut(place).ok_or_else(|| decoder.unreadable("place", None))?;
        match (reply.as_mut(), row.decode(decoder)) {
            (Ok(events), Ok(event)) => events.push(event),
            (Ok(_), Err(unreadable)) => *reply = Err(unreadable),
            (Err(_), _) => {}
        }
    }
    Ok(replies)
}

/// A row of the table of snapshots or of apps.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns are those of `OwnershipRow` and `AppRow`")]
pub struct StateRecord {
    pub stream: String,
    pub version: i64,
    pub body: String,
}

impl StateRecord {
    /// The snapshot of a name.
    pub fn ownership(self, decoder: Decoder) -> Result<OwnershipRow, Unavailable> {
        Ok(OwnershipRow {
            stream: decoder.parsed("stream", &self.stream)?,
            version: Version(decoder.number("version", self.version)?),
            state: decoder.json("body", &self.body)?,
        })
    }

    /// The app.
    pub fn app(self, decoder: Decoder) -> Result<AppRow, Unavailable> {
        Ok(AppRow {
            stream: decoder.parsed("stream", &self.stream)?,
            version: Version(decoder.number("version", self.version)?),
            app: decoder.json("body", &self.body)?,
        })
    }
}

/// A row of the table of claims.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns are those of `ClaimRow`")]
pub struct ClaimRecord {
    pub stream: String,
    pub version: i64,
    pub name: String,
    pub scope: String,
    pub status: String,
    pub body: String,
}

impl ClaimRecord {
    /// The claim.
    pub fn decode(self, decoder: Decoder) -> Result<ClaimRow, Unavailable> {
        let found = [Scope::Apex, Scope::Host].into_iter().find(|s| scope(*s) == self.scope);
        Ok(ClaimRow {
            stream: decoder.parsed("stream", &self.stream)?,
            version: Version(decoder.number("version", self.version)?),
            name: decoder.parsed("name", &self.name)?,
            scope: found.ok_or_else(|| decoder.unreadable("scope", None))?,
            status: self.status,
            claim: decoder.json("body", &self.body)?,
        })
    }

    /// A page of at most `limit` rows; one more row shows that there is another page.
    pub fn page(found: Vec<Self>, limit: usize, decoder: Decoder) -> Result<ClaimPage, Unavailable> {
        let more = found.len() > limit;
        let rows = found.into_iter().take(limit).map(|row| row.decode(decoder));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().filter(|_| more);
        let next = next.map(|row| Cursor { initiated_at: row.claim.initiated_at, claim_id: row.claim.id });
        Ok(ClaimPage { rows, next })
    }
}

/// A row of the table of due work.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns are those of `DueItem`")]
pub struct DueRecord<T> {
    pub stream: String,
    pub claim_id: String,
    pub kind: String,
    pub attempt: i64,
    pub due_at: T,
}

impl<T: TimeColumn> DueRecord<T> {
    /// Rows that are handed out together, the oldest first.
    pub fn decode_all(found: Vec<Self>, decoder: Decoder) -> Result<Vec<DueItem>, Unavailable> {
        let items = found.into_iter().map(|row| row.decode(decoder));
        let mut items = items.collect::<Result<Vec<_>, _>>()?;
        items.sort_by_key(|item| (item.due_at, item.claim_id, item.kind));
        Ok(items)
    }

    fn decode(self, decoder: Decoder) -> Result<DueItem, Unavailable> {
        let kind = [DueKind::Check, DueKind::Expire].into_iter().find(|k| k.as_str() == self.kind);
        Ok(DueItem {
            stream: decoder.parsed("stream", &self.stream)?,
            claim_id: decoder.parsed("claim_id", &self.claim_id)?,
            kind: kind.ok_or_else(|| decoder.unreadable("kind", None))?,
            attempt: decoder.number("attempt", self.attempt)?,
            due_at: decoder.instant("due_at", self.due_at)?,
        })
    }
}

/// A row of the table of API keys.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns are those of `ApiKey`")]
pub struct KeyRecord<T> {
    pub id: String,
    pub name: String,
    pub workspace: Option<String>,
    pub scopes: String,
    pub created_at: T,
    pub revoked_at: Option<T>,
}

impl<T: TimeColumn> KeyRecord<T> {
    /// The key.
    pub fn decode(self, decoder: Decoder) -> Result<ApiKey, Unavailable> {
        Ok(ApiKey {
            id: KeyId(self.id),
            name: self.name,
            owner: match &self.workspace {
                Some(workspace) => KeyOwner::Workspace(decoder.parsed("workspace", workspace)?),
                None => KeyOwner::Service,
            },
            scopes: decoder.json::<BTreeSet<KeyScope>>("scopes", &self.scopes)?,
            created_at: decoder.instant("created_at", self.created_at)?,
            revoked_at: self.revoked_at.map(|at| decoder.instant("revoked_at", at)).transpose()?,
        })
    }
}

/// The digest of the read models: one hash, equal for equal contents in every backend. Rows come as JSON text in the order of
/// their keys; times are microseconds, booleans 1 and 0.
#[derive(Debug, Default)]
pub struct TableDigest(Sha256);

impl TableDigest {
    /// Begins a table.
    pub fn table(&mut self, name: &str) {
        self.line(name);
    }

    /// Adds a row of the table.
    pub fn row(&mut self, json: &str) {
        self.line(json);
    }

    /// JSON text has no raw line breaks, so they can end rows and tables.
    fn line(&mut self, text: &str) {
        self.0.update(text);
        self.0.update("\n");
    }

    /// The hash.
    pub fn finish(self) -> String {
        HEXLOWER.encode(&self.0.finalize())
    }
}
