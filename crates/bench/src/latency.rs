//! How long a claim takes from the request to the lists, asked for at half of the rate that is possible.
//!
//! Open loop: each claim has its moment, and the time counts from that moment on, whether anybody was free to ask then.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use deed_claims::{Event, OwnershipEvent, StreamId};
use deed_store::{ReadModels, RecordedEvent};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Services;
use crate::end_to_end::claims;
use crate::figures::Figures;
use crate::load::per_second;
use crate::rounds;
use crate::stand::{Dns, Stage, Stand, stream};
use crate::talk::Talk;

/// How often the lists are looked at.
const GLANCE: Duration = Duration::from_millis(2);
/// How long a claim may take until it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// Numbers of claims that the search for the possible rate does not reach.
const FROM: u64 = 1_000_000;

/// When what happened to a claim.
#[derive(Debug, Clone, Copy)]
struct Times {
    meant: Instant,
    claimed: Instant,
    asked: Instant,
    accepted: Instant,
}

/// A claim that waits to be seen in the lists.
struct Waiting {
    stream: StreamId,
    times: Times,
}

/// One that was seen there.
struct Seen {
    stream: StreamId,
    times: Times,
    at: (Instant, DateTime<Utc>),
}

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let stage = Stage::of(name);
    let stand = Stand::start(stage, services, |site| site).await;
    let begin = Instant::now();
    let peak = claims(&stand, 0).await;
    stand.in_view().await;
    let rate = per_second(peak, begin.elapsed()) / 2.0;
    let (handed, waiting) = mpsc::unbounded_channel();
    let watch = tokio::spawn(watch(stand.models.clone(), waiting));
    let asked = ask(&stand, rate, handed).await;
    let seen = watch.await.expect("the lists are watched");
    let mut figures = Figures::of(name);
    figures.tell("claims asked for", rate, "/s");
    figures.none("not in the lists after half a minute", asked - u64::try_from(seen.len()).unwrap_or(0));
    let below = if stage == Stage::Embedded { 30.0 } else { 100.0 };
    tell(&mut figures, &seen, &stand.events().await, below);
    stand.end().await;
    figures
}

/// Asks for a claim at each moment; how many there were.
async fn ask(stand: &Stand, rate: f64, handed: mpsc::UnboundedSender<Waiting>) -> u64 {
    let (api, key, dns) = (stand.api(), stand.key.clone(), stand.dns.clone());
    let idle: Arc<Mutex<Vec<Talk>>> = Arc::default();
    let begin = Instant::now() + GLANCE;
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
            let mut talk = match free {
                Some(talk) => talk,
                None => Talk::to(api, &key).await,
            };
            let number = FROM + u64::from(n);
            let times = one(&mut talk, &dns, number, meant).await;
            // Whoever watches may have given up.
            let _ = handed.send(Waiting { stream: stream(number), times });
            idle.lock().expect("no panic").push(talk);
        });
        n += 1;
    }
    running.join_all().await;
    u64::from(n)
}

async fn one(talk: &mut Talk, dns: &Dns, n: u64, meant: Instant) -> Times {
    let answer = talk.claim(n).await;
    let claimed = Instant::now();
    assert_eq!(answer.status, 200, "the claim is refused");
    dns.publish(&answer);
    let asked = Instant::now();
    let answer = talk.verify(n, 0).await;
    assert!(matches!(answer.status, 200 | 202), "the verification is refused");
    Times { meant, claimed, asked, accepted: Instant::now() }
}

/// Looks at the lists until each claim that is handed in is held there, or none has come for too long.
async fn watch(models: Arc<dyn ReadModels>, mut handed: mpsc::UnboundedReceiver<Waiting>) -> Vec<Seen> {
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
            let at = (Instant::now(), Utc::now());
            for row in rows.into_iter().filter(|row| row.state.holding.is_some()) {
                if let Some(times) = waiting.remove(&row.stream) {
                    seen.push(Seen { stream: row.stream, times, at });
                    last = at.0;
                }
            }
        } else {
            last = Instant::now();
        }
        if last.elapsed() > PATIENCE {
            return seen;
        }
        sleep(GLANCE).await;
    }
}

/// When the log says that a claim was asked to be verified, how long the check took, and when it was proven.
#[derive(Default)]
struct Logged {
    requested: Option<DateTime<Utc>>,
    checked: Option<u32>,
    proven: Option<DateTime<Utc>>,
}

fn tell(figures: &mut Figures, seen: &[Seen], events: &[RecordedEvent], below: f64) {
    let mut logged: BTreeMap<&StreamId, Logged> = BTreeMap::new();
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
    let of = |pick: &dyn Fn(&Seen) -> f64| seen.iter().map(pick).collect::<Vec<_>>();
    figures.spread("claim, request to answer", of(&|s| between(s.times.meant, s.times.claimed)), None);
    figures.spread(
        "verification, request to answer",
        of(&|s| between(s.times.asked, s.times.accepted)),
        None,
    );
    let steps = |pick: &dyn Fn(&Seen, DateTime<Utc>, f64, DateTime<Utc>) -> f64| {
        let step = |s: &Seen| {
            let Logged { requested, checked, proven } = logged.get(&s.stream)?;
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
