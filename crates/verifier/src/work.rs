//! Parses messages into verification work, or says why a message is invalid.
use chrono::{DateTime, Utc};
use deed_bus::{CloudEvent, Message};
use deed_claims::{ClaimId, DueKind, StreamId, StreamKind};
use deed_store::Metadata;
use deed_trace::TraceContext;
use serde::Deserialize;

/// The type of a message that requests a check now.
const REQUESTED: &str = "deed.verification.requested.v1";
/// The type of a message of due work.
const DUE: &str = "deed.verification.due.v1";

/// The work that a message requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub stream: StreamId,
    pub claim_id: ClaimId,
    pub task: Task,
    /// The metadata of the events that result.
    pub metadata: Metadata,
    /// The trace in which the message was published.
    pub trace: Option<TraceContext>,
    /// When the message was published.
    pub sent_at: Option<DateTime<Utc>>,
}

/// The kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Check { attempt: u32 },
    Expire,
}

/// Why a message is invalid. The reasons repeat no part of the message, which may hold untrusted bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidWork {
    #[error("the body is not a CloudEvent")]
    NotCloudEvent,
    #[error("the type is not a type of verification work")]
    UnknownType,
    #[error("the subject names no stream")]
    InvalidSubject,
    #[error("the stream named in the subject holds no claims")]
    WrongStreamKind,
    #[error("the data does not match the type")]
    InvalidData,
    #[error("a newer version sent the work")]
    Newer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestedData {
    claim_id: ClaimId,
    attempt: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DueData {
    claim_id: ClaimId,
    kind: String,
    attempt: u32,
}

impl Work {
    /// Parses a message.
    pub fn parse(message: &Message) -> Result<Self, InvalidWork> {
        let event = CloudEvent::from_json(&message.body).map_err(|_| InvalidWork::NotCloudEvent)?;
        let subject = event.subject.as_deref().ok_or(InvalidWork::InvalidSubject)?;
        let stream: StreamId = subject.parse().map_err(|_| InvalidWork::InvalidSubject)?;
        if !matches!(stream.kind(), StreamKind::Apex | StreamKind::Host) {
            return Err(InvalidWork::WrongStreamKind);
        }
        let extension = |name| event.extensions.get(name).and_then(|value| value.as_str());
        let trace =
            extension("traceparent").and_then(|parent| TraceContext::parse(parent, extension("tracestate")));
        let metadata = Metadata {
            request_id: Some(event.id).filter(|id| id.len() <= 255),
            actor: Some("verifier".to_owned()),
            ..Metadata::default()
        };
        let sent_at = event.time;
        let (claim_id, task) = match event.r#type.as_str() {
            REQUESTED => {
                let data = RequestedData::deserialize(event.data).map_err(|_| InvalidWork::InvalidData)?;
                (data.claim_id, Task::Check { attempt: data.attempt })
            }
            DUE => {
                let data = DueData::deserialize(event.data).map_err(|_| InvalidWork::InvalidData)?;
                // A newer dispatcher may have more kinds.
                let task = match kind(&data.kind).ok_or(InvalidWork::Newer)? {
                    DueKind::Check => Task::Check { attempt: data.attempt },
                    DueKind::Expire => Task::Expire,
                };
                (data.claim_id, task)
            }
            other if is_newer(other) => return Err(InvalidWork::Newer),
            _ => return Err(InvalidWork::UnknownType),
        };
        let mut work = Self { stream, claim_id, task, metadata, trace: trace.clone(), sent_at };
        work.continue_trace(trace);
        Ok(work)
    }

    /// Makes the events that result belong to this trace.
    pub fn continue_trace(&mut self, trace: Option<TraceContext>) {
        let Some(trace) = trace else { return };
        self.metadata.tracestate = trace.tracestate().map(str::to_owned);
        self.metadata.traceparent = Some(trace.traceparent().to_owned());
    }
}

