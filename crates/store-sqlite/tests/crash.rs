//! Acknowledged appends survive a killed process and a full disk.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]
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

/// Makes a test act as the process that crashes, on the file it names.
const VICTIM: &str = "DEED_TEST_VICTIM";
const TIMEOUT: Duration = Duration::from_mins(1);
const WRITERS: u32 = 32;
/// Events of one append: one in the first stream, two in the second.
const EVENTS: u64 = 3;

fn victim() -> Option<PathBuf> {
    std::env::var_os(VICTIM).map(PathBuf::from)
}

fn streams(process: &str, writer: u32) -> [StreamId; 2] {
    ["one", "two"].map(|which| apex(&format!("{which}-{process}-{writer}.com")))
}

/// Appends to two streams at once from their current versions, repeatedly, and reports each success.
async fn write_on(
    store: SqliteStore,
    process: &str,
    writer: u32,
    acknowledge: impl Fn(u32, Position),
) -> AppendError {
    let [one, two] = streams(process, writer);
    let mut round =
        u64::try_from(store.read_stream(&one, Version(0), usize::MAX).await.unwrap().len()).unwrap();
    loop {
        let both = vec![
            write(&one, round, vec![requested(writer, 1, 0)]),
            write(&two, round * 2, vec![checked(writer, 1, 0), checked(writer, 2, 1)]),
        ];
        match store.append(append_all(both)).await {
            Ok(appended) => acknowledge(writer, appended.position),
            Err(error) => return error,
        }
        round += 1;
    }
}

/// Starts this test binary as the victim, with only `test`, under limits that a shell sets.
fn spawn(test: &str, file: &Path, limits: &str) -> Child {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{limits} exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    shell.args([test, "--exact", "--nocapture"]).env(VICTIM, file).stdout(Stdio::piped());
    shell.spawn().unwrap()
}

/// The lines with `acknowledged`, as they arrive.
fn acknowledgements(child: &mut Child) -> Receiver<(u32, Position)> {
    let (sender, receiver) = sync_channel(1_000_000);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        // A killed process may leave half a line, which does not count.
        for line in lines.map_while(Result::ok) {
            let Some((_, text)) = line.split_once("acknowledged ") else { continue };
            if let Some((writer, position)) = text.strip_suffix('.').and_then(|text| text.split_once(' ')) {
                sender.send((writer.parse().unwrap(), Position(position.parse().unwrap()))).unwrap();
            }
        }
    });
    receiver
}

fn acknowledge(writer: u32, position: Position) {
    println!("acknowledged {writer} {position}.");
}

/// Checks that the log and each stream have no gaps, and that each append is complete.
async fn gapless_log(store: &SqliteStore, processes: &[&str]) -> Vec<RecordedEvent> {
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

fn assert_contains(log: &[RecordedEvent], process: &str, acknowledged: &[(u32, Position)]) {
    for &(writer, position) in acknowledged {
        let last = &log[usize::try_from(position.0).unwrap() - 1];
        assert_eq!(last.stream, streams(process, writer)[1], "at {position}");
    }
    let positions: BTreeSet<_> = acknowledged.iter().map(|(_, position)| position).collect();
    assert_eq!(positions.len(), acknowledged.len(), "a position was given twice");
}

/// Several times on the same file, while another process writes to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_writer_keeps_acknowledged_appends() {
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
    let (sender, receiver) = sync_channel(1_000_000);
    let bystander = tokio::spawn(write_on(store.clone(), "bystander", 0, move |writer, position| {
        sender.send((writer, position)).unwrap();
    }));
    let mut acknowledged = vec![];
    for _ in 0..3 {
        let mut child = spawn("killed_writer_keeps_acknowledged_appends", &file, "");
        let incoming = acknowledgements(&mut child);
        acknowledged.extend(tokio::task::block_in_place(|| {
            let mut acks: Vec<_> = (0..400).map(|_| incoming.recv_timeout(TIMEOUT).unwrap()).collect();
            child.kill().unwrap();
            child.wait().unwrap();
            acks.extend(incoming.iter());
            acks
        }));
        let log = gapless_log(&store, &["victim"]).await;
        assert_contains(&log, "victim", &acknowledged);
    }
    // Ends the bystander with its next append.
    store.close().await.unwrap();
    let ended = tokio::time::timeout(TIMEOUT, bystander).await.unwrap().unwrap();
    assert!(matches!(ended, AppendError::Unavailable(_)), "{ended:?}");
    let store = SqliteStore::open(SqliteConfig::new(&file)).await.unwrap();
    let log = gapless_log(&store, &["victim", "bystander"]).await;
    assert_contains(&log, "victim", &acknowledged);
    let theirs: Vec<_> = receiver.iter().collect();
    assert!(!theirs.is_empty());
    assert_contains(&log, "bystander", &theirs);
}

/// A limit on file sizes stands for a full disk: SQLite sees a failed write in both cases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_keeps_acknowledged_appends() {
    if let Some(file) = victim() {
        return run_out_of_space(&file).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deed.db");
    let limits = "trap '' XFSZ; ulimit -f 4096;";
    let mut child = spawn("full_disk_keeps_acknowledged_appends", &file, limits);
    let incoming = acknowledgements(&mut child);
    let acknowledged: Vec<_> = tokio::task::block_in_place(|| {
        let incoming = std::iter::from_fn(|| incoming.recv_timeout(TIMEOUT).ok()).collect();
        assert!(child.wait().unwrap().success());
        incoming
    });
    assert!(!acknowledged.is_empty());
    let store = SqliteStore::open(SqliteConfig::new(&file)).await.unwrap();
    let log = gapless_log(&store, &["victim"]).await;
    assert_contains(&log, "victim", &acknowledged);
    assert!(u64::try_from(log.len()).unwrap() >= u64::try_from(acknowledged.len()).unwrap() * EVENTS);
}

async fn run_out_of_space(file: &Path) {
    let store = SqliteStore::open(SqliteConfig::new(file)).await.unwrap();
    for writer in 0..2 {
        let error = write_on(store.clone(), "victim", writer, acknowledge).await;
        assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    }
    // Reads still work.
    let log = gapless_log(&store, &["victim"]).await;
    assert_eq!(store.last_position().await.unwrap(), log.last().unwrap().position);
    // Frees space: the write-ahead log is moved into the file, where it takes less.
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
