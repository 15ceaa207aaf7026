//! Declares the topology: the only place that says what a queue is to the broker.

use lapin::{
    Channel, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    link::Live,
    trouble::{Trouble, within},
    wire::short,
};
use crate::{BusError, Limits, QueueSpec, Topology};

const CAPACITY: &str = "x-max-length";
const DELIVERY_LIMIT: &str = "x-delivery-limit";

/// Arguments that only bound something. A queue that has others is used as it is: its arguments cannot be changed, and
/// a changed setting must not keep a service from starting.
const BOUNDS: [&str; 2] = [CAPACITY, DELIVERY_LIMIT];

const PRECONDITION_FAILED: u16 = 406;

/// Makes sure that the exchange, the queues and their dead-letter queues exist and are bound.
///
/// - Every queue is a quorum queue. A full one refuses publishers; it drops nothing.
/// - Dead-lettering is at least once: the broker keeps a message until the dead-letter queue has confirmed it.
/// - The delivery limit counts deliveries after the first. Dead letters have none to speak of (since 4.0 a queue without
///   one has 20, and looking at dead letters delivers them).
pub(super) async fn declare(live: &Live, topology: &Topology, limits: &Limits) -> Result<(), BusError> {
    let mut channel = live.channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let exchange = short(&topology.exchange)?;
    let declared = within(channel.exchange_declare(
        exchange.clone(),
        ExchangeKind::Topic,
        durable,
        FieldTable::default(),
    ));
    declared.await.map_err(|error| conflict("exchange", &topology.exchange, error))?;
    for (name, spec) in &topology.queues {
        queue(live, &mut channel, &spec.dead_letter_queue, dead_arguments()).await?;
        queue(live, &mut channel, name, work_arguments(spec, limits)).await?;
        for binding in &spec.bindings {
            let bound = channel.queue_bind(
                short(name)?,
                exchange.clone(),
                short(binding.as_str())?,
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            within(bound).await?;
        }
    }
    let _ = within(channel.close(200, "OK".into())).await;
    Ok(())
}

fn dead_arguments() -> FieldTable {
    table([("x-queue-type", words("quorum")), (DELIVERY_LIMIT, AMQPValue::LongInt(i32::MAX))])
}

fn work_arguments(spec: &QueueSpec, limits: &Limits) -> FieldTable {
    let after_the_first = limits.max_deliveries.max(1) - 1;
    let bound = |count: usize| AMQPValue::LongInt(i32::try_from(count).unwrap_or(i32::MAX));
    table([
        ("x-queue-type", words("quorum")),
        ("x-overflow", words("reject-publish")),
        ("x-dead-letter-exchange", words("")),
        ("x-dead-letter-routing-key", words(&spec.dead_letter_queue)),
        ("x-dead-letter-strategy", words("at-least-once")),
        (CAPACITY, bound(limits.capacity.max(1))),
        (DELIVERY_LIMIT, bound(usize::try_from(after_the_first).unwrap_or(usize::MAX))),
    ])
}

fn words(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// Declares one queue. Where an existing one has other bounds, those are taken over, and what else it has is still
/// compared.
async fn queue(
    live: &Live,
    channel: &mut Channel,
    name: &str,
    mut arguments: FieldTable,
) -> Result<(), BusError> {
    for _ in 0..=BOUNDS.len() {
        let declaring =
            channel.queue_declare(short(name)?, QueueDeclareOptions::durable(), arguments.clone());
        let Err(error) = within(declaring).await else { return Ok(()) };
        let difference = refusal(&error).and_then(|text| Difference::read(&text));
        let Some(difference) = difference.filter(|found| BOUNDS.contains(&&*found.argument)) else {
            return Err(conflict("queue", name, error));
        };
        let current = match difference.current {
            Current::Number(number) => Some(number),
            Current::Nothing => None,
            Current::Other => return Err(conflict("queue", name, error)),
        };
        tracing::warn!(
            queue = name,
            argument = difference.argument,
            ?current,
            "the queue exists with another bound, which stays in force; to change it, delete the queue when it is empty"
        );
        let mut others = arguments.inner().clone();
        others.remove(&*difference.argument);
        if let Some(current) = current {
            others.insert(short(&difference.argument)?, AMQPValue::LongLongInt(current));
        }
        arguments = others.into();
        // The refusal has closed the channel.
        *channel = live.channel().await?;
    }
    Err(Trouble::Conflict {
        kind: "queue",
        name: name.to_owned(),
        detail: "its bounds keep changing".to_owned(),
    }
    .into())
}

/// What the broker said when it would not declare something because it exists and differs.
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
        Some(detail) => Trouble::Conflict { kind, name: name.to_owned(), detail }.into(),
        None => error,
    }
}

/// One argument that differs, as the broker tells it, in words that vary with its version:
/// `inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '1' but current is '2'`, or
/// `… received the value '1' of type 'long' but current is the value '2' of type 'long'`, or `… but current is none`.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    argument: String,
    current: Current,
}

/// What the existing queue has.
#[derive(Debug, PartialEq, Eq)]
enum Current {
    Number(i64),
    Nothing,
    Other,
}

impl Difference {
    fn read(text: &str) -> Option<Self> {
        let (argument, _) = text.split_once("inequivalent arg '")?.1.split_once('\'')?;
        let (_, current) = text.split_once("but current is ")?;
        let current = match current.split('\'').nth(1).map(str::parse) {
            Some(Ok(number)) => Current::Number(number),
            None if current.starts_with("none") => Current::Nothing,
            Some(Err(_)) | None => Current::Other,
        };
        Some(Self { argument: argument.to_owned(), current })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_read_out_of_refusals() {
        let about =
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received";
        for (tail, current) in [
            ("'7' but current is '5'", Current::Number(5)),
            (
                "the value '7' of type 'signedint' but current is the value '5' of type 'long'",
                Current::Number(5),
            ),
            ("the value '7' of type 'signedint' but current is none", Current::Nothing),
            ("none but current is the value 'x' of type 'longstr'", Current::Other),
        ] {
            let read = Difference::read(&format!("{about} {tail}"));
            assert_eq!(read, Some(Difference { argument: "x-max-length".to_owned(), current }), "{tail}");
        }
        assert_eq!(Difference::read("PRECONDITION_FAILED - something else"), None);
    }
}
