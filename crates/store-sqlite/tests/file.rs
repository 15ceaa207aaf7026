//! The database file: immutability, persistence, and the errors of opening it.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]
use std::time::Duration;

use deed_store::conformance::samples::{
    apex, app_changes, app_created, append, append_all, at, by_workspace, changes, checked, initiated,
    request, requested, together, workspace, write,
};
use deed_store::{
    ApiKey, Begin, Checkpoints, DueWork, EventStore, Idempotency, KeyHash, KeyId, KeyOwner, KeyScope, Keys,
    Position, ReadModels, Receipt, StoredResponse, Version,
};
use deed_store_sqlite::{OpenError, SqliteConfig, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(30);

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn config(folder: &TempDir) -> SqliteConfig {
    SqliteConfig::new(folder.path().join("deed.db"))
}

/// A connection of another program to the file.
async fn raw(folder: &TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.path().join("deed.db")).create_if_missing(true);
    options.connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<u64, sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(|done| done.rows_affected())
}

#[tokio::test]
async fn log_is_immutable() {
    let folder = folder();
    let store = SqliteStore::open(config(&folder)).await.unwrap();
    let stream = apex("acme.com");
    store.append(append(&stream, 0, vec![requested(1, 1, 0), requested(1, 2, 1)])).await.unwrap();
    let before = store.read_log(Position(0), 10).await.unwrap();
    let mut tamperer = raw(&folder).await;
    for (sql, why) in [
        ("UPDATE events SET payload = '{}' WHERE position = 1", "the log is immutable"),
        ("DELETE FROM events", "the log is immutable"),
        ("DELETE FROM events WHERE position = 2", "the log is immutable"),
        (
            "INSERT OR REPLACE INTO events SELECT position, stream, version, kind, schema, '{}', metadata, recorded_at
             FROM events WHERE position = 2",
            "the next position",
        ),
        (
            "INSERT OR REPLACE INTO events SELECT 3, stream, version, kind, schema, '{}', metadata, recorded_at
             FROM events WHERE position = 2",
            "the next version",
        ),
        (
            "INSERT INTO events SELECT 4, stream, 3, kind, schema, payload, metadata, recorded_at
             FROM events WHERE position = 2",
            "the next position",
        ),
        (
            "INSERT INTO events SELECT 3, stream, 4, kind, schema, payload, metadata, recorded_at
             FROM events WHERE position = 2",
            "the next version",
        ),
    ] {
        let refused = run(&mut tamperer, sql).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{sql}: {refused}");
    }
    assert_eq!(store.read_log(Position(0), 10).await.unwrap(), before);
}

#[tokio::test]
async fn stores_payloads_byte_for_byte() {
    let folder = folder();
    let store = SqliteStore::open(config(&folder)).await.unwrap();
    let events = vec![initiated(1, "acme.com", by_workspace(1), 0), checked(1, 1, 5)];
    store.append(append(&apex("acme.com"), 0, events.clone())).await.unwrap();
    let app = app_created(1, 1, 0);
    let app_stream = deed_claims::StreamId::app(&deed_store::conformance::samples::app_id(1));
    store.append(append(&app_stream, 0, vec![app.clone().into()])).await.unwrap();
    let kept = sqlx::query_scalar::<_, String>("SELECT payload FROM events ORDER BY position");
    let kept = kept.fetch_all(&mut raw(&folder).await).await.unwrap();
    let given: Vec<_> = events.iter().chain([&app.into()]).map(|e| e.payload().unwrap()).collect();
    assert_eq!(kept, given);
}

