//! What was acknowledged is there after the process was killed, and after the disk was full.
#![expect(clippy::unwrap_used, reason = "these are tests: a panic is their verdict")]
#![cfg(unix)]
use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use deed_claims::StreamId;
use deed_store::conformance::samples::{apex, append_all, checked, requested, write};
use deed_store::{AppendError, EventStore, Position, RecordedEvent, Version};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::task::JoinSet;

/// Makes a test play the process that comes to harm, on the file it names.
const VICTIM: &str = "DEED_TEST_VICTIM";
const PATIENCE: Duration = Duration::from_mins(1);
const WRITERS: u32 = 32;
/// Events of one append: one in the first stream, two in the second.
const EVENTS: u64 = 3;

fn victim() -> Option<PathBuf> {
    std::env::var_os(VICTIM).map(PathBuf::from)
}

fn streams(process: &str, writer: u32) -> [StreamId; 2] {
    ["one", "two"].map(|which| apex(&format!("{which}-{process}-{writer}.com")))
}

/// Appends to two streams at once from where they stand, again and again, and tells of each success.
async fn write_on(
    store: SqliteStore,
    process: &str,
    writer: u32,
    told: impl Fn(u32, Position),
) -> AppendError {
    let [one, two] = streams(process, writer);
    let mut round = u64::try_from(store.read_stream(&one, Version(0)).await.unwrap().len()).unwrap();
    loop {
        let both = vec![
            write(&one, round, vec![requested(writer, 1, 0)]),
            write(&two, round * 2, vec![checked(writer, 1, 0), checked(writer, 2, 1)]),
        ];
        match store.append(append_all(both)).await {
            Ok(appended) => told(writer, appended.position),
            Err(error) => return error,
        }
        round += 1;
    }
}

/// This test binary again, running only `test` and as the victim, perhaps under limits that a shell sets.
fn spawn(test: &str, file: &Path, limits: &str) -> Child {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{limits} exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    shell.args([test, "--exact", "--nocapture"]).env(VICTIM, file).stdout(Stdio::piped());
    shell.spawn().unwrap()
}

/// The lines that begin with `acknowledged`, as they come.
fn acknowledgements(child: &mut Child) -> Receiver<(u32, Position)> {
    let (tell, told) = sync_channel(1_000_000);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        // A killed process may leave half a line; what is not whole was not said.
        for line in lines.map_while(Result::ok) {
            let Some((_, said)) = line.split_once("acknowledged ") else { continue };
            if let Some((writer, position)) = said.strip_suffix('.').and_then(|said| said.split_once(' ')) {
                tell.send((writer.parse().unwrap(), Position(position.parse().unwrap()))).unwrap();
            }
        }
    });
    told
}

fn acknowledge(writer: u32, position: Position) {
    println!("acknowledged {writer} {position}.");
}

/// The log without a gap, each stream without a gap, and of each append all or nothing.
async fn whole_log(store: &SqliteStore, processes: &[&str]) -> Vec<RecordedEvent> {
    let log = store.read_log(Position(0), 10_000_000).await.unwrap();
    let mut lengths: HashMap<&StreamId, u64> = HashMap::new();
    for (position, event) in (1..).zip(&log) {
        assert_eq!(event.position, Position(position));
        let length = lengths.entry(&event.stream).or_default();
        *length += 1;
        assert_eq!(event.version, Version(*length), "{} at {position}", event.stream);
    }
    for process in processes {
        for writer in 0..WRITERS {
            let [one, two] =
                streams(process, writer).map(|stream| lengths.get(&stream).copied().unwrap_or(0));
            assert_eq!(two, one * 2, "half an append of writer {writer}");
        }
    }
    log
}

fn assert_there(log: &[RecordedEvent], process: &str, acknowledged: &[(u32, Position)]) {
    for &(writer, position) in acknowledged {
        let last = &log[usize::try_from(position.0).unwrap() - 1];
        assert_eq!(last.stream, streams(process, writer)[1], "at {position}");
    }
    let positions: BTreeSet<_> = acknowledged.iter().map(|(_, position)| position).collect();
    assert_eq!(positions.len(), acknowledged.len(), "a position was given twice");
}

