//! The drill from begin to end.
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::account::Account;
use super::faults::Ground;
use super::fleet::Fleet;
use super::load::{Load, Pace, Shared};
use super::notes::Notes;
use super::options::Options;
use super::place::{Place, Role, SPY, VISIBILITY, clean};
use super::progress::Progress;
use super::script;
use super::talk::Talk;
use crate::checker::{Management, Queue};
use crate::journal::Journal;

/// How long the load runs in peace before the first fault.
const PEACE: Duration = Duration::from_secs(8);
/// How long clients may take for their last answers.
const LAST_ANSWERS: Duration = Duration::from_mins(3);
/// How long the service may take to come to rest.
const REST: Duration = Duration::from_mins(4);
/// How long it has to be at rest before that is believed.
const AT_REST: Duration = Duration::from_secs(3);
/// How often processes are looked after.
const ROUND: Duration = Duration::from_millis(200);

/// Everything, to the verdict.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    let folder = TempDir::with_prefix("deed-drill-").context("a folder for the run")?;
    let kept = folder.path().to_owned();
    let done = tokio::select! {
        done = drill(&options, folder.path()) => done,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(anyhow::anyhow!("interrupted"))
        }
    };
    if options.keep || !matches!(done, Ok(true)) {
        println!("logs and journals are in {}", kept.display());
        let _ = folder.keep();
    }
    done
}

async fn drill(options: &Options, folder: &Path) -> anyhow::Result<bool> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(1..1 << 32));
    println!("seed {seed}, logs in {}", folder.display());
    let checker = checker(options)?;
    let notes = Notes::new(&folder.join("notes.jsonl"))?;
    let place = Arc::new(Place::start(&options.deed, folder).await?);
    notes.say("PostgreSQL, RabbitMQ and the DNS are up");
    let fleet = Fleet::start(&place, &notes).await?;
    place.listen().await?;
    notes.say("every process is ready");
    let apis = fleet.of(Role::Api).into_iter().filter_map(|index| Some(fleet.members.get(index)?.listen));
    let talk = Talk::new(apis.collect(), notes.clone())?;
    let journal = Journal::create(&folder.join("acknowledged.jsonl"))?;
    let tempo = Pace { rate: options.rate, in_hand: options.in_hand, seed };
    let load =
        Load::start(talk, place.keys.clone(), place.dns.records().clone(), journal, notes.clone(), tempo);
    let (progress, _watch) = Progress::start(place.database.clone(), Arc::clone(&load.shared));
    let management = Management::new(&place.management, place.vhost.name())?;
    let ground = Ground {
        place: Arc::clone(&place),
        fleet: Arc::new(Mutex::new(fleet)),
        progress,
        management,
        load: Arc::clone(&load.shared),
    };
    let mut account = Account::default();
    let acts = async {
        tokio::time::sleep(PEACE).await;
        if !options.mix_only {
            script::singles(&ground, options, &notes, &mut account).await?;
        }
        script::mix(&ground, options, seed, &notes, &mut account).await?;
        ground.heal().await?;
        notes.say("everything is healed");
        let healed = Instant::now();
        match script::until_recovered(&ground, healed).await {
            Some(at) => notes.say(&format!("all goes on {:.1} s after that", (at - healed).as_secs_f64())),
            None => notes.anomaly("not everything goes on after everything is healed"),
        }
        let load = load.finish(LAST_ANSWERS).await;
        notes.say("the load is over");
        rest(&ground, &load, &notes).await;
        let verdict = checked(&checker, &place, &notes).await?;
        anyhow::Ok((load, verdict))
    };
    let (load, verdict) = tokio::select! {
        ended = acts => ended?,
        failed = look_after(&ground) => return Err(failed),
    };
    let mut fleet = ground.fleet.lock().await;
    fleet.stop().await?;
    let missing = ground.progress.latest().map_or(0, |sample| sample.verified);
    println!("\n{}", account.told(&load, missing, &place, &fleet));
    let (anomalies, first) = notes.anomalies();
    if anomalies > 0 {
        println!("{anomalies} anomalies:");
        for anomaly in &first {
            println!("  {anomaly}");
        }
    }
    let good = verdict && anomalies == 0;
    if !good || options.keep {
        save(&place).await;
    }
    println!("{}", if good { "PASS" } else { "FAIL" });
    Ok(good)
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
fn checker(options: &Options) -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("checker"));
    let checker: PathBuf = options.checker.clone().or_else(beside).context("there is a checker")?;
    std::fs::canonicalize(&checker).with_context(|| format!("there is no {}", checker.display()))
}

/// Runs the checker, and tells its verdict.
async fn checked(checker: &Path, place: &Place, notes: &Notes) -> anyhow::Result<bool> {
    notes.say("the checker looks");
    let mut command = tokio::process::Command::from(clean(checker, place.direct()));
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
        .arg("--dns")
        .arg(place.folder.join("dns.jsonl"))
        .arg("--acknowledged")
        .arg(place.folder.join("acknowledged.jsonl"))
        .args(["--visibility-ms", &VISIBILITY.as_millis().to_string()])
        .arg("--deed")
        .arg(&place.deed)
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
