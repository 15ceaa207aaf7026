//! The digest equals that of SQLite, so that both modes can be compared.
use std::time::Duration;

use deed_store::conformance::samples::{
    apex, app_changes, app_created, app_deleted, at, by_app, by_workspace, changes, checked, granted, host,
    initiated, requested, together,
};
use deed_store::{Changes, Checkpoints, Position, ReadModels};
use deed_store_sqlite::{SqliteConfig, SqliteStore};

use crate::given::Given;

async fn digest(store: &(impl Checkpoints + ReadModels), changes: Changes) -> String {
    let lease = store.acquire("projection", "test", at(0), Duration::from_secs(30)).await.unwrap().unwrap();
    store.apply(&lease, Position(0), Position(9), changes).await.unwrap();
    store.digest().await.unwrap()
}

#[tokio::test]
async fn digest_equals_that_of_sqlite() {
    let mut acme = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)];
    acme.extend(granted(1, by_workspace(1), 2));
    acme.extend([initiated(2, "acme.com", by_workspace(2), 3), requested(2, 1, 4), checked(2, 1, 5)]);
    let docs = vec![initiated(3, "docs.xn--mnchen-3ya.de", by_app(1, 1), 10), requested(3, 1, 11)];
    let all = together([
        changes(&apex("acme.com"), &acme),
        changes(&host("docs.xn--mnchen-3ya.de"), &docs),
        app_changes(&[app_created(1, 1, 5)]),
        app_changes(&[app_created(2, 1, 5), app_deleted(2, 9)]),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let embedded = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
    let given = Given::empty().await.migrated().await;
    let expected = digest(&embedded, all.clone()).await;
    assert_eq!(digest(&given.store().await, all).await, expected);
}