#[tokio::test]
async fn reopening_keeps_all_data() {
    let folder = folder();
    let store = SqliteStore::open(config(&folder)).await.unwrap();
    let events = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)];
    let mut effect = append(&apex("acme.com"), 0, events.clone());
    let (answered, begun) = (request(1, "answered"), request(1, "begun"));
    let response = StoredResponse { status: 200, body: r#"{"a":1}"#.to_owned() };
    effect.receipt = Some(Receipt { request: answered.clone(), response: response.clone() });
    for request in [&answered, &begun] {
        store.begin(request, [1; 32], at(0), at(60), at(-86_400)).await.unwrap();
    }
    store.append(effect).await.unwrap();
    let key = ApiKey {
        id: KeyId("key_0000000000000001".to_owned()),
        name: "tests".to_owned(),
        owner: KeyOwner::Workspace(workspace(1)),
        scopes: KeyScope::ALL.into_iter().collect(),
        created_at: at(0),
        revoked_at: None,
    };
    store.insert(&key, KeyHash([9; 32])).await.unwrap();
    let lease = store.acquire("projection", "here", at(0), TTL).await.unwrap().unwrap();
    let models = together([changes(&apex("acme.com"), &events), app_changes(&[app_created(1, 1, 0)])]);
    store.apply(&lease, Position(0), Position(2), models.clone()).await.unwrap();
    let (log, digest) = (store.read_log(Position(0), 10).await.unwrap(), store.digest().await.unwrap());
    store.close().await.unwrap();
    assert!(!folder.path().join("deed.db-wal").exists(), "close leaves one file");

    let store = SqliteStore::open(config(&folder)).await.unwrap();
    assert_eq!(*store.head().borrow(), Position(2));
    assert_eq!(store.read_log(Position(0), 10).await.unwrap(), log);
    assert_eq!(store.digest().await.unwrap(), digest);
    assert_eq!(store.ownerships(&[apex("acme.com")]).await.unwrap(), models.ownerships);
    assert_eq!(store.checkpoint("projection").await.unwrap(), Position(2));
    assert_eq!(store.acquire("projection", "there", at(1), TTL).await.unwrap(), None);
    store.renew(&lease, at(1), TTL).await.unwrap();
    assert_eq!(store.overdue(at(2)).await.unwrap().waiting, 2);
    assert_eq!(store.find(KeyHash([9; 32])).await.unwrap(), Some(key));
    let again = store.begin(&answered, [1; 32], at(2), at(60), at(-86_400)).await.unwrap();
    assert_eq!(again, Begin::Answered(response));
    let again = store.begin(&begun, [1; 32], at(2), at(60), at(-86_400)).await.unwrap();
    assert_eq!(again, Begin::Running);
    let more = store.append(append(&apex("acme.com"), 2, vec![checked(1, 1, 5)])).await.unwrap();
    assert_eq!((more.position, more.versions), (Position(3), vec![Version(3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opens_new_file_concurrently() {
    let folder = folder();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        opening.spawn(SqliteStore::open(config(&folder)));
    }
    let stores: Vec<_> = opening.join_all().await.into_iter().map(Result::unwrap).collect();
    for (n, store) in (1..).zip(&stores) {
        let streams = [apex(&format!("one-{n}.com")), apex(&format!("two-{n}.com"))];
        let writes = streams.iter().map(|s| write(s, 0, vec![requested(n, 1, 0)])).collect();
        assert_eq!(store.append(append_all(writes)).await.unwrap().position, Position(u64::from(n) * 2));
    }
    let applied = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM _sqlx_migrations WHERE success");
    let applied = applied.fetch_one(&mut raw(&folder).await).await.unwrap();
    let known =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite")).unwrap().count();
    assert_eq!(usize::try_from(applied), Ok(known));
}

#[tokio::test]
async fn closed_store_is_unavailable() {
    let folder = folder();
    let store = SqliteStore::open(config(&folder)).await.unwrap();
    store.close().await.unwrap();
    assert!(store.append(append(&apex("acme.com"), 0, vec![requested(1, 1, 0)])).await.is_err());
    assert!(store.read_log(Position(0), 1).await.is_err());
    assert!(store.acquire("relay", "here", at(0), TTL).await.is_err());
    store.close().await.unwrap();
}

/// A caller that is cancelled during a write rolls back its own transaction only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_write_does_not_block_the_next() {
    let folder = folder();
    let store = SqliteStore::open(config(&folder)).await.unwrap();
    for n in 0..200_u8 {
        let key = request(n, "abandoned");
        let begin = store.begin(&key, [n; 32], at(0), at(60), at(-86_400));
        // Cancels at different stages of the write.
        let cancel_after = Duration::from_micros(u64::from(n) * 2);
        let _ = tokio::time::timeout(cancel_after, begin).await;
    }
    let lease = store.acquire("relay", "here", at(0), TTL).await.unwrap().unwrap();
    store.advance(&lease, Position(0), Position(1)).await.unwrap();
    let key = request(1, "kept");
    assert_eq!(store.begin(&key, [1; 32], at(0), at(60), at(-86_400)).await.unwrap(), Begin::Started);
    assert_eq!(store.begin(&key, [1; 32], at(0), at(60), at(-86_400)).await.unwrap(), Begin::Running);
}

#[tokio::test]
async fn names_unusable_path() {
    let folder = folder();
    let missing = folder.path().join("missing");
    let error = SqliteStore::open(SqliteConfig::new(missing.join("deed.db"))).await.unwrap_err();
    assert!(matches!(&error, OpenError::FolderMissing(at) if *at == missing), "{error:?}");
    let error = SqliteStore::open(SqliteConfig { create: false, ..config(&folder) }).await.unwrap_err();
    assert!(matches!(error, OpenError::Missing(_)), "{error:?}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "a failed open does not create the file"
    );
    let error = SqliteStore::open(SqliteConfig::new(folder.path())).await.unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase(_)), "{error:?}");
}

/// Not even the superuser can create files in /proc.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn names_read_only_folder() {
    let error = SqliteStore::open(SqliteConfig::new("/proc/deed.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert_eq!(error.to_string(), "/proc/deed.db cannot be written");
}

#[tokio::test]
async fn does_not_touch_other_files() {
    let folder = folder();
    let config = config(&folder);
    let text = "a diary\n".repeat(1_000);
    std::fs::write(&config.path, &text).unwrap();
    let error = SqliteStore::open(config.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(config.path).unwrap(), text);
}

#[tokio::test]
async fn does_not_touch_foreign_database() {
    let folder = folder();
    let mut theirs = raw(&folder).await;
    run(&mut theirs, "CREATE TABLE recipes (name TEXT)").await.unwrap();
    let error = SqliteStore::open(config(&folder)).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
    let tables = sqlx::query_scalar::<_, String>("SELECT name FROM sqlite_schema");
    assert_eq!(tables.fetch_all(&mut theirs).await.unwrap(), ["recipes"]);
}

#[tokio::test]
async fn refuses_newer_or_edited_schema() {
    let folder = folder();
    SqliteStore::open(config(&folder)).await.unwrap().close().await.unwrap();
    let mut editor = raw(&folder).await;
    run(
        &mut editor,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', true, x'00', 0)",
    )
    .await
    .unwrap();
    let error = SqliteStore::open(config(&folder)).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 9999, .. }), "{error:?}");
    assert!(error.to_string().ends_with("use a newer version of deed"), "{error}");
    run(&mut editor, "DELETE FROM _sqlx_migrations WHERE version = 9999").await.unwrap();
    run(&mut editor, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await.unwrap();
    let error = SqliteStore::open(config(&folder)).await.unwrap_err();
    assert!(matches!(error, OpenError::Changed { version: 1, .. }), "{error:?}");
    editor.close().await.unwrap();
}
