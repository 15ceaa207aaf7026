//! How the process ends, what survives it, and that no part dies unnoticed.
use std::process::Stdio;
use std::time::Duration;

use deed_store::{Checkpoints as _, Clock as _, Position, SystemClock};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use serde_json::json;

use crate::harness::{Dev, claim, deed, ended, run};

#[tokio::test]
async fn sigterm_finishes_the_request_in_hand_and_ends_with_0() {
    let dev = Dev::start();
    let (name, _) = claim(&dev, "ws_acme", "acme.com").await;
    // The zone's server takes its time, so the request is in hand while the signal comes.
    let control = dev.url("control");
    let slow = run(&[
        "sandbox",
        "--control",
        control,
        "fault",
        "set",
        "*.",
        "delay",
        "--ms",
        "900",
        "--transport",
        "udp",
    ]);
    assert!(slow.status.success(), "{}", String::from_utf8_lossy(&slow.stderr));
    let verify = dev.send("ws_acme", "POST", "/v1/domains/claims/acme.com/verify", None);
    let interrupt = async {
        // In hand as soon as the DNS is asked about it.
        let asked = || run(&["sandbox", "--control", control, "--json", "queries"]);
        while !String::from_utf8_lossy(&asked().stdout).contains("\"name\"") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        dev.signal("TERM");
    };
    let ((status, body), ()) = tokio::join!(verify, interrupt);
    assert!(matches!(status, 200 | 202), "{status} {body}");
    assert!(name.starts_with("_deed"));
    let (status, errors) = dev.ended();
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let dev = Dev::start();
    claim(&dev, "ws_acme", "acme.com").await;
    let control = dev.url("control");
    assert!(run(&["sandbox", "--control", control, "fault", "set", "*.", "drop"]).status.success());
    // A check that gets no answer keeps the verifier busy for seconds.
    let verify = dev.send("ws_acme", "POST", "/v1/domains/claims/acme.com/verify", None);
    let _ = tokio::time::timeout(Duration::from_millis(500), verify).await;
    dev.signal("TERM");
    tokio::time::sleep(Duration::from_millis(100)).await;
    dev.signal("TERM");
    let (status, errors) = dev.ended();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("told again to stop"), "{errors}");
}

#[tokio::test]
async fn a_kept_folder_is_found_again_and_a_temporary_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_in(Some(folder.path()), &[]);
    let (keys, made) = (dev.told["keys"].clone(), claim(&dev, "ws_acme", "acme.com").await);
    dev.publish(&made.0, &[&made.1]);
    dev.send("ws_acme", "POST", "/v1/domains/claims/acme.com/verify", None).await;
    dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["status"] == "verified").await;
    dev.stop();

    let dev = Dev::start_in(Some(folder.path()), &[]);
    assert_eq!(dev.told["keys"], keys);
    let (_, body) = dev.get("ws_acme", "/v1/domains/acme.com").await;
    assert_eq!(body["data"]["status"], "verified", "{body}");
    dev.stop();
    assert!(folder.path().join("deed.db").is_file());

    let dev = Dev::start();
    let data = std::path::PathBuf::from(dev.told["data"].as_str().unwrap());
    assert!(data.join("deed.db").is_file());
    dev.stop();
    assert!(!data.exists());
}

#[tokio::test]
async fn a_part_that_dies_ends_the_process_with_1_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
    // As after an old backup was restored: the relay has passed on what the log does not have.
    let lease =
        store.acquire("relay", "test", SystemClock.now(), Duration::from_secs(5)).await.unwrap().unwrap();
    store.advance(&lease, Position(0), Position(1000)).await.unwrap();
    store.release(&lease).await.unwrap();
    store.close().await.unwrap();
    let mut child = deed()
        .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .env("DEED__STORE__DATA_DIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (status, errors) = ended(&mut child);
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("the relay died; the process ends"), "{errors}");
    assert!(errors.contains("the log ends at 0"), "{errors}");
}

#[tokio::test]
async fn readiness_and_metrics_are_told() {
    let dev = Dev::start();
    let (status, body) = dev.ops("/readyz").await;
    assert_eq!(status, 200, "{body}");
    claim(&dev, "ws_acme", "acme.com").await;
    let (_, metrics) = dev.ops("/metrics").await;
    for name in [
        "deed_build_info{version=",
        "process_resident_memory_bytes",
        "deed_http_requests_total",
        "deed_projection_lag_events",
        "deed_relay_lag_events",
        "deed_due_work_overdue",
        "deed_checks_in_flight",
    ] {
        assert!(metrics.contains(name), "{name} is missing from {metrics}");
    }
    let (code, answer) = crate::harness::json(&["healthcheck", "--json", "--config", dev.config()]);
    assert_eq!((code, &answer["ready"]), (0, &json!(true)), "{answer}");
    let config = dev.config().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("deed.toml");
    std::fs::copy(config, &copy).unwrap();
    dev.stop();
    // The root hints went with the temporary folder, so the address is given.
    let gone = run(&["healthcheck", "--url", "http://127.0.0.1:9"]);
    assert_eq!(gone.status.code(), Some(4));
}
