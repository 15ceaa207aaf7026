//! Plans a batch of appends: which of them conflict, and what the others write. A backend writes the plan in one transaction.
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use deed_claims::Event;

use crate::{
    Append, AppendError, Appended, Position, Receipt, RequestKey, StreamWrite, Unavailable, Version,
};

/// An append with encoded events: the caller encodes them, not the task that writes for all callers.
#[derive(Debug)]
pub struct EncodedAppend {
    append: Append,
    /// Of all events of all writes.
    payloads: Vec<String>,
    metadata: String,
}

impl EncodedAppend {
    /// Encodes the events.
    ///
    /// # Errors
    /// When an event cannot be written as JSON; `operation` names the call in the error.
    pub fn new(operation: &'static str, append: Append) -> Result<Self, Unavailable> {
        let unwritable = |e| Unavailable::new(operation, e);
        let payloads = append.writes.iter().flat_map(|write| &write.events).map(Event::payload);
        let payloads = payloads.collect::<Result<_, _>>().map_err(unwritable)?;
        let metadata = serde_json::to_string(&append.metadata).map_err(unwritable)?;
        Ok(Self { append, payloads, metadata })
    }

    /// The streams that it writes to.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.append.writes.iter().map(|write| write.stream.as_str())
    }
}

/// An event of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedEvent<'a> {
    /// Its stream.
    pub stream: &'a str,
    /// Its version in the stream.
    pub version: Version,
    /// The name of its kind.
    pub kind: &'static str,
    /// The schema of its payload.
    pub schema: u16,
    /// The event as JSON.
    pub payload: &'a str,
    /// Its metadata as JSON.
    pub metadata: &'a str,
    /// The time of the decision.
    pub at: DateTime<Utc>,
}

/// The place of an append in its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The number of its last event among the events of the plan.
    last: usize,
    versions: Vec<Version>,
}

impl Placement {
    /// The append, when the plan is written behind a position of the log.
    pub fn after(self, end: Position) -> Appended {
        Appended { position: Position(end.0 + self.last as u64), versions: self.versions }
    }
}

/// What a batch of appends writes. Each append is placed after those before it.
#[derive(Debug, Default)]
pub struct AppendPlan<'a> {
    /// The streams that are written to, and their versions before.
    pub streams: Vec<(&'a str, Version)>,
    /// The events in the order of their positions.
    pub events: Vec<PlannedEvent<'a>>,
    /// The receipts.
    pub receipts: Receipts<'a>,
    known: HashMap<&'a str, Version>,
    planned: HashMap<&'a str, Version>,
}

impl<'a> AppendPlan<'a> {
    /// A plan on known versions of streams. Other streams are assumed to be at the expected version of their first append.
    pub fn on(known: HashMap<&'a str, Version>) -> Self {
        Self { known, ..Self::default() }
    }

    /// Adds an append, unless it conflicts; a conflicting append writes nothing.
    ///
    /// # Errors
    /// When a stream is not at its expected version.
    pub fn add(&mut self, encoded: &'a EncodedAppend) -> Result<Placement, AppendError> {
        let append = &encoded.append;
        for StreamWrite { stream, expected, .. } in &append.writes {
            let name = stream.as_str();
            let version = self.planned.get(name).or_else(|| self.known.get(name)).copied();
            if let Some(actual) = version.filter(|actual| actual != expected) {
                return Err(AppendError::Conflict { stream: stream.clone(), expected: *expected, actual });
            }
        }
        let mut payloads = encoded.payloads.iter();
        let mut versions = Vec::with_capacity(append.writes.len());
        for write in &append.writes {
            let (stream, mut version) = (write.stream.as_str(), write.expected);
            if !self.planned.contains_key(stream) {
                self.streams.push((stream, version));
            }
            for (event, payload) in write.events.iter().zip(&mut payloads) {
                version.0 += 1;
                self.events.push(PlannedEvent {
                    stream,
                    version,
                    kind: event.kind(),
                    schema: event.schema(),
                    payload,
                    metadata: &encoded.metadata,
                    at: append.at,
                });
            }
            self.planned.insert(stream, version);
            versions.push(version);
        }
        if let Some(receipt) = &append.receipt {
            self.receipts.push(receipt);
        }
        Ok(Placement { last: self.events.len(), versions })
    }

