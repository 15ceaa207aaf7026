//! The fixture itself: what it starts, it ends.
use std::{fs, path::Path};

use super::RabbitMq;

fn runs(pid: u32) -> bool {
    // A zombie has no command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn a_private_broker_makes_vhosts_comes_back_and_ends() {
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
