//! Encodes messages as AMQP properties and headers, and decodes them.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::broker_error::BrokerError;
use crate::{BusError, DeadReason, Message, Requirement, RoutingKey};

const APPLICATION: &str = "deed";
const PERSISTENT: u8 = 2;

/// Headers that Deed adds: values for which AMQP has no property.
const DEED_PREFIX: &str = "x-deed-";
const REQUIREMENT: &str = "x-deed-requirement";
const OPTIONAL: &str = "whoever-listens";
/// The original routing key of a message that was published to a queue by name.
const ROUTING_KEY: &str = "x-deed-routing-key";
const DEAD_QUEUE: &str = "x-deed-dead-queue";
const DEAD_REASON: &str = "x-deed-dead-reason";
const DEAD_DELIVERIES: &str = "x-deed-dead-deliveries";

/// Headers that the broker adds.
const X_DEATH: &str = "x-death";
const DELIVERY_COUNT: &str = "x-delivery-count";
const BROKER_HEADERS: [&str; 9] = [
    X_DEATH,
    DELIVERY_COUNT,
    "x-acquired-count",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// A short string of AMQP: at most 255 bytes.
pub(super) fn short_string(text: &str) -> Result<ShortString, BusError> {
    ShortString::try_new(text).map_err(|_| BrokerError::NameTooLong(text.len()).into())
}

/// A message to be published. Clones share the body.
#[derive(Clone, Debug)]
pub(super) struct OutboundMessage {
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub mandatory: bool,
    /// Whether the topology binds a queue to its routing key.
    pub has_queue: bool,
    pub properties: BasicProperties,
    pub body: Arc<[u8]>,
}

impl OutboundMessage {
    /// The routing key and the message id, which identify the message when the broker returns it.
    pub fn identity(&self) -> (&str, &str) {
        let id = self.properties.message_id().as_ref().map_or("", ShortString::as_str);
        (self.routing_key.as_str(), id)
    }

    /// Addressed to the exchange of the topology.
    pub fn to_exchange(message: &Message, exchange: &str, has_queue: bool) -> Result<Self, BusError> {
        let properties = properties(message, headers(message)?)?;
        Ok(Self {
            exchange: short_string(exchange)?,
            routing_key: short_string(message.routing_key.as_str())?,
            mandatory: message.requirement == Requirement::Mandatory,
            has_queue,
            properties,
            body: Arc::clone(&message.body),
        })
    }

    /// Addressed to a queue by name, through the default exchange.
    pub fn to_queue(message: &Message, queue: &str) -> Result<Self, BusError> {
        let mut headers = headers(message)?;
        headers.insert(ROUTING_KEY.into(), text(message.routing_key.as_str()));
        Ok(Self {
            exchange: ShortString::default(),
            routing_key: short_string(queue)?,
            mandatory: true,
            has_queue: true,
            properties: properties(message, headers)?,
            body: Arc::clone(&message.body),
        })
    }

    /// Addressed to the dead letters of the queue it was delivered from.
    pub fn to_dead_letters(
        message: &Message,
        record: &DeadLetterRecord,
        dead_letter_queue: &str,
    ) -> Result<Self, BusError> {
        let mut outbound = Self::to_queue(message, dead_letter_queue)?;
        let mut headers = outbound.properties.headers().clone().unwrap_or_default();
        headers.insert(DEAD_QUEUE.into(), text(&record.queue));
        headers.insert(DEAD_REASON.into(), text(&record.reason.to_string()));
        headers.insert(DEAD_DELIVERIES.into(), AMQPValue::LongUInt(record.deliveries));
        outbound.properties = outbound.properties.with_headers(headers);
        Ok(outbound)
    }
}

/// Where a dead letter came from, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeadLetterRecord {
    pub queue: String,
    pub reason: DeadReason,
    pub deliveries: u32,
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn headers(message: &Message) -> Result<FieldTable, BusError> {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert(short_string(name)?, text(value));
    }
    if message.requirement == Requirement::Optional {
        headers.insert(REQUIREMENT.into(), text(OPTIONAL));
    }
    Ok(headers)
}

fn properties(message: &Message, headers: FieldTable) -> Result<BasicProperties, BusError> {
    Ok(BasicProperties::default()
        .with_message_id(short_string(&message.id)?)
        .with_content_type(short_string(&message.content_type)?)
        .with_delivery_mode(PERSISTENT)
        .with_app_id(APPLICATION.into())
        .with_timestamp(sent_at())
        .with_headers(headers))
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a label for the broker's operators; no decision depends on it"
)]
fn sent_at() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A decoded message.
pub(super) struct InboundMessage {
    pub message: Message,
    /// How often it was delivered before this delivery.
    pub earlier_deliveries: u32,
}

