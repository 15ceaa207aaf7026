//! Claims verified a second, from the request to the lists, and what each part of the way costs.
use std::time::Instant;

use deed_claims::{Event, OwnershipEvent};

use crate::Services;
use crate::figures::Figures;
use crate::load;
use crate::rounds;
use crate::stand::{Dns, Stage, Stand, count};
use crate::talk::Talk;

/// Tenants at a time.
const CLIENTS: usize = 64;
/// Seconds for which a request waits for its first check.
const WAIT: u64 = 20;

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let stand = Stand::start(Stage::of(name), services, |site| site).await;
    let (before, begin) = (stand.used(), Instant::now());
    let done = claims(&stand, 0).await;
    stand.in_view().await;
    let elapsed = begin.elapsed();
    let used = stand.used();
    let verified = count(&stand.events().await, |event| {
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
    stand.end().await;
    figures
}

/// Has claims verified for a while, as many at a time as there are clients; how many were.
pub async fn claims(stand: &Stand, from: u64) -> u64 {
    let (api, key, dns) = (stand.api(), stand.key.clone(), stand.dns.clone());
    let work = |turn: load::Turn| {
        let (key, dns) = (key.clone(), dns.clone());
        async move {
            let mut talk = Talk::to(api, &key).await;
            let mut done = 0;
            while let Some(n) = turn.number() {
                one(&mut talk, &dns, from + n).await;
                done += 1;
            }
            done
        }
    };
    load::run(CLIENTS, rounds::length(), work).await.count
}

async fn one(talk: &mut Talk, dns: &Dns, n: u64) {
    let claimed = talk.claim(n).await;
    assert_eq!(claimed.status, 200, "the claim is refused");
    dns.publish(&claimed);
    let verified = talk.verify(n, WAIT).await;
    assert_eq!(verified.status, 200, "no proof within {WAIT} seconds: {}", verified.json());
}
