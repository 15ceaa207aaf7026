//! The common course of drills: start infrastructure, service and load; end with idleness and the checker.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::api_client::ApiClient;
use super::balancer::{Balancer, HealthCheck};
use super::data_loss::{self, LossWindow};
use super::executable::{Executable, bare};
use super::fault_report::load_summary;
use super::fault_schedule::until_recovered;
use super::faults::DrillContext;
use super::fleet::Fleet;
use super::infrastructure::{Infrastructure, Role, SPY, VISIBILITY};
use super::load::{Load, LoadContext, Pace};
use super::notes::Notes;
use super::options::Common;
use super::progress::{Progress, Watch};
use crate::checker::{DatabaseConnection, Management, QueueDepth};
use crate::journal::Journal;

/// The timeout for the last responses.
const LAST_ANSWERS: Duration = Duration::from_mins(3);
/// The timeout for becoming idle.
const IDLE_TIMEOUT: Duration = Duration::from_mins(4);
/// How long it has to be idle.
const IDLE_PERIOD: Duration = Duration::from_secs(3);
/// The interval of supervision.
const ROUND: Duration = Duration::from_millis(200);

/// A running drill.
pub struct DrillRun {
    pub context: DrillContext,
    pub notes: Notes,
    pub seed: u64,
    load: Load,
    checker: PathBuf,
    /// The executable at the end.
    deed: Executable,
    /// The loss window, after a restore.
    data_loss: Option<LossWindow>,
    _watch: Watch,
}

/// A drill whose service does not run, before its start or after its loss.
pub struct StoppedRun {
    pub infra: Infrastructure,
    pub notes: Notes,
    pub seed: u64,
    pub checker: PathBuf,
    pub deed: Executable,
}

impl DrillRun {
    /// Starts infrastructure, service and load.
    pub async fn start(
        common: &Common,
        folder: &Path,
        deed: &Executable,
        health_check: HealthCheck,
    ) -> anyhow::Result<Self> {
        Self::start_upgrade(common, folder, deed, deed, health_check).await
    }

    /// Like `start`, with different executables at the beginning and at the end.
    pub async fn start_upgrade(
        common: &Common,
        folder: &Path,
        first: &Executable,
        last: &Executable,
        health_check: HealthCheck,
    ) -> anyhow::Result<Self> {
        let stopped = Self::prepare(common, folder, first, last).await?;
        Self::start_service(stopped, common, None, health_check).await
    }

    /// Starts the infrastructure only.
    pub async fn prepare(
        common: &Common,
        folder: &Path,
        first: &Executable,
        last: &Executable,
    ) -> anyhow::Result<StoppedRun> {
        let seed = common.seed.unwrap_or_else(|| fastrand::u64(1..1 << 32));
        println!("seed {seed}, logs in {}", folder.display());
        let checker = checker(common)?;
        let notes = Notes::new(&folder.join("notes.jsonl"))?;
        let infra = Infrastructure::start(first.clone(), folder).await?;
        notes.say("PostgreSQL, RabbitMQ and the DNS are up");
        Ok(StoppedRun { infra, notes, seed, checker, deed: last.clone() })
    }

    /// Starts the service and the load on existing infrastructure.
    pub async fn start_service(
        stopped: StoppedRun,
        common: &Common,
        data_loss: Option<LossWindow>,
        health_check: HealthCheck,
    ) -> anyhow::Result<Self> {
        let StoppedRun { infra, notes, seed, checker, deed } = stopped;
        if data_loss.is_some() {
            infra.make_exchange().await?;
            infra.listen().await?;
        }
        let infra = Arc::new(infra);
        let fleet = Fleet::start(&infra, &notes).await?;
        if data_loss.is_none() {
            infra.listen().await?;
        }
        notes.say("every process is ready");
        let client = ApiClient::new(Balancer::new(&fleet.apis(), health_check)?, notes.clone())?;
        let journal = if data_loss.is_some() { data_loss::AFTER } else { data_loss::BEFORE };
        let journal = Journal::create(&infra.folder.join(journal))?;
        let tempo = Pace { rate: common.rate, in_hand: common.in_hand, seed };
        let (keys, records) = (infra.keys.clone(), infra.dns.records().clone());
        let load = Load::start(client, keys, records, journal, notes.clone(), tempo);
        let (progress, watch) = Progress::start(infra.database.clone(), Arc::clone(&load.shared));
        let management = Management::new(&infra.management, infra.vhost.name())?;
        let fleet = Arc::new(Mutex::new(fleet));
        let context = DrillContext { infra, fleet, progress, management, load: Arc::clone(&load.shared) };
        Ok(Self { context, notes, seed, load, checker, deed, data_loss, _watch: watch })
    }

