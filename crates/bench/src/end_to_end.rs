//! Claims verified per second, from request to lists, and processor time of each part.
use std::time::Instant;

use deed_claims::{Event, OwnershipEvent};

use crate::Services;
use crate::api_client::ApiClient;
use crate::deployment::{Deployment, Dns, Mode, count};
use crate::figures::Figures;
use crate::load;
use crate::rounds;

/// Concurrent clients.
const CLIENTS: usize = 64;
/// Seconds that a request waits for its first check.
const WAIT: u64 = 20;

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let deployment = Deployment::start(Mode::of(name), services, |site| site).await;
    let (before, begin) = (deployment.used(), Instant::now());
    let done = claims(&deployment, 0).await;
    deployment.in_view().await;
    let elapsed = begin.elapsed();
    let used = deployment.used();
    let verified = count(&deployment.events().await, |event| {
        matches!(event, Event::Ownership(OwnershipEvent::DomainVerified(_)))
    });
    let mut figures = Figures::of(name);
    figures.tell("claims verified, request to view", load::per_second(verified, elapsed), "/s");
    let each = 1_000_000.0 / load::per_second(verified, std::time::Duration::from_secs(1)).max(1.0);
    for ((who, before), (_, after)) in before.iter().zip(&used) {
        figures.tell(format!("processor time of a claim: {who}"), (after - before) * each, "µs");
    }
    let total: f64 = used.iter().zip(&before).map(|((_, after), (_, before))| after - before).sum();
    figures.tell("processors in use", total / elapsed.as_secs_f64(), "");
    figures.none("verified for the client and not in the log", done.saturating_sub(verified));
    deployment.end().await;
    figures
}

/// Verifies claims for one round with all clients; returns their number.
pub async fn claims(deployment: &Deployment, from: u64) -> u64 {
    let (api, key, dns) = (deployment.api(), deployment.key.clone(), deployment.dns.clone());
    let work = |worker: load::Worker| {
        let (key, dns) = (key.clone(), dns.clone());
        async move {
            let mut client = ApiClient::to(api, &key).await;
            let mut done = 0;
            while let Some(n) = worker.number() {
                one(&mut client, &dns, from + n).await;
                done += 1;
            }
            done
        }
    };
    load::run(CLIENTS, rounds::length(), work).await.count
}

async fn one(client: &mut ApiClient, dns: &Dns, n: u64) {
    let claimed = client.claim(n).await;
    assert_eq!(claimed.status, 200, "the claim is refused");
    dns.publish(&claimed);
    let verified = client.verify(n, WAIT).await;
    assert_eq!(verified.status, 200, "no proof within {WAIT} seconds: {}", verified.json());
}
