//! The route to the DNS is lost: no claim changes.
use deed_testkit::NetworkNamespace;

use crate::harness::{Dev, Mode, claim, eventually};

/// The network of the DNS server.
const DNS: &str = "127.66.0.0/16";

async fn ask_to_verify(dev: &Dev, domain: &str) {
    let (status, body) =
        dev.send("ws_acme", "POST", &format!("/v1/domains/claims/{domain}/verify"), None).await;
    assert!(matches!(status, 200 | 202), "{status} {body}");
}

async fn status(dev: &Dev, domain: &str) -> String {
    let (_, body) = dev.get("ws_acme", &format!("/v1/domains/claims/{domain}")).await;
    body["data"]["status"].as_str().unwrap_or_default().to_owned()
}

/// The number of checks with class `internal`.
async fn internal_failures(dev: &Dev) -> u64 {
    let (_, metrics) = dev.ops("/metrics").await;
    let ours = |line: &&str| line.starts_with("deed_checks_total{") && line.contains("class=\"internal\"");
    metrics.lines().filter(ours).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn dns_route_loss_changes_no_claim() {
    const NAME: &str = "network::dns_route_loss_changes_no_claim";
    let Some(network) = NetworkNamespace::enter(NAME) else { return };
    let dev = Dev::start_with_dns(Mode::Embedded, "127.66.0.1:0").await;
    let (held, held_value) = claim(&dev, "ws_acme", "held.com").await;
    let (pending, pending_value) = claim(&dev, "ws_acme", "pending.com").await;
    dev.publish(&held, &[&held_value]);
    for domain in ["held.com", "pending.com"] {
        ask_to_verify(&dev, domain).await;
    }
    eventually("a name is held", async || status(&dev, "held.com").await == "verified").await;
    let before = dev.get("ws_acme", "/v1/domains/claims/held.com/history").await;

    network.drop_route(DNS);
    // This change would end the holding if it were seen.
    dev.publish(&held, &["something else"]);
    let failed_before = internal_failures(&dev).await;
    for domain in ["held.com", "pending.com"] {
        ask_to_verify(&dev, domain).await;
    }
    eventually("checks fail for our own reasons", async || internal_failures(&dev).await > failed_before)
        .await;
    assert_eq!(
        (&*status(&dev, "held.com").await, &*status(&dev, "pending.com").await),
        ("verified", "verifying")
    );
    assert_eq!(dev.get("ws_acme", "/v1/domains/claims/held.com/history").await, before);

    network.restore_route(DNS);
    dev.publish(&held, &[&held_value]);
    dev.publish(&pending, &[&pending_value]);
    eventually("it goes on", async || {
        ask_to_verify(&dev, "pending.com").await;
        status(&dev, "pending.com").await == "verified"
    })
    .await;
    assert_eq!(status(&dev, "held.com").await, "verified");
    dev.stop();
}
