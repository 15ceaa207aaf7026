//! Memory and processor time of an idle service.
use std::time::{Duration, Instant};

use crate::Services;
use crate::cpu::{CpuUser, resident, used};
use crate::deployment::{Deployment, Mode};
use crate::figures::Figures;

/// The time for the start to settle.
const SETTLE: Duration = Duration::from_secs(5);
/// The duration of the measurement: the kernel counts in hundredths of a second.
const WATCH: Duration = Duration::from_secs(20);
/// The memory limit of a process in MiB.
const MEMORY: f64 = 40.0;
/// The limit of processor time in percent.
const PERCENT: f64 = 0.5;

pub async fn measure(name: &str, services: &mut Services) -> Figures {
    let deployment = Deployment::start(Mode::of(name), services, |site| site).await;
    let cpu_users: Vec<_> = deployment
        .processes()
        .iter()
        .map(|(name, process)| (name.clone(), CpuUser::Family(process.pid())))
        .collect();
    tokio::time::sleep(SETTLE).await;
    let (before, begin) = (used(&cpu_users), Instant::now());
    tokio::time::sleep(WATCH).await;
    let (after, elapsed) = (used(&cpu_users), begin.elapsed().as_secs_f64());
    let mut figures = Figures::of(name);
    for (((role, before), (_, after)), (_, process)) in before.iter().zip(&after).zip(deployment.processes())
    {
        #[expect(clippy::cast_precision_loss, reason = "memory is far smaller")]
        let memory = resident(process.pid()) as f64 / 1024.0;
        figures.bound(format!("memory of {role}"), memory, "MiB", MEMORY);
        figures.bound(format!("processor of {role}"), (after - before) / elapsed * 100.0, "%", PERCENT);
    }
    deployment.end().await;
    figures
}