    /// Whether there is nothing to write: every append conflicts.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

/// Receipts to store: the first one of each request.
#[derive(Debug, Default)]
pub struct Receipts<'a> {
    requests: HashSet<&'a RequestKey>,
    receipts: Vec<&'a Receipt>,
}

impl<'a> Receipts<'a> {
    /// Adds a receipt, unless its request has one.
    pub fn push(&mut self, receipt: &'a Receipt) {
        if self.requests.insert(&receipt.request) {
            self.receipts.push(receipt);
        }
    }

    /// The receipts.
    pub fn iter(&self) -> impl Iterator<Item = &'a Receipt> {
        self.receipts.iter().copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use deed_claims::{CheckCause, ClaimId, StreamId, VerificationRequested};

    use super::*;
    use crate::{KeyId, Metadata, StoredResponse};

    fn stream(name: &str) -> StreamId {
        format!("apex:{name}").parse().unwrap_or_else(|_| panic!("{name}"))
    }

    /// So many events for each stream, at an expected version.
    fn append(writes: &[(&str, u64, usize)], key: Option<&str>) -> EncodedAppend {
        let at = DateTime::UNIX_EPOCH;
        let claim_id = ClaimId::from_bytes([1; 16]);
        let event: Event =
            VerificationRequested { claim_id, attempt: 1, cause: CheckCause::First, expires_at: None, at }
                .into();
        let writes = writes.iter().map(|(name, expected, events)| StreamWrite {
            stream: stream(name),
            expected: Version(*expected),
            events: vec![event.clone(); *events],
        });
        let receipt = key.map(|key| Receipt {
            request: RequestKey { key_id: KeyId("key_1".to_owned()), idempotency_key: key.to_owned() },
            response: StoredResponse { status: 200, body: String::new() },
        });
        let append = Append { writes: writes.collect(), receipt, metadata: Metadata::default(), at };
        EncodedAppend::new("test", append).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The end of each append behind position 10, or the actual version of the stream that it conflicts on.
    fn planned<'a>(plan: &mut AppendPlan<'a>, batch: &'a [EncodedAppend]) -> Vec<Result<u64, u64>> {
        let placed = batch.iter().map(|append| plan.add(append));
        let ends = placed.map(|placed| match placed {
            Ok(placement) => Ok(placement.after(Position(10)).position.0),
            Err(AppendError::Conflict { actual, .. }) => Err(actual.0),
            Err(AppendError::Unavailable(error)) => panic!("{error}"),
        });
        ends.collect()
    }

    #[test]
    fn places_appends_one_after_the_other() {
        let batch = [append(&[("a.com", 0, 2)], None), append(&[("b.com", 7, 1), ("a.com", 2, 1)], None)];
        let mut plan = AppendPlan::default();
        assert_eq!(planned(&mut plan, &batch), [Ok(12), Ok(14)]);
        assert_eq!(plan.streams, [("apex:a.com", Version(0)), ("apex:b.com", Version(7))]);
        let events: Vec<_> = plan.events.iter().map(|event| (event.stream, event.version.0)).collect();
        assert_eq!(events, [("apex:a.com", 1), ("apex:a.com", 2), ("apex:b.com", 8), ("apex:a.com", 3)]);
    }

    #[test]
    fn conflicting_append_writes_nothing() {
        let batch = [
            append(&[("a.com", 0, 1)], None),
            append(&[("b.com", 0, 1), ("a.com", 0, 1)], Some("lost")),
            append(&[("b.com", 0, 1)], Some("k")),
            append(&[("known.com", 3, 1)], None),
        ];
        let mut plan = AppendPlan::on(HashMap::from([("apex:known.com", Version(4))]));
        assert_eq!(planned(&mut plan, &batch), [Ok(11), Err(1), Ok(12), Err(4)]);
        assert_eq!(plan.events.len(), 2);
        let keys: Vec<_> = plan.receipts.iter().map(|receipt| &receipt.request.idempotency_key).collect();
        assert_eq!(keys, ["k"]);
    }

    #[test]
    fn first_receipt_of_a_request_is_kept() {
        let batch = [append(&[("a.com", 0, 1)], Some("k")), append(&[("b.com", 0, 1)], Some("k"))];
        let mut plan = AppendPlan::default();
        planned(&mut plan, &batch);
        assert_eq!(plan.receipts.iter().count(), 1);
    }
}
