//! The drill of backups: taken under load, restored elsewhere after everything was lost, and the service goes on.
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

use super::balancer::Heed;
use super::executable::Executable;
use super::faults::Ground;
use super::load::Pace;
use super::lost::{self, Window};
use super::notes::Notes;
use super::options::{Backup, RestoreOptions};
use super::place::{Broker, Place, Role, through};
use super::scene::{Scene, Struck, checker};
use super::solo::Solo;
use crate::checker::{Database, snapshot};
use crate::clock::now;

/// How long the load goes on after the backup; what is acknowledged meanwhile is lost.
const LOST: Duration = Duration::from_secs(8);
/// How long the last archived log may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Who publishes since the log has gone back.
const SOURCE: &str = "/deed/2";

/// Backs up in every way, loses everything each time, restores, and has the checker look.
pub async fn drill(options: &RestoreOptions, folder: &Path) -> anyhow::Result<bool> {
    let drill = Restore {
        options,
        deed: Executable::at(&options.common.deed, Duration::ZERO)?,
        scripts: std::fs::canonicalize(&options.scripts)
            .with_context(|| format!("there is no {}", options.scripts.display()))?,
    };
    let wants = |backup| options.only.is_empty() || options.only.contains(&backup);
    let mut good = true;
    if wants(Backup::Log) {
        good &= drill.log(&made(folder.join("log"))?).await?;
    }
    if wants(Backup::Server) {
        good &= drill.server(&made(folder.join("server"))?).await?;
    }
    if wants(Backup::File) {
        good &= drill.file(&made(folder.join("file"))?).await?;
    }
    println!("{}", if good { "PASS" } else { "FAIL" });
    Ok(good)
}

fn made(folder: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

struct Restore<'a> {
    options: &'a RestoreOptions,
    deed: Executable,
    scripts: PathBuf,
}

