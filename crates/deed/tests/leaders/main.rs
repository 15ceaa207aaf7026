//! Relay, projector and dispatcher on PostgreSQL and RabbitMQ, whose processes die one after another in the middle of their
//! work: whoever follows skips nothing, and what is repeated is the same again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use deed_api::relay::RELAY;
use deed_bus::{Bus, CloudEvent, QueueSpec, RabbitMq, Topology};
use deed_claims::name::DomainName;
use deed_claims::{
    ChallengeTemplates, CheckCause, ClaimId, ClaimInitiated, Event, Holder, Scope, StreamId, Token,
    VerificationRequested,
};
use deed_projector::READ_MODELS;
use deed_store::{Append, Checkpoints, EventStore, Metadata, Position, ReadModels, StreamWrite, Version};
use deed_testkit::{Postgres, RabbitMq as Broker, eventually};
use serde_json::Value;

use self::process::{PATIENCE, Place};

/// Claims that are made while processes die; two events each.
const CLAIMS: u64 = 400;
const DEATHS: u64 = 5;

/// Leases run out so soon that the test need not wait for long, and no sooner than a loaded machine can renew them.
const LEASE: Duration = Duration::from_millis(1500);

/// Everything that is said on the bus.
const EVERYTHING: &str = "test.everything";

fn topology() -> Topology {
    let mut topology = Topology::deed();
    let all = QueueSpec {
        bindings: vec!["#".parse().unwrap()],
        dead_letter_queue: "test.everything.dead".to_owned(),
    };
    topology.queues.insert(EVERYTHING.to_owned(), all);
    topology
}

fn claim_id(number: u64) -> ClaimId {
    ClaimId::from_bytes(u128::from(number).to_be_bytes())
}

/// A claim on a name of its own, whose first check is asked for.
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

/// What came over the bus, in the order in which it came.
type Heard = Arc<Mutex<Vec<CloudEvent>>>;

async fn listen(bus: RabbitMq, heard: Heard) {
    let mut consumer = bus.consumer(EVERYTHING).await.unwrap();
    while let Some(delivery) = consumer.next().await.unwrap() {
        heard.lock().unwrap().push(CloudEvent::from_json(&delivery.message().body).unwrap());
        delivery.done().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_a_dead_leader_skips_nothing_and_repeats_only_the_same() {
    let (server, broker) = tokio::join!(
        async { tokio::task::spawn_blocking(Postgres::shared).await.unwrap() },
        Broker::shared()
    );
    let (database, vhost) = (server.database().await, broker.vhost().await);
    let place = Place { database: database.url().to_owned(), broker: vhost.url().to_owned() };
    let store = place.migrated().await;
    let heard = Heard::default();
    let ears = place.bus(topology()).await;
    let listening = tokio::spawn(listen(ears.clone(), heard.clone()));

    let mut processes = vec![place.process(1).await, place.process(2).await];
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 1..=CLAIMS {
                store.append(claim(number)).await.unwrap();
            }
        }
    });
    for death in 1..=DEATHS {
        // Each dies with work in its hands: some of it is done since the last death, and some is not.
        let enough = Position(death * CLAIMS * 2 / (DEATHS + 2));
        eventually("everybody to get on", PATIENCE, || async {
            let relayed = store.checkpoint(RELAY).await.unwrap();
            let folded = store.checkpoint(READ_MODELS).await.unwrap();
            (relayed.min(folded) >= enough).then_some(())
        })
        .await;
        processes.remove(0).kill();
        processes.push(place.process(death + 2).await);
    }
    writing.await.unwrap();
    let last = store.last_position().await.unwrap();
    assert_eq!(last, Position(CLAIMS * 2));
    eventually("everybody to reach the end of the log", PATIENCE, || async {
        let relayed = store.checkpoint(RELAY).await.unwrap();
        let folded = store.checkpoint(READ_MODELS).await.unwrap();
        (relayed == last && folded == last).then_some(())
    })
    .await;
    eventually("every claim's check to be asked for", PATIENCE, || async {
        (due(&heard.lock().unwrap()).len() as u64 >= CLAIMS).then_some(())
    })
    .await;
    for process in processes {
        process.stop().await;
    }
    ears.close().await;
    listening.await.unwrap();

    let heard = std::mem::take(&mut *heard.lock().unwrap());
    the_log_was_told_in_order(&heard, last);
    assert_eq!(due(&heard), (1..=CLAIMS).map(|n| (claim_id(n).to_string(), 1)).collect());
    let folded = store.digest().await.unwrap();
    place.rebuild(&store).await;
    assert_eq!(store.digest().await.unwrap(), folded, "an event was left out or folded twice");
}

/// Whose check was asked for by the dispatcher, and which.
fn due(heard: &[CloudEvent]) -> BTreeSet<(String, u64)> {
    let due = heard.iter().filter(|event| event.r#type == "deed.verification.due.v1");
    due.map(|event| {
        (event.data["claimId"].as_str().unwrap().to_owned(), event.data["attempt"].as_u64().unwrap())
    })
    .collect()
}

/// Nothing is missing, nothing came before what it follows, and whatever came again is what came at first.
fn the_log_was_told_in_order(heard: &[CloudEvent], last: Position) {
    let mut told: BTreeMap<u64, (&str, &Value)> = BTreeMap::new();
    let mut repeated = 0;
    for event in heard {
        let Some(position) = event.extensions.get("position").and_then(Value::as_str) else { continue };
        let position: u64 = position.parse().unwrap();
        if let Some(first) = told.get(&position) {
            assert_eq!(*first, (event.id.as_str(), &event.data), "position {position}");
            repeated += 1;
        } else {
            assert_eq!(position, told.len() as u64 + 1, "an event was skipped");
            told.insert(position, (&event.id, &event.data));
        }
    }
    assert_eq!(told.len() as u64, last.0);
    println!("{DEATHS} deaths; {} events told, {repeated} of them again", told.len());
}
