//! Reading many events at once. The server's copy format costs neither side what single rows of an answer do, and events
//! are decoded where they arrive, while the server sends the next.
use chrono::DateTime;
use deed_claims::Event;
use deed_store::{Metadata, Position, RecordedEvent, Unavailable, Version};
use futures::TryStreamExt;
use sqlx::postgres::PgConnection;

use crate::columns::{Reading, signed};

/// How a copy begins (PostgreSQL, COPY, Binary Format): a signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands in place of the number of columns when no row follows.
const NO_MORE: i16 = -1;
const COLUMNS: i16 = 8;
/// From 1970 to 2000, where the server's instants begin.
const EPOCH: i64 = 946_684_800_000_000;

/// At most `limit` events of the log after a position, in order.
pub(crate) async fn read(
    connection: &mut PgConnection,
    reading: Reading,
    after: Position,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    // A copy takes no parameters.
    let (after, limit) = (signed(after.0), signed(limit));
    let statement = format!(
        "COPY (SELECT position, stream, version, kind, schema, payload, metadata, recorded_at FROM events
               WHERE position > {after} ORDER BY position LIMIT {limit}) TO STDOUT (FORMAT binary)"
    );
    let mut copy = Copy { reading, left: vec![], begun: false, ended: false, events: vec![] };
    let mut pieces = connection.copy_out_raw(&statement).await?;
    while let Some(piece) = pieces.try_next().await? {
        copy.take(&piece).map_err(|e| sqlx::Error::Decode(e.into()))?;
    }
    if !copy.ended {
        return Err(sqlx::Error::Decode(reading.unreadable("events", None).into()));
    }
    Ok(copy.events)
}

/// A copy as far as it has arrived. The server sends a row a piece, but promises nothing of the kind.
struct Copy {
    reading: Reading,
    /// The beginning of what is not complete yet.
    left: Vec<u8>,
    begun: bool,
    ended: bool,
    events: Vec<RecordedEvent>,
}

impl Copy {
    fn take(&mut self, piece: &[u8]) -> Result<(), Unavailable> {
        if self.left.is_empty() {
            let used = self.decode(piece)?;
            self.left.extend_from_slice(&piece[used..]);
        } else {
            let mut left = std::mem::take(&mut self.left);
            left.extend_from_slice(piece);
            let used = self.decode(&left)?;
            left.drain(..used);
            self.left = left;
        }
        Ok(())
    }

    /// Decodes what is complete; how many bytes that is.
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, Unavailable> {
        let mut rest = bytes;
        if !self.begun {
            let Some((header, after)) = rest.split_at_checked(HEADER.len()) else { return Ok(0) };
            if header != HEADER {
                return Err(self.reading.unreadable("events", None));
            }
            (self.begun, rest) = (true, after);
        }
        while let Some((row, after)) = self.row(rest)? {
            match row {
                Some(columns) => self.events.push(event(self.reading, columns)?),
                None => self.ended = true,
            }
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    /// The columns of the next row, or the end, and what comes after; none when it is not complete.
    #[expect(clippy::type_complexity, reason = "columns and what is left of the bytes")]
    fn row<'b>(&self, bytes: &'b [u8]) -> Result<Option<(Option<[&'b [u8]; 8]>, &'b [u8])>, Unavailable> {
        let Some((count, mut rest)) = bytes.split_first_chunk() else { return Ok(None) };
        match i16::from_be_bytes(*count) {
            NO_MORE => return Ok(Some((None, rest))),
            COLUMNS => {}
            _ => return Err(self.reading.unreadable("events", None)),
        }
        let mut columns = [&b""[..]; 8];
        for column in &mut columns {
            let Some((length, after)) = rest.split_first_chunk() else { return Ok(None) };
            // A negative length is a null, and no column may be null.
            let length = self.reading.number("events", i32::from_be_bytes(*length).into())?;
            let Some((value, after)) = after.split_at_checked(length) else { return Ok(None) };
            (*column, rest) = (value, after);
        }
        Ok(Some((Some(columns), rest)))
    }
}

fn event(reading: Reading, columns: [&[u8]; 8]) -> Result<RecordedEvent, Unavailable> {
    let [position, stream, version, kind, schema, payload, metadata, recorded_at] = columns;
    let schema = i32::from_be_bytes(fixed(reading, "schema", schema)?);
    let recorded_at = i64::from_be_bytes(fixed(reading, "recorded_at", recorded_at)?).checked_add(EPOCH);
    let recorded_at = recorded_at.and_then(DateTime::from_timestamp_micros);
    let payload = text(reading, "payload", payload)?;
    let schema = reading.number("schema", schema.into())?;
    let event = Event::from_parts(text(reading, "kind", kind)?, schema, payload);
    Ok(RecordedEvent {
        position: Position(count(reading, "position", position)?),
        stream: reading.parsed("stream", text(reading, "stream", stream)?)?,
        version: Version(count(reading, "version", version)?),
        recorded_at: recorded_at.ok_or_else(|| reading.unreadable("recorded_at", None))?,
        metadata: match metadata {
            b"{}" => Metadata::default(),
            metadata => reading.json("metadata", text(reading, "metadata", metadata)?)?,
        },
        event: event.map_err(|e| reading.unreadable("payload", Some(e.into())))?,
        payload: payload.to_owned(),
    })
}

fn fixed<const N: usize>(
    reading: Reading,
    column: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], Unavailable> {
    bytes.try_into().map_err(|_| reading.unreadable(column, None))
}

fn count(reading: Reading, column: &'static str, bytes: &[u8]) -> Result<u64, Unavailable> {
    reading.number(column, i64::from_be_bytes(fixed(reading, column, bytes)?))
}

fn text<'b>(reading: Reading, column: &'static str, bytes: &'b [u8]) -> Result<&'b str, Unavailable> {
    std::str::from_utf8(bytes).map_err(|e| reading.unreadable(column, Some(Box::new(e))))
}
