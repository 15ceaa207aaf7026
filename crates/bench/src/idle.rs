//! What the service needs while nobody asks it for anything.
use std::time::{Duration, Instant};

use crate::Services;
use crate::cpu::{Who, resident, used};
use crate::figures::Figures;
use crate::stand::{Stage, Stand};

/// Until everything that a start leads to is over.
const SETTLE: Duration = Duration::from_secs(5);
/// How long it is watched: the kernel counts in hundredths of a second.
const WATCH: Duration = Duration::from_secs(20);
/// Mebibytes that a process may have.
const MEMORY: f64 = 40.0;
/// Hundredths of a processor that it may use.
const PERCENT: f64 = 0.5;

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let stand = Stand::start(Stage::of(name), services, |site| site).await;
    let whom: Vec<_> =
        stand.processes().iter().map(|(name, process)| (name.clone(), Who::Family(process.pid()))).collect();
    tokio::time::sleep(SETTLE).await;
    let (before, begin) = (used(&whom), Instant::now());
    tokio::time::sleep(WATCH).await;
    let (after, elapsed) = (used(&whom), begin.elapsed().as_secs_f64());
    let mut figures = Figures::of(name);
    for (((role, before), (_, after)), (_, process)) in before.iter().zip(&after).zip(stand.processes()) {
        #[expect(clippy::cast_precision_loss, reason = "memory is far smaller")]
        let memory = resident(process.pid()) as f64 / 1024.0;
        figures.bound(format!("memory of {role}"), memory, "MiB", MEMORY);
        figures.bound(format!("processor of {role}"), (after - before) / elapsed * 100.0, "%", PERCENT);
    }
    stand.end().await;
    figures
}
