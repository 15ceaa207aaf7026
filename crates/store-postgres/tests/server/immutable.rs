//! The log cannot be changed, not even by SQL.
use deed_store::conformance::samples::{apex, append, requested};
use deed_store::{EventStore, Position};

use crate::given::{Given, run};

#[tokio::test]
async fn log_and_head_are_immutable() {
    let given = Given::empty().await.migrated().await;
    let store = given.store().await;
    store.append(append(&apex("acme.com"), 0, vec![requested(1, 1, 0), requested(1, 2, 1)])).await.unwrap();
    let before = store.read_log(Position(0), 10).await.unwrap();
    let mut tamperer = given.raw().await;
    for (sql, why) in [
        ("UPDATE events SET payload = '{}' WHERE position = 1", "the log is immutable"),
        ("UPDATE events SET payload = '{}' WHERE false", "the log is immutable"),
        ("DELETE FROM events WHERE position = 2", "the log is immutable"),
        ("TRUNCATE events", "the log is immutable"),
        (
            "INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET payload = '{}'",
            "the log is immutable",
        ),
        ("INSERT INTO events SELECT * FROM events", "duplicate key"),
        ("DELETE FROM log_head", "one row for ever"),
        ("INSERT INTO log_head DEFAULT VALUES", "one row for ever"),
    ] {
        let error = run(&mut tamperer, sql).await.expect_err(sql);
        assert!(error.to_string().contains(why), "{sql}: {error}");
    }
    assert_eq!(store.read_log(Position(0), 10).await.unwrap(), before);
}
