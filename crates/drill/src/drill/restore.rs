//! The backup drill: backup under load, total loss, restore elsewhere, continuation.
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use deed_testkit::Postgres;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

use super::balancer::HealthCheck;
use super::data_loss::{self, LossWindow};
use super::drill_run::{DrillRun, StoppedRun, checker};
use super::embedded::EmbeddedService;
use super::executable::Executable;
use super::faults::DrillContext;
use super::infrastructure::{Broker, Infrastructure, Role, through};
use super::load::Pace;
use super::notes::Notes;
use super::options::{Backup, RestoreOptions};
use crate::checker::{DatabaseConnection, snapshot};
use crate::clock::now;

/// The load after the backup, whose acknowledgements are lost.
const AFTER_BACKUP: Duration = Duration::from_secs(8);
/// The timeout for the last archived log, and for a start.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The `source` of events after a restore to an earlier point.
const SOURCE: &str = "/deed/2";

/// Runs the drill for each kind of backup, and the checker.
pub async fn drill(options: &RestoreOptions, folder: &Path) -> anyhow::Result<bool> {
    let drill = RestoreDrill {
        options,
        deed: Executable::at(&options.common.deed, Duration::ZERO)?,
        scripts: std::fs::canonicalize(&options.scripts)
            .with_context(|| format!("there is no {}", options.scripts.display()))?,
    };
    let wants = |backup| options.only.is_empty() || options.only.contains(&backup);
    let mut good = true;
    if wants(Backup::Log) {
        good &= drill.log(&created(folder.join("log"))?).await?;
    }
    if wants(Backup::Server) {
        good &= drill.server(&created(folder.join("server"))?).await?;
    }
    if wants(Backup::File) {
        good &= drill.file(&created(folder.join("file"))?).await?;
    }
    println!("{}", if good { "PASS" } else { "FAIL" });
    Ok(good)
}

fn created(folder: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

struct RestoreDrill<'a> {
    options: &'a RestoreOptions,
    deed: Executable,
    scripts: PathBuf,
}

