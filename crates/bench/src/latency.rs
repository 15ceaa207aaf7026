//! The latency of a claim from request to lists, at half of the possible rate.
//!
//! Open loop: each claim has a scheduled time, from which its latency counts, whether a client was free then
//! or not.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use deed_claims::{Clock as _, Event, OwnershipEvent, StreamId};
use deed_store::{ReadModels, RecordedEvent, SystemClock};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Services;
use crate::api_client::ApiClient;
use crate::deployment::{Deployment, Dns, Mode, stream};
use crate::end_to_end::claims;
use crate::figures::Figures;
use crate::load::per_second;
use crate::rounds;

/// The polling interval of the lists.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// The time after which a claim counts as lost.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The first claim number, beyond those of the search for the possible rate.
const FROM: u64 = 1_000_000;

/// The times of the steps of a claim.
#[derive(Debug, Clone, Copy)]
struct ClaimTimes {
    meant: Instant,
    claimed: Instant,
    asked: Instant,
    accepted: Instant,
}

/// A claim that is not visible in the lists yet.
struct PendingClaim {
    stream: StreamId,
    times: ClaimTimes,
}

/// A claim that became visible.
struct VisibleClaim {
    stream: StreamId,
    times: ClaimTimes,
    at: (Instant, DateTime<Utc>),
}

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let mode = Mode::of(name);
    let deployment = Deployment::start(mode, services, |site| site).await;
    let begin = Instant::now();
    let peak = claims(&deployment, 0).await;
    deployment.in_view().await;
    let rate = per_second(peak, begin.elapsed()) / 2.0;
    let (handed, waiting) = mpsc::unbounded_channel();
    let watch = tokio::spawn(watch(deployment.models.clone(), waiting));
    let asked = ask(&deployment, rate, handed).await;
    let seen = watch.await.expect("the lists are watched");
    let mut figures = Figures::of(name);
    figures.tell("claims asked for", rate, "/s");
    figures.none("not in the lists after half a minute", asked - u64::try_from(seen.len()).unwrap_or(0));
    let below = if mode == Mode::Embedded { 30.0 } else { 100.0 };
    tell(&mut figures, &seen, &deployment.events().await, below);
    deployment.end().await;
    figures
}

/// Sends a claim at each scheduled time; returns their number.
async fn ask(deployment: &Deployment, rate: f64, handed: mpsc::UnboundedSender<PendingClaim>) -> u64 {
    let (api, key, dns) = (deployment.api(), deployment.key.clone(), deployment.dns.clone());
    let idle: Arc<Mutex<Vec<ApiClient>>> = Arc::default();
    let begin = Instant::now() + POLL_INTERVAL;
    let mut running = tokio::task::JoinSet::new();
    let mut n = 0_u32;
    loop {
        let meant = begin + Duration::from_secs_f64(f64::from(n) / rate);
        if meant - begin >= rounds::length() * 2 {
            break;
        }
        sleep_until(meant).await;
        let (idle, key, dns, handed) = (idle.clone(), key.clone(), dns.clone(), handed.clone());
        running.spawn(async move {
            let free = idle.lock().expect("no panic").pop();
            let mut client = match free {
                Some(client) => client,
                None => ApiClient::to(api, &key).await,
            };
            let number = FROM + u64::from(n);
            let times = one(&mut client, &dns, number, meant).await;
            // The watcher may have given up.
            let _ = handed.send(PendingClaim { stream: stream(number), times });
            idle.lock().expect("no panic").push(client);
        });
        n += 1;
    }
    running.join_all().await;
    u64::from(n)
}

async fn one(client: &mut ApiClient, dns: &Dns, n: u64, meant: Instant) -> ClaimTimes {
    let answer = client.claim(n).await;
    let claimed = Instant::now();
    assert_eq!(answer.status, 200, "the claim is refused");
    dns.publish(&answer);
    let asked = Instant::now();
    let answer = client.verify(n, 0).await;
    assert!(matches!(answer.status, 200 | 202), "the verification is refused");
    ClaimTimes { meant, claimed, asked, accepted: Instant::now() }
}

