//! Messages as they travel: properties, headers, and what is read back out of them.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::trouble::Trouble;
use crate::{BusError, DeadReason, Message, Requirement, RoutingKey};

const APPLICATION: &str = "deed";
const PERSISTENT: u8 = 2;

/// Headers of ours: what AMQP has no place for.
const OURS: &str = "x-deed-";
const REQUIREMENT: &str = "x-deed-requirement";
const NEWS: &str = "whoever-listens";
/// The routing key it was published with, when it now has another: that of the queue it was put back to.
const ROUTING_KEY: &str = "x-deed-routing-key";
const DEAD_QUEUE: &str = "x-deed-dead-queue";
const DEAD_REASON: &str = "x-deed-dead-reason";
const DEAD_DELIVERIES: &str = "x-deed-dead-deliveries";

/// Headers of the broker's.
const DEATHS: &str = "x-death";
const COUNT: &str = "x-delivery-count";
const BROKERS: [&str; 9] = [
    DEATHS,
    COUNT,
    "x-acquired-count",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// A name in AMQP.
pub(super) fn short(text: &str) -> Result<ShortString, BusError> {
    ShortString::try_new(text).map_err(|_| Trouble::TooLong(text.len()).into())
}

/// A message on its way to an exchange.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub mandatory: bool,
    /// Whether a queue of the topology is to take it.
    pub expected: bool,
    pub properties: BasicProperties,
    pub body: Arc<[u8]>,
}

impl Outgoing {
    /// What says which message it is when it comes back as unroutable.
    pub fn identity(&self) -> (&str, &str) {
        let id = self.properties.message_id().as_ref().map_or("", ShortString::as_str);
        (self.routing_key.as_str(), id)
    }

    /// To the exchange of the topology.
    pub fn news(message: &Message, exchange: &str, expected: bool) -> Result<Self, BusError> {
        let properties = properties(message, headers(message)?)?;
        Ok(Self {
            exchange: short(exchange)?,
            routing_key: short(message.routing_key.as_str())?,
            mandatory: message.delivery == Requirement::MustReachQueue,
            expected,
            properties,
            body: Arc::clone(&message.body),
        })
    }

    /// Straight into this queue, past the topology.
    pub fn straight(message: &Message, queue: &str) -> Result<Self, BusError> {
        let mut headers = headers(message)?;
        headers.insert(ROUTING_KEY.into(), text(message.routing_key.as_str()));
        Ok(Self {
            exchange: ShortString::default(),
            routing_key: short(queue)?,
            mandatory: true,
            expected: true,
            properties: properties(message, headers)?,
            body: Arc::clone(&message.body),
        })
    }

    /// To the dead letters of the queue it was delivered from.
    pub fn dead(message: &Message, death: &Death, dead_queue: &str) -> Result<Self, BusError> {
        let mut outgoing = Self::straight(message, dead_queue)?;
        let mut headers = outgoing.properties.headers().clone().unwrap_or_default();
        headers.insert(DEAD_QUEUE.into(), text(&death.queue));
        headers.insert(DEAD_REASON.into(), text(&death.reason.to_string()));
        headers.insert(DEAD_DELIVERIES.into(), AMQPValue::LongUInt(death.deliveries));
        outgoing.properties = outgoing.properties.with_headers(headers);
        Ok(outgoing)
    }
}

/// How a message came to be a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Death {
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
        headers.insert(short(name)?, text(value));
    }
    if message.delivery == Requirement::WhoeverListens {
        headers.insert(REQUIREMENT.into(), text(NEWS));
    }
    Ok(headers)
}

fn properties(message: &Message, headers: FieldTable) -> Result<BasicProperties, BusError> {
    Ok(BasicProperties::default()
        .with_message_id(short(&message.id)?)
        .with_content_type(short(&message.content_type)?)
        .with_delivery_mode(PERSISTENT)
        .with_app_id(APPLICATION.into())
        .with_timestamp(sent_at())
        .with_headers(headers))
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a label for the broker's operators; nothing is decided by it")]
fn sent_at() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A message as it came.
pub(super) struct Incoming {
    pub message: Message,
    /// How often it had been delivered before.
    pub earlier: u32,
}

impl Incoming {
    pub fn read(properties: &BasicProperties, routing_key: &str, body: Vec<u8>) -> Self {
        let table = properties.headers().as_ref();
        let string =
            |property: &Option<ShortString>| property.as_ref().map_or("", ShortString::as_str).to_owned();
        let elsewhere =
            table.and_then(|table| words(table, ROUTING_KEY).or_else(|| Some(death_of(table)?.routing_key)));
        let news = table.and_then(|table| words(table, REQUIREMENT)).is_some_and(|word| word == NEWS);
        let message = Message {
            id: string(properties.message_id()),
            routing_key: key(elsewhere.as_deref().unwrap_or(routing_key)),
            content_type: string(properties.content_type()),
            body: body.into(),
            headers: table.map(passed_on).unwrap_or_default(),
            delivery: if news { Requirement::WhoeverListens } else { Requirement::MustReachQueue },
        };
        let earlier = table.and_then(|table| table.inner().get(COUNT)).and_then(number).unwrap_or(0);
        Self { message, earlier }
    }
}

impl Death {
    /// How it died: by our own account, or by the broker's. Only a delivery that was one too many is given to the
    /// broker to put away, so there were then as many as allowed.
    pub fn read(properties: &BasicProperties, allowed: u32) -> Self {
        let table = properties.headers().clone().unwrap_or_default();
        if let Some(reason) = words(&table, DEAD_REASON) {
            let deliveries = table.inner().get(DEAD_DELIVERIES).and_then(number).unwrap_or(1);
            let queue = words(&table, DEAD_QUEUE).unwrap_or_default();
            return Self { queue, reason: DeadReason::Refused(reason), deliveries };
        }
        match death_of(&table) {
            Some(death) if matches!(&*death.reason, "delivery_limit" | "rejected") => {
                Death { queue: death.queue, reason: DeadReason::DeliveryLimit, deliveries: allowed }
            }
            Some(death) => {
                Death { queue: death.queue, reason: DeadReason::Refused(death.reason), deliveries: 1 }
            }
            None => {
                let reason = DeadReason::Refused("put here by hand".to_owned());
                Death { queue: String::new(), reason, deliveries: 0 }
            }
        }
    }
}

/// A key from elsewhere need not be one of ours.
fn key(text: &str) -> RoutingKey {
    #[expect(clippy::expect_used, reason = "a literal made of dotted words")]
    text.parse().unwrap_or_else(|_| "unreadable".parse().expect("a literal made of dotted words"))
}

fn passed_on(table: &FieldTable) -> BTreeMap<String, String> {
    let ours = |name: &str| name.starts_with(OURS) || BROKERS.contains(&name);
    let entries = table.inner().iter().filter(|(name, _)| !ours(name.as_str()));
    entries.filter_map(|(name, value)| Some((name.to_string(), string(value)?))).collect()
}

fn string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(ToOwned::to_owned),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn words(table: &FieldTable, name: &str) -> Option<String> {
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

/// The broker's account of a death.
struct BrokersAccount {
    queue: String,
    reason: String,
    routing_key: String,
}

/// The latest one comes first.
fn death_of(table: &FieldTable) -> Option<BrokersAccount> {
    let AMQPValue::FieldArray(deaths) = table.inner().get(DEATHS)? else { return None };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    let routing_key = match death.inner().get("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(string),
        _ => None,
    };
    Some(BrokersAccount {
        queue: words(death, "queue")?,
        reason: words(death, "reason").unwrap_or_default(),
        routing_key: routing_key.unwrap_or_default(),
    })
}
