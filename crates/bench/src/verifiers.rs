//! The rate of checks by number of verifiers, and their shares of the work.
//!
//! DNS answers are delayed, so that one verifier with few concurrent checks does not use the whole machine.
use std::{collections::BTreeMap, time::Duration};

use deed_claims::{Event, OwnershipEvent};
use tokio::time::Instant;

use crate::Services;
use crate::api_client::ApiClient;
use crate::deployment::{Deployment, Mode, count};
use crate::figures::{Figures, quotient};
use crate::load::per_second;

/// The numbers of verifiers.
const REPLICAS: [usize; 3] = [1, 2, 4];
/// The delay of DNS answers.
const DELAY: Duration = Duration::from_millis(20);
/// Concurrent checks of a verifier, and its prefetch count.
const CONCURRENCY: usize = 8;
/// Claims per verifier.
const CLAIMS: u64 = 250;
/// Concurrent clients.
const CLIENTS: u64 = 16;
/// The timeout.
const TIMEOUT: Duration = Duration::from_secs(60);

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let mut figures = Figures::of(name);
    let mut alone = f64::NAN;
    for verifiers in REPLICAS {
        let rate = with(verifiers, services, &mut figures).await;
        if verifiers == 1 {
            alone = rate;
        }
        figures.tell(format!("{verifiers} verifiers: times as fast as one"), rate / alone, "");
    }
    figures
}

async fn with(verifiers: usize, services: &mut Services, figures: &mut Figures) -> f64 {
    let deployment = Deployment::start(Mode::Server { verifiers }, services, |site| {
        site.with("VERIFIER__IN_FLIGHT", CONCURRENCY).with("BUS__PREFETCH", CONCURRENCY)
    })
    .await;
    deployment.dns.delay(DELAY);
    let claims = CLAIMS * u64::try_from(verifiers).unwrap_or(1);
    submit(&deployment, claims, Step::Claim).await;
    deployment.in_view().await;
    let (before, begin) = (deployment.used(), Instant::now());
    submit(&deployment, claims, Step::Verify).await;
    let proven = |event: &Event| matches!(event, Event::Ownership(OwnershipEvent::DomainVerified(_)));
    let mut events = deployment.events().await;
    while count(&events, proven) < claims {
        assert!(begin.elapsed() < TIMEOUT, "the claims are not verified in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
        events = deployment.events().await;
    }
    let elapsed = begin.elapsed();
    let used: f64 =
        deployment.used().iter().zip(&before).map(|((_, after), (_, before))| after - before).sum();
    let rate = per_second(claims, elapsed);
    figures.tell(format!("{verifiers} verifiers: claims verified"), rate, "/s");
    figures.tell(format!("{verifiers} verifiers: processors in use"), used / elapsed.as_secs_f64(), "");
    shares(figures, verifiers, &events);
    repeated_checks(figures, verifiers, &deployment);
    deployment.end().await;
    rate
}

#[derive(Clone, Copy)]
enum Step {
    Claim,
    Verify,
}

async fn submit(deployment: &Deployment, claims: u64, step: Step) {
    let (api, key, dns) = (deployment.api(), deployment.key.clone(), deployment.dns.clone());
    let mut running = tokio::task::JoinSet::new();
    for first in 0..CLIENTS {
        let (key, dns) = (key.clone(), dns.clone());
        running.spawn(async move {
            let mut client = ApiClient::to(api, &key).await;
            for n in (first..claims).step_by(usize::try_from(CLIENTS).unwrap_or(1)) {
                match step {
                    Step::Claim => {
                        let answer = client.claim(n).await;
                        assert_eq!(answer.status, 200, "the claim is refused");
                        dns.publish(&answer);
                    }
                    Step::Verify => {
                        assert!(client.verify(n, 0).await.status < 300, "the verification is refused")
                    }
                }
            }
        });
    }
    running.join_all().await;
}

/// The smallest and the largest share of the checks, by the vantage name in the evidence.
fn shares(figures: &mut Figures, verifiers: usize, events: &[deed_store::RecordedEvent]) {
    let mut made: BTreeMap<String, u64> = (1..=verifiers).map(|n| (format!("verifier-{n}"), 0)).collect();
    for recorded in events {
        if let Event::Ownership(OwnershipEvent::CheckRecorded(check)) = &recorded.event {
            *made.entry(check.evidence.vantage.clone()).or_default() += 1;
        }
    }
    let all: u64 = made.values().sum();
    let share = |made: Option<&u64>| quotient(made.copied().unwrap_or(0) * 100, all);
    figures.tell(format!("{verifiers} verifiers: share of the idlest"), share(made.values().min()), "%");
    figures.tell(format!("{verifiers} verifiers: share of the busiest"), share(made.values().max()), "%");
}

/// Counts repeated checks: every check sends the same number of queries for its record. Queries for random
/// siblings are not counted.
fn repeated_checks(figures: &mut Figures, verifiers: usize, deployment: &Deployment) {
    let mut asked: BTreeMap<String, u64> = BTreeMap::new();
    for query in deployment.dns.zones.queries(None, 0) {
        // Queries have random case.
        let name = query.name.unwrap_or_default().to_ascii_lowercase();
        if name.starts_with("_deed.") && query.kind.as_deref() == Some("TXT") {
            *asked.entry(name).or_default() += 1;
        }
    }
    let once = asked.values().min().copied().unwrap_or(1).max(1);
    let repeated_checks = asked.values().filter(|asked| **asked >= 2 * once).count();
    figures.tell(
        format!("{verifiers} verifiers: questions about a record for each check"),
        quotient(once, 1),
        "",
    );
    figures.none(
        format!("{verifiers} verifiers: checks made twice"),
        u64::try_from(repeated_checks).unwrap_or(u64::MAX),
    );
}
