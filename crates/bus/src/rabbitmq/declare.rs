//! Declares the exchange and the queues with their arguments, and accepts queues that exist with other bounds.

use lapin::{
    Channel, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    broker_error::{BrokerError, within_deadline},
    connection::Connection,
    wire::short_string,
};
use crate::{BusError, Limits, QueueSpec, Topology};

const MAX_LENGTH: &str = "x-max-length";
const DELIVERY_LIMIT: &str = "x-delivery-limit";

/// Arguments that only bound a queue. A queue that exists with other bounds is used as it is: the arguments of a queue
/// cannot be changed, and a changed setting must not keep a service from starting.
const BOUNDS: [&str; 2] = [MAX_LENGTH, DELIVERY_LIMIT];

const PRECONDITION_FAILED: u16 = 406;

/// Makes sure that the exchange, the queues and their dead-letter queues exist and are bound.
///
/// - Every queue is a quorum queue. A full one refuses publishers; it drops nothing.
/// - Dead-lettering is at least once: the broker keeps a message until the dead-letter queue has confirmed it.
/// - The delivery limit counts deliveries after the first. Dead-letter queues have the largest limit: since 4.0 a queue
///   without one has a limit of 20, and each scan of the dead letters delivers them.
pub(super) async fn declare(
    connection: &Connection,
    topology: &Topology,
    limits: &Limits,
) -> Result<(), BusError> {
    let mut channel = connection.channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let exchange = short_string(&topology.exchange)?;
    let declared = within_deadline(channel.exchange_declare(
        exchange.clone(),
        ExchangeKind::Topic,
        durable,
        FieldTable::default(),
    ));
    declared.await.map_err(|error| conflict("exchange", &topology.exchange, error))?;
    for (name, spec) in &topology.queues {
        declare_queue(connection, &mut channel, &spec.dead_letter_queue, dead_letter_arguments()).await?;
        declare_queue(connection, &mut channel, name, queue_arguments(spec, limits)).await?;
        for binding in &spec.bindings {
            let bound = channel.queue_bind(
                short_string(name)?,
                exchange.clone(),
                short_string(binding.as_str())?,
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            within_deadline(bound).await?;
        }
    }
    let _ = within_deadline(channel.close(200, "OK".into())).await;
    Ok(())
}

fn dead_letter_arguments() -> FieldTable {
    table([("x-queue-type", long_string("quorum")), (DELIVERY_LIMIT, AMQPValue::LongInt(i32::MAX))])
}

fn queue_arguments(spec: &QueueSpec, limits: &Limits) -> FieldTable {
    let redeliveries = limits.max_deliveries.max(1) - 1;
    let bound = |count: usize| AMQPValue::LongInt(i32::try_from(count).unwrap_or(i32::MAX));
    table([
        ("x-queue-type", long_string("quorum")),
        ("x-overflow", long_string("reject-publish")),
        ("x-dead-letter-exchange", long_string("")),
        ("x-dead-letter-routing-key", long_string(&spec.dead_letter_queue)),
        ("x-dead-letter-strategy", long_string("at-least-once")),
        (MAX_LENGTH, bound(limits.capacity.max(1))),
        (DELIVERY_LIMIT, bound(usize::try_from(redeliveries).unwrap_or(usize::MAX))),
    ])
}

fn long_string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// Declares one queue. If it exists with other bounds, those are adopted and its other arguments are still compared.
async fn declare_queue(
    connection: &Connection,
    channel: &mut Channel,
    name: &str,
    mut arguments: FieldTable,
) -> Result<(), BusError> {
    for _ in 0..=BOUNDS.len() {
        let declaring =
            channel.queue_declare(short_string(name)?, QueueDeclareOptions::durable(), arguments.clone());
        let Err(error) = within_deadline(declaring).await else { return Ok(()) };
        let mismatch = refusal(&error).and_then(|text| ArgumentMismatch::parse(&text));
        let Some(mismatch) = mismatch.filter(|found| BOUNDS.contains(&&*found.argument)) else {
            return Err(conflict("queue", name, error));
        };
        let current = match mismatch.current {
            CurrentValue::Number(number) => Some(number),
            CurrentValue::Absent => None,
            CurrentValue::Other => return Err(conflict("queue", name, error)),
        };
        tracing::warn!(
            queue = name,
            argument = mismatch.argument,
            ?current,
            "the queue exists with another bound, which stays in force; to change it, delete the queue when it is empty"
        );
        let mut others = arguments.inner().clone();
        others.remove(&*mismatch.argument);
        if let Some(current) = current {
            others.insert(short_string(&mismatch.argument)?, AMQPValue::LongLongInt(current));
        }
        arguments = others.into();
        // A refused declaration closes the channel (AMQP 0-9-1, channel exception).
        *channel = connection.channel().await?;
    }
    Err(BrokerError::Conflict {
        kind: "queue",
        name: name.to_owned(),
        detail: "its bounds keep changing".to_owned(),
    }
    .into())
}

/// The broker's reply text, if it refused a declaration because the entity exists with other arguments.
fn refusal(error: &BusError) -> Option<String> {
    let BusError::Unavailable(source) = error else { return None };
    match source.downcast_ref::<lapin::Error>()?.kind() {
        ErrorKind::ProtocolError(error) if error.get_id() == PRECONDITION_FAILED => {
            Some(error.get_message().to_string())
        }
        _ => None,
    }
}

fn conflict(kind: &'static str, name: &str, error: BusError) -> BusError {
    match refusal(&error) {
        Some(detail) => BrokerError::Conflict { kind, name: name.to_owned(), detail }.into(),
        None => error,
    }
}

/// One argument that differs, parsed from the broker's reply text, whose wording varies with its version:
/// `inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '1' but current is '2'`, or
/// `… received the value '1' of type 'long' but current is the value '2' of type 'long'`, or `… but current is none`.
#[derive(Debug, PartialEq, Eq)]
struct ArgumentMismatch {
    argument: String,
    current: CurrentValue,
}

/// The argument's value in the existing queue.
#[derive(Debug, PartialEq, Eq)]
enum CurrentValue {
    Number(i64),
    Absent,
    Other,
}

impl ArgumentMismatch {
    fn parse(text: &str) -> Option<Self> {
        let (argument, _) = text.split_once("inequivalent arg '")?.1.split_once('\'')?;
        let (_, current) = text.split_once("but current is ")?;
        let current = match current.split('\'').nth(1).map(str::parse) {
            Some(Ok(number)) => CurrentValue::Number(number),
            None if current.starts_with("none") => CurrentValue::Absent,
            Some(Err(_)) | None => CurrentValue::Other,
        };
        Some(Self { argument: argument.to_owned(), current })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_mismatches_from_reply_texts() {
        let about =
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received";
        for (tail, current) in [
            ("'7' but current is '5'", CurrentValue::Number(5)),
            (
                "the value '7' of type 'signedint' but current is the value '5' of type 'long'",
                CurrentValue::Number(5),
            ),
            ("the value '7' of type 'signedint' but current is none", CurrentValue::Absent),
            ("none but current is the value 'x' of type 'longstr'", CurrentValue::Other),
        ] {
            let read = ArgumentMismatch::parse(&format!("{about} {tail}"));
            assert_eq!(
                read,
                Some(ArgumentMismatch { argument: "x-max-length".to_owned(), current }),
                "{tail}"
            );
        }
        assert_eq!(ArgumentMismatch::parse("PRECONDITION_FAILED - something else"), None);
    }
}