/// Polls the lists until each submitted claim is held, or none has become visible for too long.
async fn watch(
    models: Arc<dyn ReadModels>,
    mut handed: mpsc::UnboundedReceiver<PendingClaim>,
) -> Vec<VisibleClaim> {
    let (mut waiting, mut seen) = (BTreeMap::new(), vec![]);
    let mut last = Instant::now();
    loop {
        loop {
            match handed.try_recv() {
                Ok(next) => _ = waiting.insert(next.stream, next.times),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) if waiting.is_empty() => return seen,
                Err(mpsc::error::TryRecvError::Disconnected) => break,
            }
        }
        let streams: Vec<StreamId> = waiting.keys().cloned().collect();
        if !streams.is_empty() {
            let rows = models.ownerships(&streams).await.expect("the lists");
            let at = (Instant::now(), SystemClock.now());
            for row in rows.into_iter().filter(|row| row.state.holding.is_some()) {
                if let Some(times) = waiting.remove(&row.stream) {
                    seen.push(VisibleClaim { stream: row.stream, times, at });
                    last = at.0;
                }
            }
        } else {
            last = Instant::now();
        }
        if last.elapsed() > TIMEOUT {
            return seen;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Picks the milliseconds of a step: of a claim with its request, the length of its check, and its proof.
type StepLength<'a> = dyn Fn(&VisibleClaim, DateTime<Utc>, f64, DateTime<Utc>) -> f64 + 'a;

/// The times of a claim in the log.
#[derive(Default)]
struct LoggedTimes {
    requested: Option<DateTime<Utc>>,
    checked: Option<u32>,
    proven: Option<DateTime<Utc>>,
}

fn tell(figures: &mut Figures, seen: &[VisibleClaim], events: &[RecordedEvent], below: f64) {
    let mut logged: BTreeMap<&StreamId, LoggedTimes> = BTreeMap::new();
    for recorded in events {
        let logged = logged.entry(&recorded.stream).or_default();
        match &recorded.event {
            Event::Ownership(OwnershipEvent::VerificationRequested(_)) => {
                logged.requested.get_or_insert(recorded.recorded_at);
            }
            Event::Ownership(OwnershipEvent::CheckRecorded(check)) => {
                logged.checked.get_or_insert(check.evidence.took_ms);
            }
            Event::Ownership(OwnershipEvent::DomainVerified(_)) => {
                logged.proven.get_or_insert(recorded.recorded_at);
            }
            _ => {}
        }
    }
    let between = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1000.0;
    let of = |pick: &dyn Fn(&VisibleClaim) -> f64| seen.iter().map(pick).collect::<Vec<_>>();
    figures.spread("claim, request to answer", of(&|s| between(s.times.meant, s.times.claimed)), None);
    figures.spread(
        "verification, request to answer",
        of(&|s| between(s.times.asked, s.times.accepted)),
        None,
    );
    let steps = |pick: &StepLength<'_>| {
        let step = |s: &VisibleClaim| {
            let LoggedTimes { requested, checked, proven } = logged.get(&s.stream)?;
            Some(pick(s, (*requested)?, f64::from((*checked)?), (*proven)?))
        };
        seen.iter().filter_map(step).collect::<Vec<_>>()
    };
    let millis = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).as_seconds_f64() * 1000.0;
    figures.spread(
        "request in the log to check",
        steps(&|_, asked, took, proven| millis(asked, proven) - took),
        None,
    );
    figures.spread("check", steps(&|_, _, took, _| took), None);
    figures.spread("proof decided to view", steps(&|s, _, _, proven| millis(proven, s.at.1)), None);
    figures.spread("claim to view, all of it", of(&|s| between(s.times.meant, s.at.0)), Some(below));
}
