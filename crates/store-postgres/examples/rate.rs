//! temp
#![allow(warnings, clippy::all, clippy::pedantic)]
use deed_store::conformance::samples::*;
use deed_store::*;
use deed_store_postgres::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (url, tasks, secs, receipts) =
        (&a[1], a[2].parse::<usize>().unwrap(), a[3].parse::<u64>().unwrap(), a[4] == "r");
    let config = PostgresConfig::new(url);
    migrate(&config).await.unwrap();
    let store = PostgresStore::connect(config).await.unwrap();
    let n = Arc::new(AtomicU64::new(0));
    let seed: u32 = std::process::id();
    let start = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for t in 0..tasks {
        let (store, n) = (store.clone(), n.clone());
        set.spawn(async move {
            let mut i = 0u64;
            while start.elapsed() < Duration::from_secs(secs) {
                i += 1;
                let name = format!("n{seed}-{t}-{i}.com");
                let mut ap = append(&apex(&name), 0, vec![initiated(t as u32, &name, by_workspace(1), 0), requested(t as u32, 1, 0)]);
                if receipts {
                    let rq = request(1, &name);
                    store.begin(&rq, [1; 32], at(0), at(60), at(-1000)).await.unwrap();
                    ap.receipt = Some(Receipt { request: rq, response: StoredResponse { status: 202, body: "{\"id\":\"clm_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"status\":\"pending\",\"name\":\"example.com\",\"record\":{\"type\":\"TXT\",\"name\":\"_deed.example.com\",\"value\":\"deed-domain-claim=abcdefghijklmnopqrstuvwxyz234567\"}}".into() } });
                }
                store.append(ap).await.unwrap();
                n.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while set.join_next().await.is_some() {}
    let s = start.elapsed().as_secs_f64();
    println!("{tasks} tasks: {:.0}/s", n.load(Ordering::Relaxed) as f64 / s);
    store.close().await;
}
