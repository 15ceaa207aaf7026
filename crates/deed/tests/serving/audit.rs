//! Audits a store that no process uses.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use deed_claims::{ClaimId, Event, OwnershipEvent};
use deed_store::{Checkpoints as _, EventStore as _, Position, ReadModels as _};
use deed_store_sqlite::{SqliteConfig, SqliteStore};

/// A summary of the log.
#[derive(Default)]
pub struct LogSummary {
    /// Initiated claims.
    pub initiated: BTreeSet<String>,
    /// Granted names, by claim.
    pub granted: BTreeMap<String, String>,
    /// The number of events.
    pub events: u64,
}

/// Reads the whole log and asserts: no gap in positions or versions, at most one holder per name, and no
/// grant without proof.
pub async fn log(database: &Path) -> LogSummary {
    let store = SqliteStore::open(SqliteConfig::new(database)).await.unwrap();
    let mut summary = LogSummary::default();
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut holders: BTreeMap<String, ClaimId> = BTreeMap::new();
    let mut verified: BTreeSet<ClaimId> = BTreeSet::new();
    let mut after = Position(0);
    loop {
        let events = store.read_log(after, 1000).await.unwrap();
        if events.is_empty() {
            break;
        }
        for recorded in events {
            assert_eq!(recorded.position.0, after.0 + 1, "a gap in positions");
            after = recorded.position;
            summary.events += 1;
            let stream = recorded.stream.to_string();
            let version = versions.entry(stream.clone()).or_default();
            *version += 1;
            assert_eq!(recorded.version.0, *version, "a gap in {stream}");
            let Event::Ownership(event) = recorded.event else { continue };
            match event {
                OwnershipEvent::ClaimInitiated(e) => {
                    summary.initiated.insert(e.claim_id.to_string());
                }
                OwnershipEvent::DomainVerified(e) => {
                    verified.insert(e.claim_id);
                }
                OwnershipEvent::OwnershipGranted(e) => {
                    assert!(verified.contains(&e.claim_id), "{stream} was granted without proof");
                    assert_eq!(holders.insert(stream.clone(), e.claim_id), None, "two holders of {stream}");
                    summary.granted.insert(e.claim_id.to_string(), recorded.stream.rest().to_owned());
                }
                OwnershipEvent::OwnershipEnded(e) => {
                    assert_eq!(holders.remove(&stream), Some(e.claim_id), "{stream} was not held");
                }
                _ => {}
            }
        }
    }
    store.close().await.unwrap();
    summary
}

/// Whether the read models are up to date, and their digest.
pub async fn read_models(database: &Path) -> (bool, String) {
    let store = SqliteStore::open(SqliteConfig::new(database)).await.unwrap();
    let folded = store.checkpoint("read-models").await.unwrap() == store.last_position().await.unwrap();
    let digest = store.digest().await.unwrap();
    store.close().await.unwrap();
    (folded, digest)
}
