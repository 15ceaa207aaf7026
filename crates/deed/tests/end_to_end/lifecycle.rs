//! Shutdown, restart, and failure of parts.
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use deed_claims::Clock as _;
use deed_store::{Checkpoints as _, Position, SystemClock};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::free_port;
use serde_json::{Value, json};

use crate::harness::{Dev, Mode, claim, deed, ended, eventually, json, run};

/// Sets a fault on all DNS answers, starts a check of `acme.com`, and waits until the DNS is queried.
async fn check_begun(
    dev: &Dev,
    fault: &[&str],
    once_begun: impl Future<Output = ()>,
) -> Option<(u16, Value)> {
    claim(dev, "ws_acme", "acme.com").await;
    let control = dev.url("control");
    let spoiled = run(&[&["sandbox", "--control", control, "fault", "set", "*."], fault].concat());
    assert!(spoiled.status.success(), "{}", String::from_utf8_lossy(&spoiled.stderr));
    let verify = dev.try_send("ws_acme", "POST", "/v1/domains/claims/acme.com/verify", None);
    let begun = async {
        let asked = || run(&["sandbox", "--control", control, "--json", "queries"]);
        eventually("the DNS is asked", async || {
            String::from_utf8_lossy(&asked().stdout).contains("\"name\"")
        })
        .await;
        once_begun.await;
    };
    tokio::join!(verify, begun).0.ok()
}

async fn sigterm_finishes_work_and_ends_with_0(mode: Mode) {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start_in(mode, Some(folder.path()), &[]).await;
    let delay = ["delay", "--ms", "700", "--transport", "udp"];
    let (status, body) = check_begun(&dev, &delay, async { dev.signal("TERM") }).await.unwrap();
    // The request is answered without waiting for the check.
    assert_eq!(status, 202, "{body}");
    let (status, errors) = dev.ended();
    assert_eq!(status.code(), Some(0), "{errors}");
    // The check was finished and recorded before the exit.
    let (code, shown) = json(&[
        "events",
        "tail",
        "-n",
        "1",
        "--json",
        "--config",
        folder.path().join("deed.toml").to_str().unwrap(),
    ]);
    assert_eq!(
        (code, &shown["kind"], &shown["data"]["attempt"]),
        (0, &json!("CheckRecorded"), &json!(1)),
        "{shown}"
    );
}

#[tokio::test]
async fn second_signal_exits_at_once() {
    let mut dev = Dev::start(Mode::Embedded).await;
    // The DNS does not answer, so the check takes seconds.
    let twice = async {
        dev.signal("TERM");
        eventually("it is not ready any more", async || dev.ops("/readyz").await.0 == 503).await;
        dev.signal("TERM");
    };
    check_begun(&dev, &["drop"], twice).await;
    let (status, errors) = dev.ended();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("told again to stop"), "{errors}");
}

#[tokio::test]
async fn shutdown_delay_serves_while_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let [listen, ops] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port(&[Ipv4Addr::LOCALHOST])));
    let mut child = deed()
        .args(["serve", "--listen", &listen, "--ops-listen", &ops])
        .env("DEED__STORE__DATA_DIR", folder.path())
        .env("DEED__SERVER__SHUTDOWN_DELAY", "300s")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let readyz = format!("http://{ops}/readyz");
    let is = async |status: u16| reqwest::get(&readyz).await.is_ok_and(|answer| answer.status() == status);
    eventually("it is ready", async || is(200).await).await;
    let signal = || Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    signal();
    eventually("it says that it stops", async || is(503).await).await;
    let answer = reqwest::get(format!("http://{listen}/v1/domains")).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["connection"]), (401, &"close".parse().unwrap()));
    signal();
    let (status, errors) = ended(&mut child);
    assert_eq!(status.code(), Some(1), "{errors}");
}

#[tokio::test]
async fn keeps_a_given_folder_and_removes_a_temporary_one() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_in(Mode::Embedded, Some(folder.path()), &[]).await;
    let (keys, made) = (dev.announced["keys"].clone(), claim(&dev, "ws_acme", "acme.com").await);
    dev.publish(&made.0, &[&made.1]);
    dev.send("ws_acme", "POST", "/v1/domains/claims/acme.com/verify", None).await;
    dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["status"] == "verified").await;
    dev.stop();

    let dev = Dev::start_in(Mode::Embedded, Some(folder.path()), &[]).await;
    assert_eq!(dev.announced["keys"], keys);
    let (_, body) = dev.get("ws_acme", "/v1/domains/acme.com").await;
    assert_eq!(body["data"]["status"], "verified", "{body}");
    dev.stop();
    assert!(folder.path().join("deed.db").is_file());

    let dev = Dev::start(Mode::Embedded).await;
    let data = std::path::PathBuf::from(dev.announced["data"].as_str().unwrap());
    assert!(data.join("deed.db").is_file());
    dev.stop();
    assert!(!data.exists());
}

#[tokio::test]
async fn failed_task_is_named_and_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
    // As after restoring an old backup: the relay checkpoint is beyond the end of the log.
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

async fn exposes_readiness_and_metrics(mode: Mode) {
    let dev = Dev::start(mode).await;
    let (status, body) = dev.ops("/readyz").await;
    assert_eq!(status, 200, "{body}");
    claim(&dev, "ws_acme", "acme.com").await;
    let (_, metrics) = dev.ops("/metrics").await;
    let of_api = ["deed_http_requests_total", "deed_subscription_lag_events{subscription=\"relay\"}"];
    let of_others = [
        "deed_subscription_lag_events{subscription=\"projector\"}",
        "deed_due_work_overdue",
        "deed_checks_in_flight",
    ];
    for name in ["deed_build_info{version=", "process_resident_memory_bytes"].iter().chain(&of_api) {
        assert!(metrics.contains(name), "{name} is missing from {metrics}");
    }
    for name in of_others {
        // A process has the metrics of its own roles.
        assert_eq!(metrics.contains(name), mode == Mode::Embedded, "{name} in {metrics}");
    }
    let (code, answer) = json(&["healthcheck", "--json", "--config", dev.config()]);
    assert_eq!((code, &answer["ready"]), (0, &json!(true)), "{answer}");
    let url = dev.url("ops").to_owned();
    dev.stop();
    assert_eq!(run(&["healthcheck", "--url", &url]).status.code(), Some(4));
}

in_both_modes!(sigterm_finishes_work_and_ends_with_0, exposes_readiness_and_metrics);
