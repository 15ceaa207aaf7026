//! How the rate of checks grows with the number of verifiers, and how evenly they share the work.
//!
//! The DNS takes its time, so that one verifier with few hands does not fill the machine by itself.
use std::{collections::BTreeMap, time::Duration};

use deed_claims::{Event, OwnershipEvent};
use tokio::time::Instant;

use crate::Services;
use crate::figures::{Figures, quotient};
use crate::load::per_second;
use crate::stand::{Stage, Stand, count};
use crate::talk::Talk;

/// Verifiers at work, in turn.
const REPLICAS: [usize; 3] = [1, 2, 4];
/// How much later each answer of the DNS comes.
const DELAY: Duration = Duration::from_millis(20);
/// Checks that a verifier makes at a time, and messages that it holds.
const HANDS: usize = 8;
/// Claims for each verifier.
const CLAIMS: u64 = 250;
/// How many claims are handed in at a time.
const CLIENTS: u64 = 16;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let stand = Stand::start(Stage::Server { verifiers }, services, |site| {
        site.with("VERIFIER__IN_FLIGHT", HANDS).with("BUS__PREFETCH", HANDS)
    })
    .await;
    stand.dns.delay(DELAY);
    let claims = CLAIMS * u64::try_from(verifiers).unwrap_or(1);
    hand_in(&stand, claims, Step::Claim).await;
    stand.in_view().await;
    let (before, begin) = (stand.used(), Instant::now());
    hand_in(&stand, claims, Step::Verify).await;
    let proven = |event: &Event| matches!(event, Event::Ownership(OwnershipEvent::DomainVerified(_)));
    let mut events = stand.events().await;
    while count(&events, proven) < claims {
        assert!(begin.elapsed() < PATIENCE, "the claims are not verified in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
        events = stand.events().await;
    }
    let elapsed = begin.elapsed();
    let used: f64 = stand.used().iter().zip(&before).map(|((_, after), (_, before))| after - before).sum();
    let rate = per_second(claims, elapsed);
    figures.tell(format!("{verifiers} verifiers: claims verified"), rate, "/s");
    figures.tell(format!("{verifiers} verifiers: processors in use"), used / elapsed.as_secs_f64(), "");
    shares(figures, verifiers, &events);
    doubled(figures, verifiers, &stand);
    stand.end().await;
    rate
}

#[derive(Clone, Copy)]
enum Step {
    Claim,
    Verify,
}

async fn hand_in(stand: &Stand, claims: u64, step: Step) {
    let (api, key, dns) = (stand.api(), stand.key.clone(), stand.dns.clone());
    let mut running = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (key, dns) = (key.clone(), dns.clone());
        running.spawn(async move {
            let mut talk = Talk::to(api, &key).await;
            for n in (client..claims).step_by(usize::try_from(CLIENTS).unwrap_or(1)) {
                match step {
                    Step::Claim => {
                        let answer = talk.claim(n).await;
                        assert_eq!(answer.status, 200, "the claim is refused");
                        dns.publish(&answer);
                    }
                    Step::Verify => {
                        assert!(talk.verify(n, 0).await.status < 300, "the verification is refused")
                    }
                }
            }
        });
    }
    running.join_all().await;
}

/// What part of the checks the busiest and the idlest verifier made, as evidence names them.
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

/// Checks made twice: every check of this run asks the same number of questions about its record. Questions about a
/// random sibling of it are not counted: their names are never the same.
fn doubled(figures: &mut Figures, verifiers: usize, stand: &Stand) {
    let mut asked: BTreeMap<String, u64> = BTreeMap::new();
    for query in stand.dns.zones.queries(None, 0) {
        // Each question has letters of its own in capitals.
        let name = query.name.unwrap_or_default().to_ascii_lowercase();
        if name.starts_with("_deed.") && query.kind.as_deref() == Some("TXT") {
            *asked.entry(name).or_default() += 1;
        }
    }
    let once = asked.values().min().copied().unwrap_or(1).max(1);
    let doubled = asked.values().filter(|asked| **asked >= 2 * once).count();
    figures.tell(
        format!("{verifiers} verifiers: questions about a record for each check"),
        quotient(once, 1),
        "",
    );
    figures.none(
        format!("{verifiers} verifiers: checks made twice"),
        u64::try_from(doubled).unwrap_or(u64::MAX),
    );
}