/// The kind of due work, if this version knows it.
fn kind(word: &str) -> Option<DueKind> {
    [DueKind::Check, DueKind::Expire].into_iter().find(|kind| kind.as_str() == word)
}

/// Whether a type may be one of verification work in a newer version.
fn is_newer(kind: &str) -> bool {
    let schema = kind.strip_prefix("deed.verification.").and_then(|rest| rest.rsplit_once(".v"));
    schema.is_some_and(|(name, number)| !name.is_empty() && number.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use deed_bus::Requirement;
    use serde_json::{Value, json};

    use super::*;

    fn claim() -> ClaimId {
        ClaimId::from_bytes([7; 16])
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<Work, InvalidWork> {
        let mut body = json!({
            "specversion": "1.0", "id": "evt_5", "source": "/deed", "type": REQUESTED,
            "subject": "apex:acme.com", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "data": {"claimId": claim(), "attempt": 3, "cause": "first", "at": "2026-01-01T00:00:00Z"},
        });
        change(&mut body);
        Work::parse(&Message {
            id: "x".to_owned(),
            routing_key: "verification.requested".parse().unwrap(),
            content_type: CloudEvent::CONTENT_TYPE.to_owned(),
            body: body.to_string().into_bytes().into(),
            headers: BTreeMap::new(),
            requirement: Requirement::Mandatory,
        })
    }

    #[test]
    fn parses_both_message_types() {
        let work = read(|_| {}).unwrap();
        assert_eq!(work.stream.as_str(), "apex:acme.com");
        assert_eq!((work.claim_id, work.task), (claim(), Task::Check { attempt: 3 }));
        assert_eq!(work.metadata.request_id.as_deref(), Some("evt_5"));
        assert!(work.metadata.traceparent.is_some());
        for (kind, task) in [("check", Task::Check { attempt: 9 }), ("expire", Task::Expire)] {
            let work = read(|body| {
                body["type"] = json!(DUE);
                body["data"] = json!({"claimId": claim(), "kind": kind, "attempt": 9});
            });
            assert_eq!(work.unwrap().task, task);
        }
    }

    fn due_by_another_kind(body: &mut Value) {
        body["type"] = json!(DUE);
        body["data"] = json!({"claimId": claim(), "kind": "remind", "attempt": 1});
    }

    #[test]
    fn rejects_invalid_message_with_fixed_reason() {
        type Change = fn(&mut Value);
        let cases: [(Change, InvalidWork); 13] = [
            (|body| *body = json!("<script>"), InvalidWork::NotCloudEvent),
            (|body| body["type"] = json!("deed.verification.requested.v2"), InvalidWork::Newer),
            (|body| body["type"] = json!("deed.verification.renewed.v1"), InvalidWork::Newer),
            (|body| body["type"] = json!("deed.verification.requested.vx"), InvalidWork::UnknownType),
            (|body| body["type"] = json!("deed.claim.initiated.v1"), InvalidWork::UnknownType),
            (due_by_another_kind, InvalidWork::Newer),
            (|body| body["subject"] = Value::Null, InvalidWork::InvalidSubject),
            (|body| body["subject"] = json!("nothing"), InvalidWork::InvalidSubject),
            (|body| body["subject"] = json!("app:app_aaaaaaaaaaaaaaaa"), InvalidWork::WrongStreamKind),
            (|body| body["subject"] = json!("slug:docs"), InvalidWork::WrongStreamKind),
            (|body| body["data"] = json!({"claimId": claim()}), InvalidWork::InvalidData),
            (|body| body["data"]["claimId"] = json!("clm_x"), InvalidWork::InvalidData),
            (|body| body["type"] = json!(DUE), InvalidWork::InvalidData),
        ];
        for (change, invalid) in cases {
            assert_eq!(read(change), Err(invalid));
        }
    }

    #[test]
    fn ignores_invalid_trace_context() {
        let work = read(|body| body["traceparent"] = json!("\u{202e}gpj")).unwrap();
        assert_eq!(work.metadata.traceparent, None);
    }
}