/// Several times on the same file, while another process writes to it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_loses_nothing_it_acknowledged() {
    if let Some(file) = victim() {
        let store = SqliteStore::open(SqliteConfig::new(file)).await.unwrap();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write_on(store.clone(), "victim", writer, acknowledge));
        }
        panic!("{:?}", writers.join_next().await);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deed.db");
    let store = SqliteStore::open(SqliteConfig::new(&file)).await.unwrap();
    let (tell, told) = sync_channel(1_000_000);
    let bystander = tokio::spawn(write_on(store.clone(), "bystander", 0, move |writer, position| {
        tell.send((writer, position)).unwrap();
    }));
    let mut acknowledged = vec![];
    for _ in 0..3 {
        let mut child = spawn("a_killed_writer_loses_nothing_it_acknowledged", &file, "");
        let heard = acknowledgements(&mut child);
        acknowledged.extend(tokio::task::block_in_place(|| {
            let mut heard_now: Vec<_> = (0..400).map(|_| heard.recv_timeout(PATIENCE).unwrap()).collect();
            child.kill().unwrap();
            child.wait().unwrap();
            heard_now.extend(heard.iter());
            heard_now
        }));
        let log = whole_log(&store, &["victim"]).await;
        assert_there(&log, "victim", &acknowledged);
    }
    // Ends the bystander with its next append.
    store.close().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, bystander).await.unwrap().unwrap();
    assert!(matches!(ended, AppendError::Unavailable(_)), "{ended:?}");
    let store = SqliteStore::open(SqliteConfig::new(&file)).await.unwrap();
    let log = whole_log(&store, &["victim", "bystander"]).await;
    assert_there(&log, "victim", &acknowledged);
    let theirs: Vec<_> = told.iter().collect();
    assert!(!theirs.is_empty());
    assert_there(&log, "bystander", &theirs);
}

/// The limit on file sizes stands for a full disk: SQLite is told the same way, by a write that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_makes_the_store_unavailable_and_loses_nothing() {
    if let Some(file) = victim() {
        return run_out_of_space(&file).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deed.db");
    let limits = "trap '' XFSZ; ulimit -f 4096;";
    let mut child = spawn("a_full_disk_makes_the_store_unavailable_and_loses_nothing", &file, limits);
    let heard = acknowledgements(&mut child);
    let acknowledged: Vec<_> = tokio::task::block_in_place(|| {
        let heard = std::iter::from_fn(|| heard.recv_timeout(PATIENCE).ok()).collect();
        assert!(child.wait().unwrap().success());
        heard
    });
    assert!(!acknowledged.is_empty());
    let store = SqliteStore::open(SqliteConfig::new(&file)).await.unwrap();
    let log = whole_log(&store, &["victim"]).await;
    assert_there(&log, "victim", &acknowledged);
    assert!(u64::try_from(log.len()).unwrap() >= u64::try_from(acknowledged.len()).unwrap() * EVENTS);
}

async fn run_out_of_space(file: &Path) {
    let store = SqliteStore::open(SqliteConfig::new(file)).await.unwrap();
    for writer in 0..2 {
        let error = write_on(store.clone(), "victim", writer, acknowledge).await;
        assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    }
    // Reading goes on.
    let log = whole_log(&store, &["victim"]).await;
    assert_eq!(store.last_position().await.unwrap(), log.last().unwrap().position);
    // Space comes back: the write-ahead log is moved into the file, where it takes less.
    let mut cleaner = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let busy = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut cleaner)
        .await
        .unwrap();
    assert_eq!(busy, 0, "a write was left unfinished");
    let [one, two] = streams("victim", 2);
    let both = vec![
        write(&one, 0, vec![requested(2, 1, 0)]),
        write(&two, 0, vec![checked(2, 1, 0), checked(2, 2, 1)]),
    ];
    acknowledge(2, store.append(append_all(both)).await.unwrap().position);
    store.close().await.unwrap();
}
