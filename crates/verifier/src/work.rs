//! From a message to a piece of work, or a reason why nobody will ever manage it.
use chrono::{DateTime, Utc};
use deed_bus::{CloudEvent, Message};
use deed_claims::{ClaimId, DueKind, StreamId, StreamKind};
use deed_store::Metadata;
use deed_trace::TraceContext;
use serde::Deserialize;

/// A claim was asked to be checked now.
const REQUESTED: &str = "deed.verification.requested.v1";
/// Due work.
const DUE: &str = "deed.verification.due.v1";

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub stream: StreamId,
    pub claim_id: ClaimId,
    pub task: Task,
    /// What goes with the events that come of it.
    pub metadata: Metadata,
    /// The trace of whoever asked for it.
    pub trace: Option<TraceContext>,
    /// When it was asked for.
    pub sent_at: Option<DateTime<Utc>>,
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Check { attempt: u32 },
    Expire,
}

/// Why a message is no work. Says nothing of what the message holds, which may be anybody's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Poison {
    #[error("the body is no CloudEvent")]
    NotCloudEvent,
    #[error("the type is not one of verification work")]
    UnknownType,
    #[error("the subject names no stream")]
    NoStream,
    #[error("the stream named in the subject holds no claims")]
    NoClaimsThere,
    #[error("the data do not fit the type")]
    Data,
    #[error("the work is one of a newer version")]
    Newer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    claim_id: ClaimId,
    attempt: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Due {
    claim_id: ClaimId,
    kind: String,
    attempt: u32,
}

impl Work {
    /// Reads a message.
    pub fn of(message: &Message) -> Result<Self, Poison> {
        let event = CloudEvent::from_json(&message.body).map_err(|_| Poison::NotCloudEvent)?;
        let subject = event.subject.as_deref().ok_or(Poison::NoStream)?;
        let stream: StreamId = subject.parse().map_err(|_| Poison::NoStream)?;
        if !matches!(stream.kind(), StreamKind::Apex | StreamKind::Host) {
            return Err(Poison::NoClaimsThere);
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
                let data = Requested::deserialize(event.data).map_err(|_| Poison::Data)?;
                (data.claim_id, Task::Check { attempt: data.attempt })
            }
            DUE => {
                let data = Due::deserialize(event.data).map_err(|_| Poison::Data)?;
                // A newer dispatcher may have more kinds.
                let task = match kind(&data.kind).ok_or(Poison::Newer)? {
                    DueKind::Check => Task::Check { attempt: data.attempt },
                    DueKind::Expire => Task::Expire,
                };
                (data.claim_id, task)
            }
            other if is_newer(other) => return Err(Poison::Newer),
            _ => return Err(Poison::UnknownType),
        };
        let mut work = Self { stream, claim_id, task, metadata, trace: trace.clone(), sent_at };
        work.goes_on_in(trace);
        Ok(work)
    }

    /// Has the events that come of the work belong to this trace.
    pub fn goes_on_in(&mut self, trace: Option<TraceContext>) {
        let Some(trace) = trace else { return };
        self.metadata.tracestate = trace.tracestate().map(str::to_owned);
        self.metadata.traceparent = Some(trace.traceparent().to_owned());
    }
}

/// A kind of due work that this version knows.
fn kind(word: &str) -> Option<DueKind> {
    [DueKind::Check, DueKind::Expire].into_iter().find(|kind| kind.as_str() == word)
}

/// Whether a type is one that verification work may come to have.
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

    fn read(change: impl FnOnce(&mut Value)) -> Result<Work, Poison> {
        let mut body = json!({
            "specversion": "1.0", "id": "evt_5", "source": "/deed", "type": REQUESTED,
            "subject": "apex:acme.com", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "data": {"claimId": claim(), "attempt": 3, "cause": "first", "at": "2026-01-01T00:00:00Z"},
        });
        change(&mut body);
        Work::of(&Message {
            id: "x".to_owned(),
            routing_key: "verification.requested".parse().unwrap(),
            content_type: CloudEvent::CONTENT_TYPE.to_owned(),
            body: body.to_string().into_bytes().into(),
            headers: BTreeMap::new(),
            delivery: Requirement::MustReachQueue,
        })
    }

    #[test]
    fn both_kinds_of_message_are_understood() {
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
    fn what_is_no_work_says_why_without_repeating_it() {
        type Change = fn(&mut Value);
        let cases: [(Change, Poison); 13] = [
            (|body| *body = json!("<script>"), Poison::NotCloudEvent),
            (|body| body["type"] = json!("deed.verification.requested.v2"), Poison::Newer),
            (|body| body["type"] = json!("deed.verification.renewed.v1"), Poison::Newer),
            (|body| body["type"] = json!("deed.verification.requested.vx"), Poison::UnknownType),
            (|body| body["type"] = json!("deed.claim.initiated.v1"), Poison::UnknownType),
            (due_by_another_kind, Poison::Newer),
            (|body| body["subject"] = Value::Null, Poison::NoStream),
            (|body| body["subject"] = json!("nothing"), Poison::NoStream),
            (|body| body["subject"] = json!("app:app_aaaaaaaaaaaaaaaa"), Poison::NoClaimsThere),
            (|body| body["subject"] = json!("slug:docs"), Poison::NoClaimsThere),
            (|body| body["data"] = json!({"claimId": claim()}), Poison::Data),
            (|body| body["data"]["claimId"] = json!("clm_x"), Poison::Data),
            (|body| body["type"] = json!(DUE), Poison::Data),
        ];
        for (change, poison) in cases {
            assert_eq!(read(change), Err(poison));
        }
    }

    #[test]
    fn a_strange_trace_context_is_left_out() {
        let work = read(|body| body["traceparent"] = json!("\u{202e}gpj")).unwrap();
        assert_eq!(work.metadata.traceparent, None);
    }
}
