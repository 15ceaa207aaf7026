//! Verification work: what a message asks a verifier to do.
//!
//! Two messages carry it. The relay publishes the event `verification.requested` of the log, which asks for a check at
//! once; the dispatcher publishes `verification.due` when due work falls due.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, DueKind, StreamId, StreamKind};
use serde::Deserialize;
use serde_json::json;

use crate::{CloudEvent, TraceContext};

/// The type of a message that requests a check now.
const REQUESTED: &str = "deed.verification.requested.v1";
/// The type of a message of due work.
const DUE: &str = "deed.verification.due.v1";

/// One piece of verification work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationWork {
    /// The id of the message that brings it.
    pub message_id: String,
    /// The stream of the name.
    pub stream: StreamId,
    /// The claim on it.
    pub claim_id: ClaimId,
    /// What to do.
    pub task: VerificationTask,
    /// When the message was made.
    pub sent_at: Option<DateTime<Utc>>,
    /// The trace in which the message was published.
    pub trace: Option<TraceContext>,
}

/// The kind of verification work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationTask {
    /// Make this check.
    Check {
        /// The number of the check.
        attempt: u32,
    },
    /// Expire the claim, if its deadline has passed.
    Expire,
}

/// Why a message is not verification work. The reasons repeat no part of the message, which may hold untrusted bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWork {
    /// The body is not a `CloudEvent`.
    #[error("the body is not a CloudEvent")]
    NotCloudEvent,
    /// The type is of another kind of message.
    #[error("the type is not a type of verification work")]
    UnknownType,
    /// The subject is missing or malformed.
    #[error("the subject names no stream")]
    InvalidSubject,
    /// The subject names the stream of an app or a slug.
    #[error("the stream named in the subject holds no claims")]
    WrongStreamKind,
    /// The data have other fields than the type demands.
    #[error("the data does not match the type")]
    InvalidData,
    /// A newer version has more kinds of work.
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

impl VerificationTask {
    /// The task of a row of due work. The attempt counts for a check only.
    pub fn from_due(kind: DueKind, attempt: u32) -> Self {
        match kind {
            DueKind::Check => Self::Check { attempt },
            DueKind::Expire => Self::Expire,
        }
    }

    fn due(self) -> (DueKind, u32) {
        match self {
            Self::Check { attempt } => (DueKind::Check, attempt),
            Self::Expire => (DueKind::Expire, 0),
        }
    }
}

impl VerificationWork {
    /// The routing key of a request for a check at once.
    pub const REQUESTED_KEY: &str = "verification.requested";
    /// The routing key of due work.
    pub const DUE_KEY: &str = "verification.due";

    /// Work that falls due, in a message made at `now`. A row that is published again needs another message id, hence
    /// the time in it.
    pub fn due(
        stream: StreamId,
        claim_id: ClaimId,
        task: VerificationTask,
        now: DateTime<Utc>,
        trace: Option<TraceContext>,
    ) -> Self {
        let (kind, attempt) = task.due();
        let message_id = format!("due_{claim_id}_{}_{attempt}_{}", kind.as_str(), now.timestamp_millis());
        Self { message_id, stream, claim_id, task, sent_at: Some(now), trace }
    }

    /// The message of due work, from this source.
    pub fn to_due_event(&self, source: &str) -> CloudEvent {
        let (kind, attempt) = self.task.due();
        let mut event = CloudEvent {
            id: self.message_id.clone(),
            source: source.to_owned(),
            r#type: DUE.to_owned(),
            subject: Some(self.stream.to_string()),
            time: self.sent_at,
            datacontenttype: Some(CloudEvent::JSON.to_owned()),
            dataschema: None,
            data: json!({"claimId": self.claim_id, "kind": kind.as_str(), "attempt": attempt}),
            extensions: BTreeMap::new(),
        };
        event.set_trace(self.trace.as_ref());
        event
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// When it is no verification work of this version.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidWork> {
        let event = CloudEvent::from_json(body).map_err(|_| InvalidWork::NotCloudEvent)?;
        let subject = event.subject.as_deref().ok_or(InvalidWork::InvalidSubject)?;
        let stream: StreamId = subject.parse().map_err(|_| InvalidWork::InvalidSubject)?;
        if !matches!(stream.kind(), StreamKind::Apex | StreamKind::Host) {
            return Err(InvalidWork::WrongStreamKind);
        }
        let trace = event.trace();
        let (claim_id, task) = match event.r#type.as_str() {
            REQUESTED => {
                let data = RequestedData::deserialize(event.data).map_err(|_| InvalidWork::InvalidData)?;
                (data.claim_id, VerificationTask::Check { attempt: data.attempt })
            }
            DUE => {
                let data = DueData::deserialize(event.data).map_err(|_| InvalidWork::InvalidData)?;
                // A newer dispatcher may have more kinds.
                let kind = due_kind(&data.kind).ok_or(InvalidWork::Newer)?;
                (data.claim_id, VerificationTask::from_due(kind, data.attempt))
            }
            other if is_newer(other) => return Err(InvalidWork::Newer),
            _ => return Err(InvalidWork::UnknownType),
        };
        Ok(Self { message_id: event.id, stream, claim_id, task, sent_at: event.time, trace })
    }
}

/// The kind of due work, if this version knows it.
fn due_kind(word: &str) -> Option<DueKind> {
    [DueKind::Check, DueKind::Expire].into_iter().find(|kind| kind.as_str() == word)
}

/// Whether a type may be one of verification work in a newer version.
fn is_newer(kind: &str) -> bool {
    let schema = kind.strip_prefix("deed.verification.").and_then(|rest| rest.rsplit_once(".v"));
    schema.is_some_and(|(name, number)| !name.is_empty() && number.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn claim() -> ClaimId {
        ClaimId::from_bytes([7; 16])
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<VerificationWork, InvalidWork> {
        let mut body = json!({
            "specversion": "1.0", "id": "evt_5", "source": "/deed", "type": REQUESTED,
            "subject": "apex:acme.com", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "data": {"claimId": claim(), "attempt": 3, "cause": "first", "at": "2026-01-01T00:00:00Z"},
        });
        change(&mut body);
        VerificationWork::from_json(body.to_string().as_bytes())
    }

    #[test]
    fn parses_both_message_types() {
        let work = read(|_| {}).unwrap();
        assert_eq!(work.stream.as_str(), "apex:acme.com");
        assert_eq!((work.claim_id, work.task), (claim(), VerificationTask::Check { attempt: 3 }));
        assert_eq!(work.message_id, "evt_5");
        assert!(work.trace.is_some());
        for (kind, task) in
            [("check", VerificationTask::Check { attempt: 9 }), ("expire", VerificationTask::Expire)]
        {
            let work = read(|body| {
                body["type"] = json!(DUE);
                body["data"] = json!({"claimId": claim(), "kind": kind, "attempt": 9});
            });
            assert_eq!(work.unwrap().task, task);
        }
    }

    #[test]
    fn reads_back_due_work() {
        let trace =
            TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("a=b"));
        let now = "2026-01-01T00:00:00.25Z".parse().unwrap();
        for task in [VerificationTask::Check { attempt: 2 }, VerificationTask::Expire] {
            let work =
                VerificationWork::due("apex:acme.com".parse().unwrap(), claim(), task, now, trace.clone());
            let body = work.to_due_event("/deed").to_json().unwrap();
            assert_eq!(VerificationWork::from_json(&body), Ok(work));
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
        assert_eq!(read(|body| body["traceparent"] = json!("\u{202e}gpj")).unwrap().trace, None);
    }
}
