//! The test fixture: rows that are numbers, and a publisher with scripted results.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_bus::{BusError, Message, PublishOutcome, Publisher};
use deed_claims::Clock;
use deed_messages::{CloudEvent, TraceContext, VerificationWork};
use deed_store::Unavailable;

use crate::{DueSource, OutboxError, OutboxMessage, RoundOutcome, RowMessages, Taken};

pub const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Numbers as rows: odd ones are work, even ones are events, 0 makes no message.
#[derive(Default)]
pub struct Numbers {
    pub age: Duration,
    pub due: Mutex<Vec<u32>>,
    pub delivered: Mutex<Vec<u32>>,
}

impl Numbers {
    pub fn due(rows: impl IntoIterator<Item = u32>) -> Self {
        Self { due: Mutex::new(rows.into_iter().collect()), ..Self::default() }
    }
}

impl RowMessages for Numbers {
    type Row = u32;

    fn cause(&self, _row: &u32) -> Option<(TraceContext, Duration)> {
        Some((TraceContext::parse(TRACE, None)?, self.age))
    }

    fn message(&self, row: &u32) -> Result<OutboxMessage, OutboxError> {
        let event = CloudEvent {
            // An empty id is invalid.
            id: if *row == 0 { String::new() } else { row.to_string() },
            source: "/test".to_owned(),
            r#type: "test".to_owned(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            data: "data".into(),
            extensions: BTreeMap::new(),
        };
        let is_work = row % 2 == 1;
        let routing_key = if is_work { VerificationWork::DUE_KEY } else { "claim.initiated" };
        Ok(OutboxMessage { event, routing_key, claim: Some("clm_1".to_owned()) })
    }
}

#[async_trait]
impl DueSource for Numbers {
    async fn take(&self, _now: DateTime<Utc>) -> Result<Taken<u32>, OutboxError> {
        let rows = std::mem::take(&mut *self.due.lock().unwrap());
        if rows.is_empty() {
            return Ok(Taken::Nothing(RoundOutcome::QueueFull));
        }
        Ok(Taken::Rows { is_full: rows.len() >= 3, rows })
    }

    async fn give_back(&self, rows: Vec<u32>) -> Result<(), Unavailable> {
        self.due.lock().unwrap().extend(rows);
        Ok(())
    }

    fn record_delivered(&self, row: &u32, _at: DateTime<Utc>) {
        self.delivered.lock().unwrap().push(*row);
    }
}

/// A publisher that records its messages and returns scripted results; after these it confirms.
#[derive(Default)]
pub struct ScriptedPublisher {
    pub given: Mutex<Vec<Message>>,
    answers: Mutex<VecDeque<Result<Vec<PublishOutcome>, BusError>>>,
}

impl ScriptedPublisher {
    pub fn of(answers: impl IntoIterator<Item = Result<Vec<PublishOutcome>, BusError>>) -> Arc<Self> {
        Arc::new(Self { given: Mutex::default(), answers: Mutex::new(answers.into_iter().collect()) })
    }
}

#[async_trait]
impl Publisher for ScriptedPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError> {
        let confirmed = vec![PublishOutcome::Confirmed; messages.len()];
        self.given.lock().unwrap().extend(messages);
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(confirmed))
    }
}

pub fn unavailable() -> BusError {
    BusError::Unavailable("gone".into())
}

/// A clock that stands still.
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
}
