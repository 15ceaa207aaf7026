//! Our own way into the DNS is gone: nobody gains or loses anything by that.
use deed_testkit::OwnNetwork;

use crate::harness::{Dev, Stage, claim, eventually};

/// Where the DNS is; everything else is elsewhere.
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

/// Checks that failed for our own reasons.
async fn our_own_trouble(dev: &Dev) -> u64 {
    let (_, metrics) = dev.ops("/metrics").await;
    let ours = |line: &&str| line.starts_with("deed_checks_total{") && line.contains("class=\"internal\"");
    metrics.lines().filter(ours).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn without_a_route_into_the_dns_no_claim_changes() {
    const NAME: &str = "network::without_a_route_into_the_dns_no_claim_changes";
    let Some(network) = OwnNetwork::of(NAME) else { return };
    let dev = Dev::start_with_dns(Stage::Embedded, "127.66.0.1:0").await;
    let (held, held_value) = claim(&dev, "ws_acme", "held.com").await;
    let (pending, pending_value) = claim(&dev, "ws_acme", "pending.com").await;
    dev.publish(&held, &[&held_value]);
    for domain in ["held.com", "pending.com"] {
        ask_to_verify(&dev, domain).await;
    }
    eventually("a name is held", async || status(&dev, "held.com").await == "verified").await;
    let before = dev.get("ws_acme", "/v1/domains/claims/held.com/history").await;

    network.cut(DNS);
    // Were it seen now, it would be gone.
    dev.publish(&held, &["something else"]);
    let told = our_own_trouble(&dev).await;
    for domain in ["held.com", "pending.com"] {
        ask_to_verify(&dev, domain).await;
    }
    eventually("checks fail for our own reasons", async || our_own_trouble(&dev).await > told).await;
    assert_eq!(
        (&*status(&dev, "held.com").await, &*status(&dev, "pending.com").await),
        ("verified", "verifying")
    );
    assert_eq!(dev.get("ws_acme", "/v1/domains/claims/held.com/history").await, before);

    network.join(DNS);
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
