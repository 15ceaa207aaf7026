//! The listener hears of appends of other processes, also after its connection was lost.
use deed_store::conformance::samples::{apex, append, requested};
use deed_store::{EventStore, Position};
use tokio::time::timeout;

use crate::given::{Given, TIMEOUT, run, until};

const LISTENS: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%listen%'
    AND state = 'idle' AND query LIKE '%max(position)%'";

#[tokio::test]
async fn hears_appends_after_listener_was_killed() {
    let given = Given::empty().await.migrated().await;
    let (writer, mut admin) = (given.store().await, given.raw().await);
    let reader = given.store().await;
    let mut head = reader.head();
    for round in 0..3 {
        until(&mut admin, "both to listen", &format!("SELECT count(*) = 2 {LISTENS}")).await;
        writer.append(append(&apex("acme.com"), round, vec![requested(1, 1, 0)])).await.unwrap();
        timeout(TIMEOUT, head.wait_for(|position| position.0 > round)).await.unwrap().unwrap();
        let killed =
            run(&mut admin, &format!("SELECT pg_terminate_backend(pid, 5000) {LISTENS}")).await.unwrap();
        assert_eq!(killed, 2);
        // Without a listener now; the next one finds what was written meanwhile.
    }
    writer.append(append(&apex("acme.com"), 3, vec![requested(1, 1, 0)])).await.unwrap();
    timeout(TIMEOUT, head.wait_for(|position| *position == Position(4))).await.unwrap().unwrap();
    reader.close().await;
    writer.close().await;
    until(&mut admin, "no listener", &format!("SELECT count(*) = 0 {LISTENS}")).await;
}
