//! The restart drill: restarts every process in turn; clients may see nothing but 503.
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::api_client::RequestCounters;
use super::balancer::HealthCheck;
use super::drill_run::DrillRun;
use super::executable::Executable;
use super::fault_schedule::until_recovered;
use super::options::RestartOptions;
use super::rolling_restart::{RestartTimes, restart_member};

/// The pause between two restarts, in which the balancer notices that the process is back.
const BETWEEN: Duration = Duration::from_secs(1);

/// Runs the drill and the checker.
pub async fn drill(options: &RestartOptions, folder: &Path) -> anyhow::Result<bool> {
    let deed = Executable::at(&options.common.deed, Duration::from_millis(options.shutdown_delay_ms))?;
    let run = DrillRun::start(&options.common, folder, &deed, HealthCheck::Readyz).await?;
    let acts = async |context: &super::faults::DrillContext, notes: &super::notes::Notes| {
        let mut restart_times = RestartTimes::default();
        tokio::time::sleep(Duration::from_secs(options.peace_seconds)).await;
        let members = context.fleet.lock().await.members.len();
        for round in 1..=options.rounds {
            notes.say(&format!("round {round}"));
            for member in 0..members {
                restart_member(context, notes, member, None, &mut restart_times).await?;
                tokio::time::sleep(BETWEEN).await;
            }
            if until_recovered(context, tokio::time::Instant::now()).await.is_none() {
                notes.anomaly(&format!("not everything goes on after round {round}"));
            }
        }
        Ok(restart_times)
    };
    let finished = run.finish_after(acts).await?;
    finished.add_anomalies(unharmed(&finished.load.client.counters));
    println!("\n{}\n{}", finished.summary(), finished.acted.summary());
    Ok(finished.passed(options.common.keep).await)
}

/// Client errors that graceful restarts must not cause.
pub fn unharmed(counters: &RequestCounters) -> Vec<String> {
    let harm = [
        (&counters.broken, "requests were cut off in the middle"),
        (&counters.timeouts, "requests were not answered in time"),
        (&counters.unavailable_without_retry_after, "answers of 503 did not say when to come again"),
    ];
    let harm = harm.map(|(counter, what)| (counter.load(Ordering::Relaxed), what));
    harm.into_iter().filter(|(times, _)| *times > 0).map(|(times, what)| format!("{times} {what}")).collect()
}
