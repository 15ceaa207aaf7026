//! `kill -9` at random moments under a stream of claims: nothing acknowledged is lost, nothing is proven that is not.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deed_sandbox::control::types::PutRecords;
use deed_sandbox::{Sandbox, SandboxConfig, Zones};
use deed_testkit::eventually;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::service::{PATIENCE, Place};

const KILLS: usize = 10;
const CLIENTS: usize = 6;

/// What clients were told.
#[derive(Default)]
struct Acknowledged {
    /// Claims, by id: their names.
    claims: BTreeMap<String, String>,
    /// Names whose record was published before anybody asked for verification.
    published: BTreeSet<String>,
    /// Names whose verification was acknowledged.
    watched: BTreeSet<String>,
}

/// Claims names one after another; publishes the record of every second one; asks for verification of all.
async fn client(
    place: Arc<Place>,
    key: String,
    zones: Zones,
    next: Arc<AtomicU64>,
    told: Arc<Mutex<Acknowledged>>,
) {
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let name = format!("kill-{n}.com");
        // While the service is dead there is no answer: the name is simply left.
        let Ok(claim) = place.claim(&key, &name).await else { continue };
        let id = claim["id"].as_str().unwrap().to_owned();
        told.lock().await.claims.insert(id, name.clone());
        if n.is_multiple_of(2) {
            let (record, value) =
                (claim["record"]["name"].as_str().unwrap(), claim["record"]["value"].as_str().unwrap());
            zones.put_records(record, "TXT", &PutRecords::values([value])).unwrap();
            told.lock().await.published.insert(name.clone());
        }
        if let Ok(status) = place.verify_without_waiting(&key, &name).await {
            assert!(matches!(status, 200 | 202 | 503), "{status}");
            if status != 503 {
                told.lock().await.watched.insert(name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let stop = CancellationToken::new();
    let dns = SandboxConfig { dns: ([127, 0, 0, 1], 0).into(), control: None, auto_zones: true };
    let sandbox = Sandbox::start(dns, stop.clone()).await.unwrap();
    let place = Arc::new(Place::new(sandbox.dns_addr()));
    let (key, told) = (place.new_key("ws_kill"), Arc::new(Mutex::new(Acknowledged::default())));
    let next = Arc::new(AtomicU64::new(0));
    let mut service = place.start().await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(place.clone(), key.clone(), sandbox.zones(), next.clone(), told.clone()));
    }
    for kill in 0..KILLS {
        let moment = Duration::from_millis(50 + RandomState::new().hash_one(kill) % 900);
        tokio::time::sleep(moment).await;
        service.kill();
        service = place.start().await;
    }
    clients.abort_all();
    while let Some(ended) = clients.join_next().await {
        assert!(ended.is_err_and(|e| e.is_cancelled()), "a client saw something that may not be");
    }
    let told = told.lock().await;
    // Every watched claim whose record stands is proven, without anybody asking again.
    for name in told.watched.intersection(&told.published) {
        place.until_status(&key, name, "verified").await;
    }
    // Claims that are watched in vain would go on being checked: withdrawn, they leave the log at rest.
    for name in told.claims.values().filter(|name| !told.published.contains(*name)) {
        let path = format!("/v1/domains/claims/{name}");
        let (status, body) = place.ask_as(&key, "DELETE", &path, None).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }
    eventually("the read models to catch up", PATIENCE, || async {
        audit::read_models(&place.database()).await.0.then_some(())
    })
    .await;
    service.stop();
    examine(&place, &told).await;
    println!(
        "{KILLS} kills; {} claims acknowledged, {} watched, {} published",
        told.claims.len(),
        told.watched.len(),
        told.published.len()
    );
    sandbox.stop().await.unwrap();
}

/// Holds the store against what clients were told.
async fn examine(place: &Place, told: &Acknowledged) {
    assert!(told.claims.len() >= KILLS, "hardly anything was claimed: {}", told.claims.len());
    let log = audit::log(&place.database()).await;
    let lost: Vec<_> = told.claims.keys().filter(|id| !log.initiated.contains(*id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    for name in log.granted.values() {
        assert!(told.published.contains(name), "{name} was granted and never published");
    }
    let (folded, before) = audit::read_models(&place.database()).await;
    assert!(folded, "the read models are behind a log that nobody writes");
    place.json(&["projections", "rebuild"]);
    assert_eq!(
        audit::read_models(&place.database()).await,
        (true, before),
        "a rebuild gives other read models"
    );
}