impl InboundMessage {
    pub fn read(properties: &BasicProperties, routing_key: &str, body: Vec<u8>) -> Self {
        let table = properties.headers().as_ref();
        let string =
            |property: &Option<ShortString>| property.as_ref().map_or("", ShortString::as_str).to_owned();
        let original_key = table.and_then(|table| {
            header(table, ROUTING_KEY).or_else(|| Some(XDeath::latest(table)?.routing_key))
        });
        let requirement = table.and_then(|table| header(table, REQUIREMENT));
        let is_optional = requirement.is_some_and(|value| value == OPTIONAL);
        let message = Message {
            id: string(properties.message_id()),
            routing_key: parse_key(original_key.as_deref().unwrap_or(routing_key)),
            content_type: string(properties.content_type()),
            body: body.into(),
            headers: table.map(message_headers).unwrap_or_default(),
            requirement: if is_optional { Requirement::Optional } else { Requirement::Mandatory },
        };
        let count = table.and_then(|table| table.inner().get(DELIVERY_COUNT)).and_then(number);
        Self { message, earlier_deliveries: count.unwrap_or(0) }
    }
}

impl DeadLetterRecord {
    /// Reads the record from Deed's headers, or else from the broker's `x-death`. Deed has the broker dead-letter only
    /// messages that used up their deliveries, so `max_deliveries` is their count.
    pub fn read(properties: &BasicProperties, max_deliveries: u32) -> Self {
        let table = properties.headers().clone().unwrap_or_default();
        if let Some(reason) = header(&table, DEAD_REASON) {
            let deliveries = table.inner().get(DEAD_DELIVERIES).and_then(number).unwrap_or(1);
            let queue = header(&table, DEAD_QUEUE).unwrap_or_default();
            return Self { queue, reason: DeadReason::Refused(reason), deliveries };
        }
        match XDeath::latest(&table) {
            Some(death) if matches!(&*death.reason, "delivery_limit" | "rejected") => {
                Self { queue: death.queue, reason: DeadReason::DeliveryLimit, deliveries: max_deliveries }
            }
            Some(death) => {
                Self { queue: death.queue, reason: DeadReason::Refused(death.reason), deliveries: 1 }
            }
            None => {
                let reason = DeadReason::Refused("put here by hand".to_owned());
                Self { queue: String::new(), reason, deliveries: 0 }
            }
        }
    }
}

/// The routing key of a message that another program published may not be a valid key of Deed.
fn parse_key(text: &str) -> RoutingKey {
    #[expect(clippy::expect_used, reason = "a literal made of dotted words")]
    text.parse().unwrap_or_else(|_| "unreadable".parse().expect("a literal made of dotted words"))
}

fn message_headers(table: &FieldTable) -> BTreeMap<String, String> {
    let is_internal = |name: &str| name.starts_with(DEED_PREFIX) || BROKER_HEADERS.contains(&name);
    let entries = table.inner().iter().filter(|(name, _)| !is_internal(name.as_str()));
    entries.filter_map(|(name, value)| Some((name.to_string(), string(value)?))).collect()
}

fn string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(ToOwned::to_owned),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn header(table: &FieldTable, name: &str) -> Option<String> {
    string(table.inner().get(name)?)
}

fn number(value: &AMQPValue) -> Option<u32> {
    let number = match *value {
        AMQPValue::ShortShortInt(n) => i64::from(n),
        AMQPValue::ShortShortUInt(n) => i64::from(n),
        AMQPValue::ShortInt(n) => i64::from(n),
        AMQPValue::ShortUInt(n) => i64::from(n),
        AMQPValue::LongInt(n) => i64::from(n),
        AMQPValue::LongUInt(n) => i64::from(n),
        AMQPValue::LongLongInt(n) => n,
        _ => return None,
    };
    u32::try_from(number).ok()
}

/// One entry of the broker's `x-death` header.
struct XDeath {
    queue: String,
    reason: String,
    routing_key: String,
}

impl XDeath {
    /// The latest entry, which comes first.
    fn latest(table: &FieldTable) -> Option<Self> {
        let AMQPValue::FieldArray(deaths) = table.inner().get(X_DEATH)? else { return None };
        let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
        let routing_key = match death.inner().get("routing-keys") {
            Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(string),
            _ => None,
        };
        Some(Self {
            queue: header(death, "queue")?,
            reason: header(death, "reason").unwrap_or_default(),
            routing_key: routing_key.unwrap_or_default(),
        })
    }
}
