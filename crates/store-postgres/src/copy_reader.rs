//! Bulk reads of the log in the server's binary COPY format, which is cheaper for both sides than rows of a query. Events
//! are decoded as they arrive.
use chrono::DateTime;
use deed_claims::Event;
use deed_store::{Metadata, Position, RecordedEvent, Unavailable, Version};
use futures::TryStreamExt;
use sqlx::postgres::PgConnection;

use crate::columns::{Decoder, to_i64};

/// The header of a copy (PostgreSQL, COPY, Binary Format): signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The trailer of a copy, in place of the number of columns.
const TRAILER: i16 = -1;
const COLUMNS: i16 = 8;
/// Microseconds from 1970 to 2000, where the timestamps of the server begin.
const EPOCH: i64 = 946_684_800_000_000;

/// At most `limit` events of the log after a position, in order.
pub(crate) async fn read_log(
    connection: &mut PgConnection,
    decoder: Decoder,
    after: Position,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    // COPY takes no parameters.
    let (after, limit) = (to_i64(after.0), to_i64(limit));
    let statement = format!(
        "COPY (SELECT position, stream, version, kind, schema, payload, metadata, recorded_at FROM events
               WHERE position > {after} ORDER BY position LIMIT {limit}) TO STDOUT (FORMAT binary)"
    );
    let mut copy = CopyDecoder { decoder, buffer: vec![], begun: false, ended: false, events: vec![] };
    let mut chunks = connection.copy_out_raw(&statement).await?;
    while let Some(chunk) = chunks.try_next().await? {
        copy.push(&chunk).map_err(|e| sqlx::Error::Decode(e.into()))?;
    }
    if !copy.ended {
        return Err(sqlx::Error::Decode(decoder.unreadable("events", None).into()));
    }
    Ok(copy.events)
}

/// Decodes a copy chunk by chunk. The server sends one row per chunk, but does not guarantee it.
struct CopyDecoder {
    decoder: Decoder,
    /// The beginning of an incomplete row.
    buffer: Vec<u8>,
    begun: bool,
    ended: bool,
    events: Vec<RecordedEvent>,
}

impl CopyDecoder {
    fn push(&mut self, chunk: &[u8]) -> Result<(), Unavailable> {
        if self.buffer.is_empty() {
            let used = self.decode(chunk)?;
            self.buffer.extend_from_slice(&chunk[used..]);
        } else {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.extend_from_slice(chunk);
            let used = self.decode(&buffer)?;
            buffer.drain(..used);
            self.buffer = buffer;
        }
        Ok(())
    }

    /// Decodes the complete rows; returns how many bytes they had.
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, Unavailable> {
        let mut rest = bytes;
        if !self.begun {
            let Some((header, after)) = rest.split_at_checked(HEADER.len()) else { return Ok(0) };
            if header != HEADER {
                return Err(self.decoder.unreadable("events", None));
            }
            (self.begun, rest) = (true, after);
        }
        while let Some((row, after)) = self.row(rest)? {
            match row {
                Some(columns) => self.events.push(event(self.decoder, columns)?),
                None => self.ended = true,
            }
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    /// The columns of the next row, or the end of the copy, and the rest; none when the row is not complete.
    #[expect(clippy::type_complexity, reason = "the columns and the rest of the bytes")]
    fn row<'b>(&self, bytes: &'b [u8]) -> Result<Option<(Option<[&'b [u8]; 8]>, &'b [u8])>, Unavailable> {
        let Some((count, mut rest)) = bytes.split_first_chunk() else { return Ok(None) };
        match i16::from_be_bytes(*count) {
            TRAILER => return Ok(Some((None, rest))),
            COLUMNS => {}
            _ => return Err(self.decoder.unreadable("events", None)),
        }
        let mut columns = [&b""[..]; 8];
        for column in &mut columns {
            let Some((length, after)) = rest.split_first_chunk() else { return Ok(None) };
            // A negative length means null, and no column can be null.
            let length = self.decoder.number("events", i32::from_be_bytes(*length).into())?;
            let Some((value, after)) = after.split_at_checked(length) else { return Ok(None) };
            (*column, rest) = (value, after);
        }
        Ok(Some((Some(columns), rest)))
    }
}

fn event(decoder: Decoder, columns: [&[u8]; 8]) -> Result<RecordedEvent, Unavailable> {
    let [position, stream, version, kind, schema, payload, metadata, recorded_at] = columns;
    let schema = i32::from_be_bytes(fixed(decoder, "schema", schema)?);
    let recorded_at = i64::from_be_bytes(fixed(decoder, "recorded_at", recorded_at)?).checked_add(EPOCH);
    let recorded_at = recorded_at.and_then(DateTime::from_timestamp_micros);
    let payload = text(decoder, "payload", payload)?;
    let schema = decoder.number("schema", schema.into())?;
    let event = Event::from_parts(text(decoder, "kind", kind)?, schema, payload);
    Ok(RecordedEvent {
        position: Position(count(decoder, "position", position)?),
        stream: decoder.parsed("stream", text(decoder, "stream", stream)?)?,
        version: Version(count(decoder, "version", version)?),
        recorded_at: recorded_at.ok_or_else(|| decoder.unreadable("recorded_at", None))?,
        metadata: match metadata {
            b"{}" => Metadata::default(),
            metadata => decoder.json("metadata", text(decoder, "metadata", metadata)?)?,
        },
        event: event.map_err(|e| decoder.unreadable("payload", Some(e.into())))?,
        schema,
        payload: payload.to_owned(),
    })
}

fn fixed<const N: usize>(
    decoder: Decoder,
    column: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], Unavailable> {
    bytes.try_into().map_err(|_| decoder.unreadable(column, None))
}

fn count(decoder: Decoder, column: &'static str, bytes: &[u8]) -> Result<u64, Unavailable> {
    decoder.number(column, i64::from_be_bytes(fixed(decoder, column, bytes)?))
}

fn text<'b>(decoder: Decoder, column: &'static str, bytes: &'b [u8]) -> Result<&'b str, Unavailable> {
    std::str::from_utf8(bytes).map_err(|e| decoder.unreadable(column, Some(Box::new(e))))
}
