//! What every drill begins and ends with: everything is started and loaded, and in the end it comes to rest and is judged.
use std::collections::BTreeSet;
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
use super::lost::{self, Window};
use super::notes::Notes;
use super::options::Common;
use super::place::{Place, Role, SPY, VISIBILITY};
use super::progress::{Progress, Watch};
use super::script::until_recovered;
use super::talk::Talk;
use crate::checker::{Database, Management, Queue};
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
    /// What was lost before, where anything was.
    lost: Option<Window>,
    _watch: Watch,
}

/// What is left of a scene whose service and database are gone.
pub struct Struck {
    pub place: Place,
    pub notes: Notes,
    pub seed: u64,
    pub checker: PathBuf,
    pub deed: Executable,
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
        let struck = Self::prepared(common, folder, first, last).await?;
        Self::on(struck, common, None, heed).await
    }

    /// Everything but the service.
    pub async fn prepared(
        common: &Common,
        folder: &Path,
        first: &Executable,
        last: &Executable,
    ) -> anyhow::Result<Struck> {
        let seed = common.seed.unwrap_or_else(|| fastrand::u64(1..1 << 32));
        println!("seed {seed}, logs in {}", folder.display());
        let checker = checker(common)?;
        let notes = Notes::new(&folder.join("notes.jsonl"))?;
        let place = Place::start(first.clone(), folder).await?;
        notes.say("PostgreSQL, RabbitMQ and the DNS are up");
        Ok(Struck { place, notes, seed, checker, deed: last.clone() })
    }

    /// Starts the service on what is there, and a load on it.
    pub async fn on(
        struck: Struck,
        common: &Common,
        lost: Option<Window>,
        heed: Heed,
    ) -> anyhow::Result<Self> {
        let Struck { place, notes, seed, checker, deed } = struck;
        if lost.is_some() {
            place.make_exchange().await?;
            place.listen().await?;
        }
        let place = Arc::new(place);
        let fleet = Fleet::start(&place, &notes).await?;
        if lost.is_none() {
            place.listen().await?;
        }
        notes.say("every process is ready");
        let talk = Talk::new(Balancer::new(&fleet.apis(), heed)?, notes.clone())?;
        let journal = if lost.is_some() { lost::AFTER } else { lost::BEFORE };
        let journal = Journal::create(&place.folder.join(journal))?;
        let tempo = Pace { rate: common.rate, in_hand: common.in_hand, seed };
        let (keys, records) = (place.keys.clone(), place.dns.records().clone());
        let load = Load::start(talk, keys, records, journal, notes.clone(), tempo);
        let (progress, watch) = Progress::start(place.database.clone(), Arc::clone(&load.shared));
        let management = Management::new(&place.management, place.vhost.name())?;
        let fleet = Arc::new(Mutex::new(fleet));
        let ground = Ground { place, fleet, progress, management, load: Arc::clone(&load.shared) };
        Ok(Self { ground, notes, seed, load, checker, deed, lost, _watch: watch })
    }

    /// Does something while the processes are looked after.
    pub async fn meanwhile<T>(
        &self,
        acts: impl AsyncFnOnce(&Ground, &Notes) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            acted = acts(&self.ground, &self.notes) => acted,
            failed = look_after(&self.ground) => Err(failed),
        }
    }

    /// Every process of the service and the database are gone at once, and nobody is told.
    pub async fn strike(self) -> anyhow::Result<Struck> {
        let Self { ground, notes, seed, load, checker, deed, _watch: watch, .. } = self;
        let Ground { place, fleet, .. } = ground;
        let members = fleet.lock().await.members.len();
        for member in 0..members {
            fleet.lock().await.kill(member)?;
        }
        load.abandon().await;
        drop((fleet, watch));
        let place = Arc::into_inner(place).context("nobody else uses the place")?;
        let postgres = Arc::clone(&*place.postgres.lock().await);
        tokio::task::spawn_blocking(move || postgres.stop_immediate()).await?;
        notes.say("the service and its database are gone");
        // Names of the next load are others.
        Ok(Struck { place, notes, seed: seed ^ 1, checker, deed })
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
                    notes.say(&format!("all goes on {:.1} s after that", (at - healed).as_secs_f64()));
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
        let Self { ground, notes, load, checker, deed, lost, .. } = self;
        let judged = async {
            let load = load.finish(LAST_ANSWERS).await;
            notes.say("the load is over");
            let mut owed = load.published();
            if let Some(lost) = &lost {
                let folder = &ground.place.folder;
                owed.extend(lost.owed(folder)?);
                let taken = Database::connect(&ground.place.database).await?.snapshot().await?;
                lost::withdraw(lost::in_vain(&taken, folder)?, &load).await;
            }
            rest(&ground, &owed, &notes).await;
            anyhow::Ok((checked(&checker, &deed, &ground.place, lost.as_ref(), &notes).await?, load))
        };
        let (verdict, load) = tokio::select! {
            judged = judged => judged?,
            failed = look_after(&ground) => return Err(failed),
        };
        let mut fleet = ground.fleet.lock().await;
        let used = Role::ALL.map(|role| format!("{} {}", role.word(), fleet.usage(role))).join(" · ");
        fleet.stop().await?;
        drop(fleet);
        let verified = ground.progress.latest().map_or(0, |sample| sample.verified);
        Ok(Played { acted, ground, notes, load, verdict, verified, used })
    }
}

/// What was done, and what was left of the promises.
pub struct Played<T> {
    pub acted: T,
    pub ground: Ground,
    notes: Notes,
    pub load: Arc<Shared>,
    verdict: bool,
    verified: usize,
    /// What the processes that ran in the end have used.
    used: String,
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
        let (done, answered) = (done(&self.load, self.verified), self.load.talk.counters.told());
        format!("{done}\n{answered}\n{}", self.used)
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
async fn rest(ground: &Ground, published: &BTreeSet<String>, notes: &Notes) {
    let (begun, mut since) = (Instant::now(), None);
    loop {
        let missing = ground.progress.missing(published);
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
async fn checked(
    checker: &Path,
    deed: &Executable,
    place: &Place,
    lost: Option<&Window>,
    notes: &Notes,
) -> anyhow::Result<bool> {
    notes.say("the checker looks");
    // The version that everything began with may have left out of messages what it did not know.
    let thinned = !place.deed.relays_whole();
    let (mut dns, mut acknowledged) = (place.folder.join(lost::DNS), place.folder.join(lost::BEFORE));
    let mut heard = vec![];
    if let Some(lost) = lost {
        lost.owed(&place.folder)?;
        (dns, acknowledged) = (place.folder.join(lost::DNS_OWED), place.folder.join(lost::OWED));
        heard = lost.heard();
    }
    let mut command = bare(checker);
    command.envs(deed.settings(place.direct()));
    let mut command = tokio::process::Command::from(command);
    command
        .args(["--database", &place.database])
        .args(["--management", &place.management, "--vhost", place.vhost.name()])
        .args(["--spy", SPY])
        .args(heard)
        .args(thinned.then_some("--thinned"))
        .arg("--dns")
        .arg(dns)
        .arg("--acknowledged")
        .arg(acknowledged)
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
