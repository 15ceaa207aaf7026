//! `checker`: says whether the server mode kept what it promised, from the database, the broker and two journals alone.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use deed_drill::checker::{Database, Evidence, Heard, Management, Queue, Snapshot, check, rebuild, snapshot};
use deed_drill::journal;

/// Reads what is left after a drill and says what is wrong with it. Exit codes: 0 nothing, 1 something, 2 it could not be
/// looked at.
#[derive(Debug, Parser)]
struct Options {
    /// The database, `postgres://…`, or a SQLite file
    #[arg(long)]
    database: String,
    /// The broker's management interface, `http://user:password@host:port`; without it no broker is looked at
    #[arg(long)]
    management: Option<String>,
    /// The broker's virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// The queue that has listened to all events; without it what was published is not looked at
    #[arg(long)]
    spy: Option<String>,
    /// Whose events are looked at, by the `source` of their messages; by default everybody's
    #[arg(long)]
    source: Option<String>,
    /// What stands up to here in the log was published before the queue listened
    #[arg(long, default_value_t = 0)]
    heard_after: i64,
    /// Messages may leave out fields that an older version did not know
    #[arg(long)]
    thinned: bool,
    /// The DNS server's journal
    #[arg(long)]
    dns: PathBuf,
    /// The journal of what was acknowledged
    #[arg(long)]
    acknowledged: PathBuf,
    /// The service's `dispatcher.visibility`, in milliseconds
    #[arg(long, default_value_t = 30_000)]
    visibility_ms: i64,
    /// The executable that rebuilds the read models, configured by the environment; without it nothing is rebuilt
    #[arg(long)]
    deed: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the checker could not look: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> anyhow::Result<bool> {
    let (queues, heard) = of_broker(&options).await?;
    let taken = taken(&options.database).await?;
    let mut evidence = Evidence {
        log: taken.log,
        views: taken.views,
        rebuilt: None,
        taken_at: taken.taken_at,
        queues,
        heard,
        heard_after: options.heard_after,
        thinned: options.thinned,
        dns: journal::read(&options.dns)?,
        acknowledged: journal::read(&options.acknowledged)?,
        visibility: options.visibility_ms * 1000,
    };
    if let Some(deed) = &options.deed {
        rebuild(deed).await?;
        evidence.rebuilt = Some(self::taken(&options.database).await?.views);
    }
    let report = check(&evidence);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.table());
    }
    Ok(report.pass)
}

/// Everything in the database at one moment.
async fn taken(database: &str) -> anyhow::Result<Snapshot> {
    if database.contains("://") {
        Database::connect(database).await?.snapshot().await
    } else {
        snapshot(database.as_ref()).await
    }
}

/// What waits at the broker, and what was published.
async fn of_broker(options: &Options) -> anyhow::Result<(Option<Vec<Queue>>, Option<Vec<Heard>>)> {
    let Some(url) = &options.management else { return Ok((None, None)) };
    let management = Management::new(url, &options.vhost)?;
    let queues = management.settled().await.context("asking the broker")?;
    let heard = match &options.spy {
        Some(queue) => Some(management.heard(queue).await.context("reading what was published")?),
        None => None,
    };
    let wanted = |heard: &Heard| options.source.as_ref().is_none_or(|source| heard.source == *source);
    Ok((Some(queues), heard.map(|heard| heard.into_iter().filter(wanted).collect())))
}
