//! Tests of the fixture: all that it starts is stopped.
use std::{fs, path::Path};

use super::RabbitMq;

fn runs(pid: u32) -> bool {
    // A zombie has no command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn broker_survives_a_kill_and_stops_on_drop() {
    let mut broker = RabbitMq::start().await;
    let first = broker.pid();
    let vhost = broker.vhost().await;
    vhost.declare_queue("kept", serde_json::json!({"x-queue-type": "quorum"})).await;
    broker.kill().await;
    assert!(!runs(first));
    broker.start_again().await;
    assert_eq!(vhost.queue("kept").await.expect("the queue is kept")["type"], "quorum");
    assert!(vhost.queue("other").await.is_none());

    let second = broker.pid();
    let folder = broker.node().folder_path();
    drop(vhost);
    drop(broker);
    assert!(!runs(second));
    assert!(!Path::new(&folder).exists());
}