impl RestoreDrill<'_> {
    fn while_loaded(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }

    /// Dumps the log and keys, and restores into an empty database with an empty broker.
    async fn log(&self, folder: &Path) -> anyhow::Result<bool> {
        println!("\nthe log, by pg_dump");
        let run = DrillRun::start(&self.options.common, folder, &self.deed, HealthCheck::None).await?;
        let dump = folder.join("deed.dump");
        let point = run
            .while_supervised(async |context, notes| {
                tokio::time::sleep(self.while_loaded()).await;
                let point = now();
                let mut backup = Command::new(self.scripts.join("backup-log.sh"));
                let took = run_command(backup.arg(&context.infra.database).arg(&dump)).await?;
                notes.say(&format!("dumped under load within {}, {}", seconds(took), size(&dump)?));
                notes.say(&database_summary(&context.infra.database).await?);
                tokio::time::sleep(AFTER_BACKUP).await;
                Ok(point)
            })
            .await?;
        let mut stopped = run.destroy().await?;
        let begun = Instant::now();
        let server = tokio::task::spawn_blocking(Postgres::start_durable).await?;
        let database = server.database().await.url().to_owned();
        let mut restore = Command::new(self.scripts.join("restore-log.sh"));
        restore.envs(self.deed.settings(stopped.infra.direct()));
        restore.env("DEED", &self.deed.path).env("DEED__STORE__URL", &database).arg(&dump);
        let took = run_command(&mut restore).await?;
        stopped.notes.say(&format!("restored and folded within {}", seconds(took)));
        let (infra, _old_server) = stopped.infra.restored(server, database, Broker::Fresh).await?;
        stopped.infra = infra;
        self.continue_after_restore(stopped, point, None, begun).await
    }

    /// Copies the server, archives its write-ahead logs, and restores to a point in between, with the old
    /// broker and its stale messages.
    async fn server(&self, folder: &Path) -> anyhow::Result<bool> {
        println!("\nthe server, by pg_basebackup and archived write-ahead logs");
        let stopped = DrillRun::prepare(&self.options.common, folder, &self.deed, &self.deed).await?;
        let archive = archived(&stopped.infra).await?;
        let run = DrillRun::start_service(stopped, &self.options.common, None, HealthCheck::None).await?;
        // The folder has to be accessible to the user of the server.
        let home = TempDir::with_prefix("deed-restored-")?;
        let data = home.path().join("data");
        let point = run
            .while_supervised(async |context, notes| {
                tokio::time::sleep(self.while_loaded()).await;
                let url = context.infra.postgres.lock().await.url();
                let mut copy = Command::new("pg_basebackup");
                copy.args(["--checkpoint=fast", "--wal-method=stream", "--dbname", &url, "--pgdata"]);
                let took = run_command(copy.arg(&data)).await?;
                notes.say(&format!("copied under load within {}, {}", seconds(took), size(&data)?));
                tokio::time::sleep(AFTER_BACKUP).await;
                let point = now();
                notes.say(&database_summary(&context.infra.database).await?);
                self.fill_queue_before_the_loss(context, notes).await?;
                Ok(point)
            })
            .await?;
        let mut stopped = run.destroy().await?;
        let begun = Instant::now();
        recover(&data, &archive, point)?;
        let at = home.path().to_owned();
        let server = tokio::task::spawn_blocking(move || Postgres::start_restored(&at)).await?;
        let address = ([127, 0, 0, 1], server.port()).into();
        let database = through(&stopped.infra.database, address)?;
        promoted(&database).await?;
        stopped.notes.say(&format!("restored to {point} within {}", seconds(begun.elapsed())));
        let (mut infra, _old_server) = stopped.infra.restored(server, database, Broker::Same).await?;
        infra.set("DEED__BUS__SOURCE", SOURCE);
        stopped.infra = infra;
        self.continue_after_restore(stopped, point, Some(SOURCE.to_owned()), begun).await
    }

    /// Without verifiers, requests fill the queue; the archive contains all of them.
    async fn fill_queue_before_the_loss(&self, context: &DrillContext, notes: &Notes) -> anyhow::Result<()> {
        {
            let mut fleet = context.fleet.lock().await;
            for verifier in fleet.of(Role::Verifier) {
                fleet.kill(verifier)?;
            }
        }
        tokio::time::sleep(AFTER_BACKUP).await;
        let queues = context.management.settled().await?;
        let waiting = queues.iter().find(|queue| queue.name == "deed.verification").map_or(0, |q| q.messages);
        ensure!(waiting > 0, "nothing waits at the broker");
        notes.say(&format!("{waiting} messages wait about what will not have happened"));
        let database = DatabaseConnection::connect(&context.infra.database).await?;
        let client = database.client();
        let last: String =
            client.query_one("SELECT pg_walfile_name(pg_switch_wal())", &[]).await?.try_get(0)?;
        let begun = Instant::now();
        let archived = "SELECT coalesce(last_archived_wal >= $1, false) FROM pg_stat_archiver";
        while !client.query_one(archived, &[&last]).await?.try_get::<_, bool>(0)? {
            ensure!(begun.elapsed() < TIMEOUT, "{last} is not archived");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The restored service catches up and accepts new claims.
    async fn continue_after_restore(
        &self,
        stopped: StoppedRun,
        point: DateTime<Utc>,
        source: Option<String>,
        begun: Instant,
    ) -> anyhow::Result<bool> {
        let database = DatabaseConnection::connect(&stopped.infra.database).await?;
        let row = database
            .client()
            .query_one(
                "SELECT coalesce((SELECT position FROM checkpoints WHERE name = 'relay'), 0),
                        coalesce((SELECT max(position) FROM events), 0)",
                &[],
            )
            .await?;
        let (relayed, end): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        stopped.notes.say(&format!("the log ends at {end} again; the relay goes on after {relayed}"));
        let data_loss = LossWindow { point, resumed: now(), relayed, source };
        let run = DrillRun::start_service(stopped, &self.options.common, Some(data_loss), HealthCheck::None)
            .await?;
        run.notes.say(&format!("serves again {} after the loss", seconds(begun.elapsed())));
        let finished = run
            .finish_after(async |_, _| {
                tokio::time::sleep(self.while_loaded()).await;
                Ok(())
            })
            .await?;
        println!("\n{}\n", finished.summary());
        Ok(finished.passed(self.options.common.keep).await)
    }

    /// Backs up a SQLite file, loses it, and continues with the backup.
    async fn file(&self, folder: &Path) -> anyhow::Result<bool> {
        println!("\na SQLite file, by .backup");
        let common = &self.options.common;
        let mut service = EmbeddedService::at(folder).await?;
        let notes = Notes::new(&folder.join("notes.jsonl"))?;
        service.start(&self.deed).await?;
        let pace = |seed| Pace { rate: common.rate, in_hand: common.in_hand, seed };
        let load = service.load(&self.deed, &notes, pace(1), data_loss::BEFORE)?;
        tokio::time::sleep(self.while_loaded()).await;
        let (point, copy) = (now(), folder.join("backup.db"));
        let mut backup = Command::new("sqlite3");
        let took =
            run_command(backup.arg(service.file()).arg(format!(".backup '{}'", copy.display()))).await?;
        notes.say(&format!("backed up under load within {}, {}", seconds(took), size(&copy)?));
        tokio::time::sleep(AFTER_BACKUP).await;
        service.kill()?;
        load.abandon().await;
        let begun = Instant::now();
        for old in ["deed.db", "deed.db-wal", "deed.db-shm"] {
            let old = folder.join(old);
            if old.exists() {
                std::fs::remove_file(old)?;
            }
        }
        std::fs::rename(&copy, service.file())?;
        service.start(&self.deed).await?;
        notes.say(&format!("serves again {} after the loss", seconds(begun.elapsed())));
        let window = LossWindow { point, resumed: now(), relayed: 0, source: None };
        let load = service.load(&self.deed, &notes, pace(2), data_loss::AFTER)?;
        tokio::time::sleep(self.while_loaded()).await;
        let load = load.finish(TIMEOUT).await;
        let mut expected = load.published();
        expected.extend(window.write_expected(folder)?);
        data_loss::withdraw(data_loss::in_vain(&snapshot(&service.file()).await?, folder)?, &load).await;
        service.wait_until_idle(&expected).await?;
        window.write_expected(folder)?;
        let good =
            service.passed(&checker(common)?, &self.deed, data_loss::DNS_EXPECTED, data_loss::EXPECTED)?;
        service.end().await?;
        println!("{}", load.client.counters.summary());
        let (anomalies, first) = notes.anomalies();
        for anomaly in &first {
            println!("  {anomaly}");
        }
        Ok(good && anomalies == 0)
    }
}

/// Turns on archiving of write-ahead logs; returns the folder.
async fn archived(infra: &Infrastructure) -> anyhow::Result<PathBuf> {
    let postgres = Arc::clone(&*infra.postgres.lock().await);
    let archive = postgres.folder().join("archive");
    let database = DatabaseConnection::connect(&infra.database).await?;
    let to = archive.display();
    let command = format!("ALTER SYSTEM SET archive_command = 'mkdir -p {to} && cp %p {to}/%f'");
    for setting in ["ALTER SYSTEM SET archive_mode = on", &command] {
        database.client().batch_execute(setting).await?;
    }
    drop(database);
    tokio::task::spawn_blocking(move || postgres.restart()).await?;
    Ok(archive)
}

/// Configures point-in-time recovery of a copied server.
fn recover(data: &Path, archive: &Path, point: DateTime<Utc>) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut settings = std::fs::File::options().append(true).open(data.join("postgresql.auto.conf"))?;
    writeln!(settings, "restore_command = 'cp {}/%f %p'", archive.display())?;
    writeln!(settings, "recovery_target_time = '{}'", point.to_rfc3339())?;
    writeln!(settings, "recovery_target_action = 'promote'")?;
    writeln!(settings, "archive_mode = off")?;
    std::fs::write(data.join("recovery.signal"), "")?;
    Ok(())
}

