//! What every drill begins and ends with: everything is started and loaded, and in the end it comes to rest and is judged.
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::account::done;
use super::balancer::{Balancer, Heed};
use super::executable::{Executable, bare};
use super::faults::Ground;
use super::fleet::Fleet;
use super::load::{Load, Pace, Shared};
use super::notes::Notes;
use super::options::Common;
use super::place::{Place, SPY, VISIBILITY};
use super::progress::{Progress, Watch};
use super::script::until_recovered;
use super::talk::Talk;
use crate::checker::{Management, Queue};
use crate::journal::Journal;

/// How long clients may take for their last answers.
const LAST_ANSWERS: Duration = Duration::from_mins(3);
/// How long the service may take to come to rest.
const REST: Duration = Duration::from_mins(4);
/// How long it has to be at rest before that is believed.
const AT_REST: Duration = Duration::from_secs(3);
/// How often processes are looked after.
const ROUND: Duration = Duration::from_millis(200);

/// Everything that runs.
pub struct Scene {
    pub ground: Ground,
    pub notes: Notes,
    pub seed: u64,
    load: Load,
    checker: PathBuf,
    /// The executable that is there in the end.
    deed: Executable,
    _watch: Watch,
}

impl Scene {
    /// Starts everything, and the load on it.
    pub async fn set(common: &Common, folder: &Path, deed: &Executable, heed: Heed) -> anyhow::Result<Self> {
        Self::set_with(common, folder, deed, deed, heed).await
    }

    /// The same with one executable in the beginning and another one in the end.
    pub async fn set_with(
        common: &Common,
        folder: &Path,
        first: &Executable,
        last: &Executable,
        heed: Heed,
    ) -> anyhow::Result<Self> {
        let seed = common.seed.unwrap_or_else(|| fastrand::u64(1..1 << 32));
        println!("seed {seed}, logs in {}", folder.display());
        let checker = checker(common)?;
        let notes = Notes::new(&folder.join("notes.jsonl"))?;
        let place = Arc::new(Place::start(first.clone(), folder).await?);
        notes.say("PostgreSQL, RabbitMQ and the DNS are up");
        let fleet = Fleet::start(&place, &notes).await?;
        place.listen().await?;
        notes.say("every process is ready");
        let talk = Talk::new(Balancer::new(&fleet.apis(), heed)?, notes.clone())?;
        let journal = Journal::create(&folder.join("acknowledged.jsonl"))?;
        let tempo = Pace { rate: common.rate, in_hand: common.in_hand, seed };
        let (keys, records) = (place.keys.clone(), place.dns.records().clone());
        let load = Load::start(talk, keys, records, journal, notes.clone(), tempo);
        let (progress, watch) = Progress::start(place.database.clone(), Arc::clone(&load.shared));
        let management = Management::new(&place.management, place.vhost.name())?;
        let fleet = Arc::new(Mutex::new(fleet));
        let ground = Ground { place, fleet, progress, management, load: Arc::clone(&load.shared) };
        Ok(Self { ground, notes, seed, load, checker, deed: last.clone(), _watch: watch })
    }

    /// Does something while the processes are looked after, and ends with the load, rest and the checker's verdict.
    pub async fn play<T>(
        self,
        acts: impl AsyncFnOnce(&Ground, &Notes) -> anyhow::Result<T>,
    ) -> anyhow::Result<Played<T>> {
        let Self { ground, notes, .. } = &self;
        let acted = async {
            let acted = acts(ground, notes).await?;
            ground.heal().await?;
            notes.say("everything is healed");
            let healed = Instant::now();
            match until_recovered(ground, healed).await {
                Some(at) => {
                    notes.say(&format!("all goes on {:.1} s after that", (at - healed).as_secs_f64()))
                }
                None => notes.anomaly("not everything goes on after everything is healed"),
            }
            anyhow::Ok(acted)
        };
        let acted = tokio::select! {
            acted = acted => acted?,
            failed = look_after(ground) => return Err(failed),
        };
        self.end(acted).await
    }

    async fn end<T>(self, acted: T) -> anyhow::Result<Played<T>> {
        let Self { ground, notes, load, checker, deed, .. } = self;
        let judged = async {
            let load = load.finish(LAST_ANSWERS).await;
            notes.say("the load is over");
            rest(&ground, &load, &notes).await;
            anyhow::Ok((checked(&checker, &deed, &ground.place, &notes).await?, load))
        };
        let (verdict, load) = tokio::select! {
            judged = judged => judged?,
            failed = look_after(&ground) => return Err(failed),
        };
        ground.fleet.lock().await.stop().await?;
        let verified = ground.progress.latest().map_or(0, |sample| sample.verified);
        Ok(Played { acted, ground, notes, load, verdict, verified })
    }
}

