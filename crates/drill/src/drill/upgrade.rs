//! The upgrade drill: tables first, then the processes one by one, with both versions side by side.
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::balancer::HealthCheck;
use super::data_loss;
use super::drill_run::{DrillRun, checker};
use super::embedded::EmbeddedService;
use super::executable::Executable;
use super::fault_schedule::until_recovered;
use super::faults::DrillContext;
use super::infrastructure::Role;
use super::load::Pace;
use super::notes::Notes;
use super::options::UpgradeOptions;
use super::restart::unharmed;
use super::rolling_restart::{RestartTimes, restart_member};

/// The timeout for the last responses in embedded mode.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Undisturbed load before the first change.
const PAUSE: Duration = Duration::from_secs(8);

/// Runs the drill and the checker.
pub async fn drill(options: &UpgradeOptions, folder: &Path) -> anyhow::Result<bool> {
    let delay = Duration::from_millis(options.shutdown_delay_ms);
    let (old, new) =
        (Executable::at(&options.previous, delay)?, Executable::at(&options.common.deed, delay)?);
    let run = DrillRun::start_upgrade(&options.common, folder, &old, &new, HealthCheck::Readyz).await?;
    let mut versions = Upgrade {
        old: &old,
        new: &new,
        restart_times: RestartTimes::default(),
        mixed: options.mixed_seconds,
    };
    let finished = run
        .finish_after(async |context, notes| {
            tokio::time::sleep(PAUSE).await;
            versions.run_steps(context, notes).await
        })
        .await?;
    let counters = &finished.load.client.counters;
    if old.relays_whole() {
        finished.add_anomalies(unharmed(counters));
    }
    println!("\n{}\n{}", finished.summary(), versions.restart_times.summary());
    let good = finished.passed(options.common.keep).await;
    Ok(embedded(options, &folder.join("embedded"), &old, &new).await? && good)
}

/// The embedded mode: the new version opens the file of the old one, also after a crash, and the old version
/// that of the new one.
async fn embedded(
    options: &UpgradeOptions,
    folder: &Path,
    old: &Executable,
    new: &Executable,
) -> anyhow::Result<bool> {
    let mut service = EmbeddedService::at(folder).await?;
    let notes = Notes::new(&folder.join("notes.jsonl"))?;
    service.start(old).await?;
    let pace = Pace { rate: options.common.rate, in_hand: options.common.in_hand, seed: 1 };
    let load = service.load(old, &notes, pace, data_loss::BEFORE)?;
    notes.say("the old version serves from a SQLite file");
    tokio::time::sleep(PAUSE).await;
    for (deed, what) in [
        (new, "the new version opens the file of the old one, which was killed"),
        (old, "one step back"),
        (new, "and forward again"),
    ] {
        if what.contains("killed") {
            service.kill()?;
        } else {
            service.end().await?;
        }
        match service.start(deed).await {
            Ok(took) => notes.say(&format!("{what}: ready {:.2} s after its start", took.as_secs_f64())),
            Err(refused) => {
                notes.say(&format!("{what}: {refused:#}"));
                service.start(new).await?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let load = load.finish(TIMEOUT).await;
    service.wait_until_idle(&load.published()).await?;
    let good = service.passed(&checker(&options.common)?, new, data_loss::DNS, data_loss::BEFORE)?;
    service.end().await?;
    println!("{}", load.client.counters.summary());
    let (anomalies, first) = notes.anomalies();
    for anomaly in &first {
        println!("  {anomaly}");
    }
    Ok(good && anomalies == 0)
}

/// The two versions and the restart times.
struct Upgrade<'a> {
    old: &'a Executable,
    new: &'a Executable,
    restart_times: RestartTimes,
    mixed: u64,
}

impl Upgrade<'_> {
    async fn run_steps(&mut self, context: &DrillContext, notes: &Notes) -> anyhow::Result<()> {
        let begun = Instant::now();
        let migrated = context.infra.command(self.new, &["migrate"])?;
        notes.say(&format!(
            "deed migrate beside the old version, within {:.2} s: {migrated}",
            begun.elapsed().as_secs_f64()
        ));
        let (old, new) = (self.old, self.new);
        self.restart_with(context, notes, &[(Role::Projector, new), (Role::Verifier, new)]).await?;
        self.restart_with(context, notes, &[(Role::Api, new), (Role::Projector, old), (Role::Verifier, old)])
            .await?;
        self.restart_with(context, notes, &[(Role::Projector, new), (Role::Verifier, new)]).await?;
        notes.say("one step back: everything runs the old version on the new tables");
        self.restart_with(context, notes, &Role::ALL.map(|role| (role, old))).await?;
        notes.say("and forward again");
        self.restart_with(context, notes, &Role::ALL.map(|role| (role, new))).await
    }

    /// Restarts the processes of these roles with a version, and lets the mixture run.
    async fn restart_with(
        &mut self,
        context: &DrillContext,
        notes: &Notes,
        roles: &[(Role, &Executable)],
    ) -> anyhow::Result<()> {
        for (role, deed) in roles {
            let members = context.fleet.lock().await.of(*role);
            for member in members {
                restart_member(context, notes, member, Some(deed), &mut self.restart_times).await?;
            }
        }
        let together = context.fleet.lock().await.versions(self.new);
        notes.say(&format!("together: {together}"));
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(self.mixed)).await;
        if until_recovered(context, begun).await.is_none() {
            notes.anomaly(&format!("not everything goes on with {together}"));
        }
        Ok(())
    }
}
