//! Failover of relay, projector and dispatcher on PostgreSQL and RabbitMQ: processes are killed in the middle
//! of their work; no event is skipped, and repeated messages are identical.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use deed_api::relay::RELAY;
use deed_bus::{Bus, QueueSpec, RabbitMq, Topology};
use deed_claims::name::DomainName;
use deed_claims::{
    ChallengeTemplates, CheckCause, ClaimId, ClaimInitiated, Event, Holder, Scope, StreamId, Token,
    VerificationRequested,
};
use deed_messages::{CloudEvent, queues};
use deed_projector::READ_MODELS;
use deed_store::{Append, Checkpoints, EventStore, Metadata, Position, ReadModels, StreamWrite, Version};
use deed_testkit::{Postgres, RabbitMq as Broker, eventually};
use serde_json::Value;

use self::process::{Backends, TIMEOUT};

/// Claims made while processes are killed; two events each.
const CLAIMS: u64 = 400;
const KILLS: u64 = 5;

/// Short enough for the test, and long enough for a loaded machine to renew.
const LEASE: Duration = Duration::from_millis(1500);

/// A queue that is bound to all events.
const ALL_EVENTS: &str = "test.everything";

fn topology() -> Topology {
    let mut topology = Topology::new(queues::EXCHANGE, queues::ALL).unwrap();
    let all = QueueSpec {
        bindings: vec!["#".parse().unwrap()],
        dead_letter_queue: "test.everything.dead".to_owned(),
    };
    topology.queues.insert(ALL_EVENTS.to_owned(), all);
    topology
}

fn claim_id(number: u64) -> ClaimId {
    ClaimId::from_bytes(u128::from(number).to_be_bytes())
}

/// A claim on its own name, with a request for the first check.
fn claim(number: u64) -> Append {
    let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let name: DomainName = format!("n{number}.com").parse().unwrap();
    let claim_id = claim_id(number);
    let challenge = ChallengeTemplates::default().challenge(Scope::Apex, &name, Token::from_bytes([7; 20]));
    let expires_at = at + chrono::Duration::days(36_500);
    let initiated = ClaimInitiated {
        claim_id,
        scope: Scope::Apex,
        name: name.clone(),
        requested: name.clone(),
        region: None,
        holder: Holder::Workspace { workspace_id: format!("ws_{}", number % 7).parse().unwrap() },
        challenge,
        expires_at,
        at,
    };
    let requested = VerificationRequested {
        claim_id,
        attempt: 1,
        cause: CheckCause::First,
        expires_at: Some(expires_at),
        at,
    };
    let events: Vec<Event> = vec![initiated.into(), requested.into()];
    let stream = StreamId::ownership(Scope::Apex, &name);
    let writes = vec![StreamWrite { stream, expected: Version(0), events }];
    Append { writes, receipt: None, metadata: Metadata::default(), at }
}

/// The received messages, in order.
type Received = Arc<Mutex<Vec<CloudEvent>>>;

async fn listen(bus: RabbitMq, received: Received) {
    let mut consumer = bus.consumer(ALL_EVENTS).await.unwrap();
    while let Some(delivery) = consumer.next().await.unwrap() {
        received.lock().unwrap().push(CloudEvent::from_json(&delivery.message().body).unwrap());
        delivery.acknowledge().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_skips_and_changes_no_event() {
    let (server, broker) = tokio::join!(
        async { tokio::task::spawn_blocking(Postgres::shared).await.unwrap() },
        Broker::shared()
    );
    let (database, vhost) = (server.database().await, broker.vhost().await);
    let backends = Backends { database: database.url().to_owned(), broker: vhost.url().to_owned() };
    let store = backends.migrated().await;
    let received = Received::default();
    let consumer_bus = backends.bus(topology()).await;
    let listening = tokio::spawn(listen(consumer_bus.clone(), received.clone()));

    let mut processes = vec![backends.process(1).await, backends.process(2).await];
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 1..=CLAIMS {
                store.append(claim(number)).await.unwrap();
            }
        }
    });
    for kill in 1..=KILLS {
        // Each is killed with work in progress, part of it done since the last kill.
        let enough = Position(kill * CLAIMS * 2 / (KILLS + 2));
        eventually("relay and projector to advance", TIMEOUT, || async {
            let relayed = store.checkpoint(RELAY).await.unwrap();
            let folded = store.checkpoint(READ_MODELS).await.unwrap();
            (relayed.min(folded) >= enough).then_some(())
        })
        .await;
        processes.remove(0).kill();
        processes.push(backends.process(kill + 2).await);
    }
    writing.await.unwrap();
    let last = store.last_position().await.unwrap();
    assert_eq!(last, Position(CLAIMS * 2));
    eventually("relay and projector to reach the end of the log", TIMEOUT, || async {
        let relayed = store.checkpoint(RELAY).await.unwrap();
        let folded = store.checkpoint(READ_MODELS).await.unwrap();
        (relayed == last && folded == last).then_some(())
    })
    .await;
    eventually("the check of every claim to be published", TIMEOUT, || async {
        (due(&received.lock().unwrap()).len() as u64 >= CLAIMS).then_some(())
    })
    .await;
    for process in processes {
        process.stop().await;
    }
    consumer_bus.close().await;
    listening.await.unwrap();

    let received = std::mem::take(&mut *received.lock().unwrap());
    log_was_published_in_order(&received, last);
    assert_eq!(due(&received), (1..=CLAIMS).map(|n| (claim_id(n).to_string(), 1)).collect());
    let folded = store.digest().await.unwrap();
    backends.rebuild(&store).await;
    assert_eq!(store.digest().await.unwrap(), folded, "an event was left out or folded twice");
}

/// Claim and attempt of each message from the dispatcher.
fn due(received: &[CloudEvent]) -> BTreeSet<(String, u64)> {
    let due = received.iter().filter(|event| event.r#type == "deed.verification.due.v1");
    due.map(|event| {
        (event.data["claimId"].as_str().unwrap().to_owned(), event.data["attempt"].as_u64().unwrap())
    })
    .collect()
}

/// Asserts that no event is missing or early, and that repeated messages are identical.
fn log_was_published_in_order(received: &[CloudEvent], last: Position) {
    let mut published: BTreeMap<u64, (&str, &Value)> = BTreeMap::new();
    let mut repeated = 0;
    for event in received {
        let Some(position) = event.extensions.get("position").and_then(Value::as_str) else { continue };
        let position: u64 = position.parse().unwrap();
        if let Some(first) = published.get(&position) {
            assert_eq!(*first, (event.id.as_str(), &event.data), "position {position}");
            repeated += 1;
        } else {
            assert_eq!(position, published.len() as u64 + 1, "an event was skipped");
            published.insert(position, (&event.id, &event.data));
        }
    }
    assert_eq!(published.len() as u64, last.0);
    println!("{KILLS} kills; {} events published, {repeated} of them again", published.len());
}