    /// Runs an action while the processes are supervised.
    pub async fn while_supervised<T>(
        &self,
        action: impl AsyncFnOnce(&DrillContext, &Notes) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            acted = action(&self.context, &self.notes) => acted,
            failed = supervise(&self.context) => Err(failed),
        }
    }

    /// Kills all processes and the database at once.
    pub async fn destroy(self) -> anyhow::Result<StoppedRun> {
        let Self { context, notes, seed, load, checker, deed, _watch: watch, .. } = self;
        let DrillContext { infra, fleet, .. } = context;
        let members = fleet.lock().await.members.len();
        for member in 0..members {
            fleet.lock().await.kill(member)?;
        }
        load.abandon().await;
        drop((fleet, watch));
        let infra = Arc::into_inner(infra).context("no other user of the infrastructure")?;
        let postgres = Arc::clone(&*infra.postgres.lock().await);
        tokio::task::spawn_blocking(move || postgres.stop_immediate()).await?;
        notes.say("the service and its database are gone");
        // The next load uses other names.
        Ok(StoppedRun { infra, notes, seed: seed ^ 1, checker, deed })
    }

    /// Runs an action under supervision, then ends the load, waits for idleness and runs the checker.
    pub async fn finish_after<T>(
        self,
        action: impl AsyncFnOnce(&DrillContext, &Notes) -> anyhow::Result<T>,
    ) -> anyhow::Result<FinishedRun<T>> {
        let Self { context, notes, .. } = &self;
        let acted = async {
            let acted = action(context, notes).await?;
            context.heal().await?;
            notes.say("everything is healed");
            let healed = Instant::now();
            match until_recovered(context, healed).await {
                Some(at) => {
                    notes.say(&format!("all goes on {:.1} s after that", (at - healed).as_secs_f64()));
                }
                None => notes.anomaly("not everything goes on after everything is healed"),
            }
            anyhow::Ok(acted)
        };
        let acted = tokio::select! {
            acted = acted => acted?,
            failed = supervise(context) => return Err(failed),
        };
        self.end(acted).await
    }

    async fn end<T>(self, acted: T) -> anyhow::Result<FinishedRun<T>> {
        let Self { context, notes, load, checker, deed, data_loss, .. } = self;
        let passed = async {
            let load = load.finish(LAST_ANSWERS).await;
            notes.say("the load is over");
            let mut expected = load.published();
            if let Some(data_loss) = &data_loss {
                let folder = &context.infra.folder;
                expected.extend(data_loss.write_expected(folder)?);
                let taken = DatabaseConnection::connect(&context.infra.database).await?.snapshot().await?;
                data_loss::withdraw(data_loss::in_vain(&taken, folder)?, &load).await;
            }
            wait_until_idle(&context, &expected, &notes).await;
            anyhow::Ok((
                run_checker(&checker, &deed, &context.infra, data_loss.as_ref(), &notes).await?,
                load,
            ))
        };
        let (verdict, load) = tokio::select! {
            passed = passed => passed?,
            failed = supervise(&context) => return Err(failed),
        };
        let mut fleet = context.fleet.lock().await;
        let used = Role::ALL.map(|role| format!("{} {}", role.name(), fleet.usage(role))).join(" · ");
        fleet.stop().await?;
        drop(fleet);
        let verified = context.progress.latest().map_or(0, |sample| sample.verified);
        Ok(FinishedRun { acted, context, notes, load, verdict, verified, used })
    }
}

/// The results of a drill.
pub struct FinishedRun<T> {
    pub acted: T,
    pub context: DrillContext,
    notes: Notes,
    pub load: Arc<LoadContext>,
    verdict: bool,
    verified: usize,
    /// The resource usage of the last processes.
    used: String,
}

impl<T> FinishedRun<T> {
    /// Adds anomalies that the drill itself has found.
    pub fn add_anomalies(&self, wrong: Vec<String>) {
        for what in wrong {
            self.notes.anomaly(&what);
        }
    }

    /// A summary of load and responses.
    pub fn summary(&self) -> String {
        let (done, answered) = (load_summary(&self.load, self.verified), self.load.client.counters.summary());
        format!("{done}\n{answered}\n{}", self.used)
    }

