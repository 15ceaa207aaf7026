use deed_store::conformance::samples::*;
use deed_store::*;
use deed_store_sqlite::*;
use sqlx::sqlite::*;
use sqlx::{ConnectOptions, Connection};
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn reference(dir: &std::path::Path, secs: f64) -> f64 {
    let path = dir.join("ref.db");
    for s in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{s}", path.display()));
    }
    let mut c = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("CREATE TABLE events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT, schema INTEGER, payload TEXT, metadata TEXT, recorded_at INTEGER, UNIQUE(stream, version)) STRICT; CREATE TABLE requests (key_id TEXT, k TEXT, f BLOB, status INTEGER, body TEXT, PRIMARY KEY(key_id,k));").execute(&mut c).await.unwrap();
    let p1 = initiated(1, "acme.com", by_workspace(1), 0).payload().unwrap();
    let p2 = requested(1, 1, 0).payload().unwrap();
    let meta = serde_json::to_string(&metadata()).unwrap();
    let t = Instant::now();
    let mut n = 0u64;
    while t.elapsed().as_secs_f64() < secs {
        let stream = format!("apex:n{n}.com");
        let mut tx = c.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("INSERT INTO events(stream,version,kind,schema,payload,metadata,recorded_at) VALUES (?1,1,'ClaimInitiated',1,?2,?4,1),(?1,2,'VerificationRequested',1,?3,?4,1)").bind(&stream).bind(&p1).bind(&p2).bind(&meta).execute(&mut *tx).await.unwrap();
        sqlx::query("INSERT INTO requests VALUES ('key', ?, x'00', 200, 'body')")
            .bind(&stream)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        n += 1;
    }
    n as f64 / t.elapsed().as_secs_f64()
}

fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) * 10_000.0 }
async fn subject(dir: &std::path::Path, secs: f64, tasks: u64, begin: bool) -> f64 {
    let path = dir.join("subj.db");
    for s in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{s}", path.display()));
    }
    let store = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap();
    if let Ok(sql) = std::env::var("SQL") { let mut c = SqliteConnectOptions::new().filename(&path).connect().await.unwrap(); sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut c).await.unwrap(); }
    let c0 = cpu();
    let t = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let store = store.clone();
        set.spawn(async move {
            let mut n = 0u64;
            while t.elapsed().as_secs_f64() < secs {
                let name = format!("n{task}-{n}.com");
                let stream = apex(&name);
                let mut a =
                    append(&stream, 0, vec![initiated(1, &name, by_workspace(1), 0), requested(1, 1, 0)]);
                let r = request(1, &name);
                if begin {
                    assert_eq!(
                        store.begin(&r, [1; 32], at(0), at(60), at(-86400)).await.unwrap(),
                        Begin::Started
                    );
                }
                a.receipt = Some(Receipt {
                    request: r,
                    response: StoredResponse { status: 200, body: "body".into() },
                });
                store.append(a).await.unwrap();
                n += 1;
            }
            n
        });
    }
    let n: u64 = set.join_all().await.into_iter().sum();
    let rate = n as f64 / t.elapsed().as_secs_f64();
    println!("   cpu {:.0} us/append, {n} appends, batches {:?}", (cpu() - c0) / n as f64, store.close().await);
    rate
}

#[tokio::main]
async fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    for _ in 0..5 {
        let r = reference(&dir, 3.0).await;
        let s = subject(&dir, 3.0, 32, false).await;
        let b = subject(&dir, 3.0, 32, true).await;
        let l = subject(&dir, 1.0, 1, false).await;
        println!(
            "reference {r:.0}/s  append-32 {s:.0}/s ({:.1}x)  begin+append-32 {b:.0}/s ({:.1}x)  1 task {l:.0}/s",
            s / r,
            b / r
        );
    }
    let _ = (Duration::ZERO, Arc::new(()));
}
