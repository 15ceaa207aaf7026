//! Connecting and migrating: the errors of unusable databases.
use deed_store::EventStore;
use deed_store::conformance::samples::{apex, append, requested};
use deed_store_postgres::{Migrated, OpenError, PostgresConfig, PostgresStore, migrate};

use crate::given::{Given, run};

async fn refused(config: PostgresConfig) -> OpenError {
    PostgresStore::connect(config).await.unwrap_err()
}

#[tokio::test]
async fn migrates_empty_database_once() {
    let given = Given::empty().await;
    let error = refused(given.config()).await;
    assert!(matches!(error, OpenError::Behind { found: None, .. }), "{error:?}");
    assert!(error.to_string().ends_with("run `deed migrate`"), "{error}");
    let Migrated { from: None, to } = migrate(&given.config()).await.unwrap() else { panic!() };
    let again = migrate(&given.config()).await.unwrap();
    assert_eq!(again, Migrated { from: Some(to), to });
    given.store().await.append(append(&apex("acme.com"), 0, vec![requested(1, 1, 0)])).await.unwrap();
}

#[tokio::test]
async fn migrates_concurrently() {
    let given = Given::empty().await;
    let mut migrating = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let config = given.config();
        migrating.spawn(async move { migrate(&config).await.unwrap().to });
    }
    let to = migrating.join_all().await;
    assert!(to.iter().all(|version| *version == to[0]), "{to:?}");
    given.store().await;
}

#[tokio::test]
async fn refuses_incompatible_schema() {
    let given = Given::empty().await.migrated().await;
    let mut raw = given.raw().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'expand', true, '', 0)";
    run(&mut raw, newer).await.unwrap();
    given.store().await;
    assert_eq!(migrate(&given.config()).await.unwrap(), Migrated { from: Some(9999), to: 9999 });

    let contract = "CREATE OR REPLACE FUNCTION deed_compatible_from() RETURNS bigint LANGUAGE sql IMMUTABLE
        AS 'SELECT 9999::bigint'";
    run(&mut raw, contract).await.unwrap();
    let error = refused(given.config()).await;
    assert!(matches!(error, OpenError::Newer { found: 9999, .. }), "{error:?}");
    let error = migrate(&given.config()).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 9999, .. }), "{error:?}");

    run(&mut raw, "UPDATE _sqlx_migrations SET checksum = 'edited' WHERE version = 1").await.unwrap();
    let error = refused(given.config()).await;
    assert!(matches!(error, OpenError::Changed { version: 1, .. }), "{error:?}");

    run(&mut raw, "DELETE FROM _sqlx_migrations").await.unwrap();
    let error = refused(given.config()).await;
    assert!(matches!(error, OpenError::Behind { found: None, .. }), "{error:?}");
}

#[tokio::test]
async fn does_not_touch_foreign_database() {
    let given = Given::empty().await;
    run(&mut given.raw().await, "CREATE TABLE customers (name text)").await.unwrap();
    let error = refused(given.config()).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    let error = migrate(&given.config()).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    let tables = given.database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, "1");
}

#[tokio::test]
async fn refuses_encoding_other_than_utf_8() {
    let given = Given::empty().await;
    let name = given.database.url().rsplit_once('/').unwrap().1.to_owned() + "_ascii";
    given.database.sql(&format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0")).await;
    let config = PostgresConfig::new(format!("{}_ascii", given.database.url()));
    let error = migrate(&config).await.unwrap_err();
    assert!(matches!(&error, OpenError::Encoding { encoding, .. } if encoding == "SQL_ASCII"), "{error:?}");
}

#[tokio::test]
async fn tells_refused_from_unavailable() {
    let given = Given::empty().await;
    let url = given.database.url();
    let stranger = url.replace("postgres@", "nobody:hunter2@");
    let elsewhere = url.rsplit_once('/').unwrap().0.to_owned() + "/missing";
    for wrong in [&stranger, &elsewhere] {
        let error = refused(PostgresConfig::new(wrong)).await;
        assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let port = deed_testkit::free_port(&[std::net::Ipv4Addr::LOCALHOST]);
    let silent = PostgresConfig::new(format!("postgres://deed:hunter2@127.0.0.1:{port}/deed"));
    for error in [refused(silent.clone()).await, migrate(&silent).await.unwrap_err()] {
        assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}/deed")), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