    /// Prints anomalies, saves data for analysis on failure, and returns whether the drill passed.
    pub async fn passed(&self, keep: bool) -> bool {
        let (anomalies, first) = self.notes.anomalies();
        if anomalies > 0 {
            println!("{anomalies} anomalies:");
            for anomaly in &first {
                println!("  {anomaly}");
            }
        }
        let good = self.verdict && anomalies == 0;
        if !good || keep {
            save(&self.context.infra).await;
        }
        println!("{}", if good { "PASS" } else { "FAIL" });
        good
    }
}

/// Supervises the processes until an error.
async fn supervise(context: &DrillContext) -> anyhow::Error {
    loop {
        if let Err(error) = context.fleet.lock().await.supervise(&context.infra).await {
            return error.context("looking after the processes");
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Waits until all published records are verified and no work is left.
async fn wait_until_idle(context: &DrillContext, published: &BTreeSet<String>, notes: &Notes) {
    let (begun, mut since) = (Instant::now(), None);
    loop {
        let missing = context.progress.missing(published);
        let seen = context.progress.latest().and_then(|sample| sample.seen).unwrap_or_default();
        let behind = (seen.head - seen.read_models) + (seen.head - seen.relay);
        let queues = context.management.queues().await.ok();
        let ours = |queues: Vec<QueueDepth>| {
            queues.iter().filter(|q| q.name != SPY).map(|q| q.messages).sum::<u64>()
        };
        let waiting = queues.map(ours);
        if missing == 0 && behind == 0 && seen.overdue == 0 && waiting == Some(0) {
            let since = since.get_or_insert_with(Instant::now);
            if since.elapsed() >= IDLE_PERIOD {
                notes.say(&format!("at rest after {:.1} s", begun.elapsed().as_secs_f64()));
                return;
            }
        } else {
            since = None;
        }
        if begun.elapsed() > IDLE_TIMEOUT {
            notes.anomaly(&format!(
                "no rest {IDLE_TIMEOUT:?} after the load: {missing} published and not verified, {behind} events behind, {} rows \
                 overdue, {waiting:?} messages queued",
                seen.overdue
            ));
            return;
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// The path of the checker, resolved before the working directory changes.
pub fn checker(options: &Common) -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("checker"));
    let checker: PathBuf = options.checker.clone().or_else(beside).context("there is a checker")?;
    std::fs::canonicalize(&checker).with_context(|| format!("there is no {}", checker.display()))
}

/// Runs the checker; returns whether all properties hold.
async fn run_checker(
    checker: &Path,
    deed: &Executable,
    infra: &Infrastructure,
    data_loss: Option<&LossWindow>,
    notes: &Notes,
) -> anyhow::Result<bool> {
    notes.say("the checker looks");
    // The first version may have published messages without fields that it did not know.
    let thinned = !infra.deed.relays_whole();
    let (mut dns, mut acknowledged) =
        (infra.folder.join(data_loss::DNS), infra.folder.join(data_loss::BEFORE));
    let mut arguments = vec![];
    if let Some(data_loss) = data_loss {
        data_loss.write_expected(&infra.folder)?;
        (dns, acknowledged) =
            (infra.folder.join(data_loss::DNS_EXPECTED), infra.folder.join(data_loss::EXPECTED));
        arguments = data_loss.checker_arguments();
    }
    let mut command = bare(checker);
    command.envs(deed.settings(infra.direct()));
    let mut command = tokio::process::Command::from(command);
    command
        .args(["--database", &infra.database])
        .args(["--management", &infra.management, "--vhost", infra.vhost.name()])
        .args(["--spy", SPY])
        .args(arguments)
        .args(thinned.then_some("--thinned"))
        .arg("--dns")
        .arg(dns)
        .arg("--acknowledged")
        .arg(acknowledged)
        .args(["--visibility-ms", &VISIBILITY.as_millis().to_string()])
        .arg("--deed")
        .arg(&deed.path)
        .current_dir(&infra.folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = command.status().await.with_context(|| format!("running {}", checker.display()))?;
    Ok(status.success())
}

/// Saves the server log and a dump for analysis.
async fn save(infra: &Infrastructure) {
    let log = infra.postgres.lock().await.folder().join("postgres.log");
    // Saving is best effort.
    let _ = std::fs::copy(log, infra.folder.join("postgres.log"));
    let dump = std::process::Command::new("pg_dump")
        .args(["--inserts", "--file"])
        .arg(infra.folder.join("database.sql"))
        .arg(&infra.database)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !dump.is_ok_and(|status| status.success()) {
        println!("the database could not be saved");
    }
}
