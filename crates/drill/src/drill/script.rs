//! Which faults come when: each on its own with time to recover, then a seeded mix of two at a time.
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::account::Account;
use super::faults::{Fault, Ground, Kind};
use super::notes::Notes;
use super::options::FaultOptions;

/// How long everything may take to go on once a fault is lifted.
const RECOVERY: Duration = Duration::from_secs(90);
/// Peace between two faults that come on their own.
const PEACE: Duration = Duration::from_secs(3);
/// Faults of the mix at a time.
const AT_A_TIME: usize = 2;

/// How often each kind comes in the mix; those that last come less often.
const fn weight(kind: Kind) -> usize {
    match kind {
        Kind::Kill => 6,
        Kind::CutPostgres | Kind::CutRabbit => 3,
        Kind::PostgresRestart | Kind::Purge | Kind::StopLeader => 2,
        // It silences the load, so it comes on its own.
        Kind::QuietCrash => 0,
        Kind::RabbitStop | Kind::FreezePostgres | Kind::FreezeRabbit => 1,
    }
}

/// Each fault on its own.
pub async fn singles(
    ground: &Ground,
    options: &FaultOptions,
    notes: &Notes,
    account: &mut Account,
) -> anyhow::Result<()> {
    for kind in Kind::ALL.into_iter().filter(|kind| options.wants(*kind)) {
        for fault in Fault::singles(kind, options.outage(), options.freeze()) {
            notes.say(&format!("fault: {}", fault.words()));
            let begun = ground.inflict(&fault).await?;
            let lifted = Instant::now();
            account.inflicted(fault.kind());
            let recovered = until_recovered(ground, lifted).await;
            if recovered.is_none() {
                notes.anomaly(&format!("not everything goes on {RECOVERY:?} after: {}", fault.words()));
            }
            let after = recovered.map(|at| at - lifted);
            let still = ground.progress.standstill(begun, recovered.unwrap_or_else(Instant::now));
            notes.say(&account.single(&fault, after, &still));
            tokio::time::sleep(PEACE).await;
        }
    }
    Ok(())
}

/// Waits until everything got further than it was at a moment.
pub async fn until_recovered(ground: &Ground, since: Instant) -> Option<Instant> {
    loop {
        let ready = ground.fleet.lock().await.is_ready();
        if let Some(at) = ground.progress.recovered(since).filter(|_| ready) {
            return Some(at);
        }
        if since.elapsed() > RECOVERY {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The mix: for as long as the options say, two faults at a time at most.
pub async fn mix(
    ground: &Ground,
    options: &FaultOptions,
    seed: u64,
    notes: &Notes,
    account: &mut Account,
) -> anyhow::Result<()> {
    let kinds = Kind::ALL.into_iter().filter(|kind| options.wants(*kind));
    let urn: Vec<Kind> = kinds.flat_map(|kind| std::iter::repeat_n(kind, weight(kind))).collect();
    let mut chance = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    let end = begun + options.mix();
    let mut going = FuturesUnordered::new();
    while Instant::now() < end {
        let pause = tokio::time::sleep(Duration::from_millis(chance.u64(500..6000)));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                ended = next(&mut going), if !going.is_empty() => ended.transpose()?,
            };
        }
        while going.len() >= AT_A_TIME {
            next(&mut going).await.transpose()?;
        }
        let Some(kind) = chance.choice(&urn).copied() else { break };
        let fault = Fault::random(kind, &mut chance, options.outage(), options.freeze());
        notes.say(&format!("fault: {}", fault.words()));
        account.inflicted(kind);
        going.push(async move { (fault, ground.inflict(&fault).await) });
    }
    notes.say("the mix is over");
    while next(&mut going).await.transpose()?.is_some() {}
    account.mixed(&ground.progress.standstill(begun, Instant::now()));
    Ok(())
}

/// The next fault that is lifted.
async fn next<F>(going: &mut FuturesUnordered<F>) -> Option<anyhow::Result<()>>
where
    F: Future<Output = (Fault, anyhow::Result<Instant>)>,
{
    let (fault, ended) = going.next().await?;
    Some(ended.map(|_| ()).map_err(|error| error.context(fault.words())))
}
