//! `kill -9` at random moments under load: no acknowledged claim is lost, and nothing is proven wrongly.
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
use crate::service::{Deployment, TIMEOUT};

const KILLS: usize = 10;
const CLIENTS: usize = 6;

/// The acknowledged requests.
#[derive(Default)]
struct Acknowledged {
    /// Names by claim id.
    claims: BTreeMap<String, String>,
    /// Names whose record was published before verification was requested.
    published: BTreeSet<String>,
    /// Names whose verification request was acknowledged.
    watched: BTreeSet<String>,
}

/// Claims names in sequence, publishes every second record, and requests verification of all.
async fn client(
    deployment: Arc<Deployment>,
    key: String,
    zones: Zones,
    next: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<Acknowledged>>,
) {
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let name = format!("kill-{n}.com");
        // While the service is down the name is skipped.
        let Ok(claim) = deployment.claim(&key, &name).await else { continue };
        let id = claim["id"].as_str().unwrap().to_owned();
        acknowledged.lock().await.claims.insert(id, name.clone());
        if n.is_multiple_of(2) {
            let (record, value) =
                (claim["record"]["name"].as_str().unwrap(), claim["record"]["value"].as_str().unwrap());
            zones.put_records(record, "TXT", &PutRecords::values([value])).unwrap();
            acknowledged.lock().await.published.insert(name.clone());
        }
        if let Ok(status) = deployment.verify_without_waiting(&key, &name).await {
            assert!(matches!(status, 200 | 202 | 503), "{status}");
            if status != 503 {
                acknowledged.lock().await.watched.insert(name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_acknowledged() {
    let stop = CancellationToken::new();
    let dns = SandboxConfig { dns: ([127, 0, 0, 1], 0).into(), control: None, auto_zones: true };
    let sandbox = Sandbox::start(dns, stop.clone()).await.unwrap();
    let deployment = Arc::new(Deployment::new(sandbox.dns_addr()));
    let (key, acknowledged) = (deployment.new_key("ws_kill"), Arc::new(Mutex::new(Acknowledged::default())));
    let next = Arc::new(AtomicU64::new(0));
    let mut service = deployment.start().await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(
            deployment.clone(),
            key.clone(),
            sandbox.zones(),
            next.clone(),
            acknowledged.clone(),
        ));
    }
    for kill in 0..KILLS {
        let moment = Duration::from_millis(50 + RandomState::new().hash_one(kill) % 900);
        tokio::time::sleep(moment).await;
        service.kill();
        service = deployment.start().await;
    }
    clients.abort_all();
    while let Some(ended) = clients.join_next().await {
        assert!(ended.is_err_and(|e| e.is_cancelled()), "a client got an unexpected response");
    }
    let acknowledged = acknowledged.lock().await;
    // Every requested claim with a published record is proven without further requests.
    for name in acknowledged.watched.intersection(&acknowledged.published) {
        deployment.until_status(&key, name, "verified").await;
    }
    // Other claims would be checked for days; withdrawn, they let the log come to rest.
    for name in acknowledged.claims.values().filter(|name| !acknowledged.published.contains(*name)) {
        let path = format!("/v1/domains/claims/{name}");
        let (status, body) = deployment.ask_as(&key, "DELETE", &path, None).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }
    eventually("the read models to catch up", TIMEOUT, || async {
        audit::read_models(&deployment.database()).await.0.then_some(())
    })
    .await;
    service.stop();
    compare_with_store(&deployment, &acknowledged).await;
    println!(
        "{KILLS} kills; {} claims acknowledged, {} watched, {} published",
        acknowledged.claims.len(),
        acknowledged.watched.len(),
        acknowledged.published.len()
    );
    sandbox.stop().await.unwrap();
}

/// Compares the store with the acknowledged requests.
async fn compare_with_store(deployment: &Deployment, acknowledged: &Acknowledged) {
    assert!(acknowledged.claims.len() >= KILLS, "hardly anything was claimed: {}", acknowledged.claims.len());
    let log = audit::log(&deployment.database()).await;
    let lost: Vec<_> = acknowledged.claims.keys().filter(|id| !log.initiated.contains(*id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    for name in log.granted.values() {
        assert!(acknowledged.published.contains(name), "{name} was granted and never published");
    }
    let (folded, before) = audit::read_models(&deployment.database()).await;
    assert!(folded, "the read models are behind an idle log");
    deployment.json(&["projections", "rebuild"]);
    assert_eq!(
        audit::read_models(&deployment.database()).await,
        (true, before),
        "a rebuild gives other read models"
    );
}
