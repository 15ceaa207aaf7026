//! The schedule of faults: each alone with time to recover, then a random mix of two at a time.
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::fault_report::FaultReport;
use super::faults::{DrillContext, Fault, FaultKind};
use super::notes::Notes;
use super::options::FaultOptions;

/// The timeout for recovery after a fault.
const RECOVERY: Duration = Duration::from_secs(90);
/// The pause between single faults.
const PAUSE: Duration = Duration::from_secs(3);
/// Concurrent faults of the mix.
const CONCURRENT_FAULTS: usize = 2;

/// The weight of each kind in the mix.
const fn weight(kind: FaultKind) -> usize {
    match kind {
        FaultKind::Kill => 6,
        FaultKind::CutPostgres | FaultKind::CutRabbit => 3,
        FaultKind::PostgresRestart | FaultKind::Purge | FaultKind::StopLeader => 2,
        // It stops the load, so it is a single fault only.
        FaultKind::QuietCrash => 0,
        FaultKind::RabbitStop | FaultKind::FreezePostgres | FaultKind::FreezeRabbit => 1,
    }
}

/// Injects each fault alone.
pub async fn singles(
    context: &DrillContext,
    options: &FaultOptions,
    notes: &Notes,
    report: &mut FaultReport,
) -> anyhow::Result<()> {
    for kind in FaultKind::ALL.into_iter().filter(|kind| options.wants(*kind)) {
        for fault in Fault::singles(kind, options.outage(), options.freeze()) {
            notes.say(&format!("fault: {}", fault.description()));
            let begun = context.inflict(&fault).await?;
            let lifted = Instant::now();
            report.inflicted(fault.kind());
            let recovered = until_recovered(context, lifted).await;
            if recovered.is_none() {
                notes.anomaly(&format!("not everything goes on {RECOVERY:?} after: {}", fault.description()));
            }
            let after = recovered.map(|at| at - lifted);
            let still = context.progress.standstill(begun, recovered.unwrap_or_else(Instant::now));
            notes.say(&report.single(&fault, after, &still));
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Waits until everything has advanced since a moment.
pub async fn until_recovered(context: &DrillContext, since: Instant) -> Option<Instant> {
    loop {
        let ready = context.fleet.lock().await.is_ready();
        if let Some(at) = context.progress.recovered(since).filter(|_| ready) {
            return Some(at);
        }
        if since.elapsed() > RECOVERY {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Injects the mix, with at most two faults at a time.
pub async fn mix(
    context: &DrillContext,
    options: &FaultOptions,
    seed: u64,
    notes: &Notes,
    report: &mut FaultReport,
) -> anyhow::Result<()> {
    let kinds = FaultKind::ALL.into_iter().filter(|kind| options.wants(*kind));
    let weighted_kinds: Vec<FaultKind> =
        kinds.flat_map(|kind| std::iter::repeat_n(kind, weight(kind))).collect();
    let mut rng = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    let end = begun + options.mix();
    let mut active = FuturesUnordered::new();
    while Instant::now() < end {
        let pause = tokio::time::sleep(Duration::from_millis(rng.u64(500..6000)));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                ended = next(&mut active), if !active.is_empty() => ended.transpose()?,
            };
        }
        while active.len() >= CONCURRENT_FAULTS {
            next(&mut active).await.transpose()?;
        }
        let Some(kind) = rng.choice(&weighted_kinds).copied() else { break };
        let fault = Fault::random(kind, &mut rng, options.outage(), options.freeze());
        notes.say(&format!("fault: {}", fault.description()));
        report.inflicted(kind);
        active.push(async move { (fault, context.inflict(&fault).await) });
    }
    notes.say("the mix is over");
    while next(&mut active).await.transpose()?.is_some() {}
    report.mixed(&context.progress.standstill(begun, Instant::now()));
    Ok(())
}

/// Waits for the next fault to be lifted.
async fn next<F>(active: &mut FuturesUnordered<F>) -> Option<anyhow::Result<()>>
where
    F: Future<Output = (Fault, anyhow::Result<Instant>)>,
{
    let (fault, ended) = active.next().await?;
    Some(ended.map(|_| ()).map_err(|error| error.context(fault.description())))
}