impl Restore<'_> {
    fn while_loaded(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }

    /// Dumps what cannot be made again, and restores it into an empty database, with an empty broker.
    async fn log(&self, folder: &Path) -> anyhow::Result<bool> {
        println!("\nthe log, by pg_dump");
        let scene = Scene::set(&self.options.common, folder, &self.deed, Heed::Nothing).await?;
        let dump = folder.join("deed.dump");
        let point = scene
            .meanwhile(async |ground, notes| {
                tokio::time::sleep(self.while_loaded()).await;
                let point = now();
                let mut backup = Command::new(self.scripts.join("backup-log.sh"));
                let took = done(backup.arg(&ground.place.database).arg(&dump)).await?;
                notes.say(&format!("dumped under load within {}, {}", seconds(took), size(&dump)?));
                notes.say(&told(&ground.place.database).await?);
                tokio::time::sleep(LOST).await;
                Ok(point)
            })
            .await?;
        let mut struck = scene.strike().await?;
        let begun = Instant::now();
        let server = tokio::task::spawn_blocking(Postgres::start_durable).await?;
        let database = server.database().await.url().to_owned();
        let mut restore = Command::new(self.scripts.join("restore-log.sh"));
        restore.envs(self.deed.settings(struck.place.direct()));
        restore.env("DEED", &self.deed.path).env("DEED__STORE__URL", &database).arg(&dump);
        let took = done(&mut restore).await?;
        struck.notes.say(&format!("restored and folded within {}", seconds(took)));
        let (place, _lost) = struck.place.restored(server, database, Broker::Fresh).await?;
        struck.place = place;
        self.go_on(struck, point, None, begun).await
    }

    /// Copies the server, archives its write-ahead logs, and restores to a point in between, with the broker as it was:
    /// it holds messages about what has not happened any more.
    async fn server(&self, folder: &Path) -> anyhow::Result<bool> {
        println!("\nthe server, by pg_basebackup and archived write-ahead logs");
        let struck = Scene::prepared(&self.options.common, folder, &self.deed, &self.deed).await?;
        let archive = archived(&struck.place).await?;
        let scene = Scene::on(struck, &self.options.common, None, Heed::Nothing).await?;
        // The server's user has to reach it.
        let home = TempDir::with_prefix("deed-restored-")?;
        let data = home.path().join("data");
        let point = scene
            .meanwhile(async |ground, notes| {
                tokio::time::sleep(self.while_loaded()).await;
                let url = ground.place.postgres.lock().await.url();
                let mut copy = Command::new("pg_basebackup");
                copy.args(["--checkpoint=fast", "--wal-method=stream", "--dbname", &url, "--pgdata"]);
                let took = done(copy.arg(&data)).await?;
                notes.say(&format!("copied under load within {}, {}", seconds(took), size(&data)?));
                tokio::time::sleep(LOST).await;
                let point = now();
                notes.say(&told(&ground.place.database).await?);
                self.future_that_never_was(ground, notes).await?;
                Ok(point)
            })
            .await?;
        let mut struck = scene.strike().await?;
        let begun = Instant::now();
        recover(&data, &archive, point)?;
        let at = home.path().to_owned();
        let server = tokio::task::spawn_blocking(move || Postgres::start_restored(&at)).await?;
        let address = ([127, 0, 0, 1], server.port()).into();
        let database = through(&struck.place.database, address)?;
        promoted(&database).await?;
        struck.notes.say(&format!("restored to {point} within {}", seconds(begun.elapsed())));
        let (mut place, _lost) = struck.place.restored(server, database, Broker::Same).await?;
        place.set("DEED__BUS__SOURCE", SOURCE);
        struck.place = place;
        self.go_on(struck, point, Some(SOURCE.to_owned()), begun).await
    }

    /// Requests that nobody works on fill the queue, and all of it is archived.
    async fn future_that_never_was(&self, ground: &Ground, notes: &Notes) -> anyhow::Result<()> {
        {
            let mut fleet = ground.fleet.lock().await;
            for verifier in fleet.of(Role::Verifier) {
                fleet.kill(verifier)?;
            }
        }
        tokio::time::sleep(LOST).await;
        let queues = ground.management.settled().await?;
        let waiting = queues.iter().find(|queue| queue.name == "deed.verification").map_or(0, |q| q.messages);
        ensure!(waiting > 0, "nothing waits at the broker");
        notes.say(&format!("{waiting} messages wait about what will not have happened"));
        let database = Database::connect(&ground.place.database).await?;
        let client = database.client();
        let last: String =
            client.query_one("SELECT pg_walfile_name(pg_switch_wal())", &[]).await?.try_get(0)?;
        let begun = Instant::now();
        let archived = "SELECT coalesce(last_archived_wal >= $1, false) FROM pg_stat_archiver";
        while !client.query_one(archived, &[&last]).await?.try_get::<_, bool>(0)? {
            ensure!(begun.elapsed() < PATIENCE, "{last} is not archived");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The restored service works off what it knows and takes new claims.
    async fn go_on(
        &self,
        struck: Struck,
        point: DateTime<Utc>,
        source: Option<String>,
        begun: Instant,
    ) -> anyhow::Result<bool> {
        let database = Database::connect(&struck.place.database).await?;
        let row = database
            .client()
            .query_one(
                "SELECT coalesce((SELECT position FROM checkpoints WHERE name = 'relay'), 0),
                        coalesce((SELECT max(position) FROM events), 0)",
                &[],
            )
            .await?;
        let (relayed, end): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        struck.notes.say(&format!("the log ends at {end} again; the relay goes on after {relayed}"));
        let lost = Window { point, resumed: now(), relayed, source };
        let scene = Scene::on(struck, &self.options.common, Some(lost), Heed::Nothing).await?;
        scene.notes.say(&format!("serves again {} after the loss", seconds(begun.elapsed())));
        let played = scene
            .play(async |_, _| {
                tokio::time::sleep(self.while_loaded()).await;
                Ok(())
            })
            .await?;
        println!("\n{}\n", played.told());
        Ok(played.judged(self.options.common.keep).await)
    }

    /// Backs a SQLite file up, loses it, and goes on with the backup.
    async fn file(&self, folder: &Path) -> anyhow::Result<bool> {
        println!("\na SQLite file, by .backup");
        let common = &self.options.common;
        let mut solo = Solo::at(folder).await?;
        let notes = Notes::new(&folder.join("notes.jsonl"))?;
        solo.start(&self.deed).await?;
        let pace = |seed| Pace { rate: common.rate, in_hand: common.in_hand, seed };
        let load = solo.load(&self.deed, &notes, pace(1), lost::BEFORE)?;
        tokio::time::sleep(self.while_loaded()).await;
        let (point, copy) = (now(), folder.join("backup.db"));
        let mut backup = Command::new("sqlite3");
        let took = done(backup.arg(solo.file()).arg(format!(".backup '{}'", copy.display()))).await?;
        notes.say(&format!("backed up under load within {}, {}", seconds(took), size(&copy)?));
        tokio::time::sleep(LOST).await;
        solo.kill()?;
        load.abandon().await;
        let begun = Instant::now();
        for old in ["deed.db", "deed.db-wal", "deed.db-shm"] {
            let old = folder.join(old);
            if old.exists() {
                std::fs::remove_file(old)?;
            }
        }
        std::fs::rename(&copy, solo.file())?;
        solo.start(&self.deed).await?;
        notes.say(&format!("serves again {} after the loss", seconds(begun.elapsed())));
        let window = Window { point, resumed: now(), relayed: 0, source: None };
        let load = solo.load(&self.deed, &notes, pace(2), lost::AFTER)?;
        tokio::time::sleep(self.while_loaded()).await;
        let load = load.finish(PATIENCE).await;
        let mut owed = load.published();
        owed.extend(window.owed(folder)?);
        lost::withdraw(lost::in_vain(&snapshot(&solo.file()).await?, folder)?, &load).await;
        solo.rest(&owed).await?;
        window.owed(folder)?;
        let good = solo.judged(&checker(common)?, &self.deed, lost::DNS_OWED, lost::OWED)?;
        solo.end().await?;
        println!("{}", load.talk.counters.told());
        let (anomalies, first) = notes.anomalies();
        for anomaly in &first {
            println!("  {anomaly}");
        }
        Ok(good && anomalies == 0)
    }
}

/// Has the server archive its write-ahead logs; where.
async fn archived(place: &Place) -> anyhow::Result<PathBuf> {
    let postgres = Arc::clone(&*place.postgres.lock().await);
    let archive = postgres.folder().join("archive");
    let database = Database::connect(&place.database).await?;
    let to = archive.display();
    let command = format!("ALTER SYSTEM SET archive_command = 'mkdir -p {to} && cp %p {to}/%f'");
    for setting in ["ALTER SYSTEM SET archive_mode = on", &command] {
        database.client().batch_execute(setting).await?;
    }
    drop(database);
    tokio::task::spawn_blocking(move || postgres.restart()).await?;
    Ok(archive)
}

/// Tells a copied server up to which point to go on, and by which logs.
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

/// Waits until the server is past its recovery.
async fn promoted(url: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        if let Ok(database) = Database::connect(url).await {
            let asked = database.client().query_one("SELECT NOT pg_is_in_recovery()", &[]).await;
            if asked.is_ok_and(|row| row.try_get(0).unwrap_or(false)) {
                return Ok(());
            }
        }
        ensure!(begun.elapsed() < PATIENCE, "the restored server does not come up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs a command to its end; how long it took.
async fn done(command: &mut Command) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", command.as_std().get_program().display());
    Ok(begun.elapsed())
}

/// What is in the database, and how much room it takes.
async fn told(url: &str) -> anyhow::Result<String> {
    let database = Database::connect(url).await?;
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

/// How large a file is, or all files of a folder.
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