/// Waits for the end of recovery.
async fn promoted(url: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        if let Ok(database) = DatabaseConnection::connect(url).await {
            let asked = database.client().query_one("SELECT NOT pg_is_in_recovery()", &[]).await;
            if asked.is_ok_and(|row| row.try_get(0).unwrap_or(false)) {
                return Ok(());
            }
        }
        ensure!(begun.elapsed() < TIMEOUT, "the restored server does not come up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs a command; returns how long it took.
async fn run_command(command: &mut Command) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", command.as_std().get_program().display());
    Ok(begun.elapsed())
}

/// The contents and size of the database, as text.
async fn database_summary(url: &str) -> anyhow::Result<String> {
    let database = DatabaseConnection::connect(url).await?;
    let row = database
        .client()
        .query_one(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM claims), pg_total_relation_size('events'),
                    pg_database_size(current_database())",
            &[],
        )
        .await?;
    let [events, claims, log, all]: [i64; 4] =
        [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?];
    Ok(format!(
        "{events} events of {claims} claims: {log} bytes of log with its indexes, {all} bytes of database"
    ))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The size of a file or folder, as text.
fn size(path: &Path) -> anyhow::Result<String> {
    fn bytes(path: &Path) -> std::io::Result<u64> {
        let known = std::fs::symlink_metadata(path)?;
        if !known.is_dir() {
            return Ok(known.len());
        }
        std::fs::read_dir(path)?.map(|entry| bytes(&entry?.path())).sum()
    }
    Ok(format!("{} KiB", bytes(path)? / 1024))
}
