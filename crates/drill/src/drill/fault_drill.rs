//! The fault drill: each fault alone, then a random mix.
use std::path::Path;
use std::time::Duration;

use super::balancer::HealthCheck;
use super::drill_run::DrillRun;
use super::executable::Executable;
use super::fault_report::FaultReport;
use super::fault_schedule;
use super::options::FaultOptions;

/// The time of undisturbed load before the first fault.
const PEACE: Duration = Duration::from_secs(8);

/// Runs the drill and the checker.
pub async fn drill(options: &FaultOptions, folder: &Path) -> anyhow::Result<bool> {
    let deed = Executable::at(&options.common.deed, Duration::ZERO)?;
    let run = DrillRun::start(&options.common, folder, &deed, HealthCheck::None).await?;
    let seed = run.seed;
    let acts = async |context: &_, notes: &_| {
        let mut report = FaultReport::default();
        tokio::time::sleep(PEACE).await;
        if !options.mix_only {
            fault_schedule::singles(context, options, notes, &mut report).await?;
        }
        fault_schedule::mix(context, options, seed, notes, &mut report).await?;
        Ok(report)
    };
    let finished = run.finish_after(acts).await?;
    let fleet = finished.context.fleet.lock().await;
    println!("\n{}\n{}", finished.summary(), finished.acted.summary(&finished.context.infra, &fleet));
    drop(fleet);
    Ok(finished.passed(options.common.keep).await)
}