/// What was done, and what was left of the promises.
pub struct Played<T> {
    pub acted: T,
    pub ground: Ground,
    notes: Notes,
    pub load: Arc<Shared>,
    verdict: bool,
    pub verified: usize,
}

impl<T> Played<T> {
    /// Adds what a drill by itself finds wrong.
    pub fn expect(&self, wrong: Vec<String>) {
        for what in wrong {
            self.notes.anomaly(&what);
        }
    }

    /// What the load has done and how it was answered.
    pub fn told(&self) -> String {
        format!("{}\n{}", done(&self.load, self.verified), self.load.talk.counters.told())
    }

    /// Says what was wrong, keeps what helps to find the cause, and tells whether nothing was.
    pub async fn judged(&self, keep: bool) -> bool {
        let (anomalies, first) = self.notes.anomalies();
        if anomalies > 0 {
            println!("{anomalies} anomalies:");
            for anomaly in &first {
                println!("  {anomaly}");
            }
        }
        let good = self.verdict && anomalies == 0;
        if !good || keep {
            save(&self.ground.place).await;
        }
        println!("{}", if good { "PASS" } else { "FAIL" });
        good
    }
}

/// Looks after the processes until something cannot be done.
async fn look_after(ground: &Ground) -> anyhow::Error {
    loop {
        if let Err(error) = ground.fleet.lock().await.supervise(&ground.place).await {
            return error.context("looking after the processes");
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Waits until all that was published is verified and nothing is under way any more.
async fn rest(ground: &Ground, load: &Shared, notes: &Notes) {
    let published = load.published();
    let (begun, mut since) = (Instant::now(), None);
    loop {
        let missing = ground.progress.missing(&published);
        let seen = ground.progress.latest().and_then(|sample| sample.seen).unwrap_or_default();
        let behind = (seen.head - seen.read_models) + (seen.head - seen.relay);
        let queues = ground.management.queues().await.ok();
        let ours =
            |queues: Vec<Queue>| queues.iter().filter(|q| q.name != SPY).map(|q| q.messages).sum::<u64>();
        let waiting = queues.map(ours);
        if missing == 0 && behind == 0 && seen.overdue == 0 && waiting == Some(0) {
            let since = since.get_or_insert_with(Instant::now);
            if since.elapsed() >= AT_REST {
                notes.say(&format!("at rest after {:.1} s", begun.elapsed().as_secs_f64()));
                return;
            }
        } else {
            since = None;
        }
        if begun.elapsed() > REST {
            notes.anomaly(&format!(
                "no rest {REST:?} after the load: {missing} published and not verified, {behind} events behind, {} rows \
                 overdue, {waiting:?} messages queued",
                seen.overdue
            ));
            return;
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Where the checker is, known before anything is broken; it will run in another folder.
pub fn checker(options: &Common) -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("checker"));
    let checker: PathBuf = options.checker.clone().or_else(beside).context("there is a checker")?;
    std::fs::canonicalize(&checker).with_context(|| format!("there is no {}", checker.display()))
}

/// Runs the checker, and tells its verdict.
async fn checked(checker: &Path, deed: &Executable, place: &Place, notes: &Notes) -> anyhow::Result<bool> {
    notes.say("the checker looks");
    // The version that everything began with may have left out of messages what it did not know.
    let thinned = !place.deed.relays_whole();
    let mut command = bare(checker);
    command.envs(deed.settings(place.direct()));
    let mut command = tokio::process::Command::from(command);
    command
        .args([
            "--database",
            &place.database,
            "--management",
            &place.management,
            "--vhost",
            place.vhost.name(),
        ])
        .args(["--spy", SPY])
        .args(thinned.then_some("--thinned"))
        .arg("--dns")
        .arg(place.folder.join("dns.jsonl"))
        .arg("--acknowledged")
        .arg(place.folder.join("acknowledged.jsonl"))
        .args(["--visibility-ms", &VISIBILITY.as_millis().to_string()])
        .arg("--deed")
        .arg(&deed.path)
        .current_dir(&place.folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = command.status().await.with_context(|| format!("running {}", checker.display()))?;
    Ok(status.success())
}

/// Keeps what the servers know for whoever looks for the cause.
async fn save(place: &Place) {
    let log = place.postgres.lock().await.folder().join("postgres.log");
    // What cannot be saved is missing, no more.
    let _ = std::fs::copy(log, place.folder.join("postgres.log"));
    let dump = std::process::Command::new("pg_dump")
        .args(["--inserts", "--file"])
        .arg(place.folder.join("database.sql"))
        .arg(&place.database)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !dump.is_ok_and(|status| status.success()) {
        println!("the database could not be saved");
    }
}
