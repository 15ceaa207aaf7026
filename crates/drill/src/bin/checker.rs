//! `checker`: verifies what the server mode promised, from the database, the broker and two journals alone.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use deed_drill::checker::{
    DatabaseConnection, Evidence, Management, PublishedEvent, QueueDepth, Snapshot, check, rebuild, snapshot,
};
use deed_drill::journal;

/// Checks the state after a drill. Exit codes: 0 all properties hold, 1 a property is violated, 2 the check
/// itself failed.
#[derive(Debug, Parser)]
struct Options {
    /// The database, `postgres://…`, or a SQLite file
    #[arg(long)]
    database: String,
    /// The URL of the management interface, `http://user:password@host:port`; without it the broker is not
    /// checked
    #[arg(long)]
    management: Option<String>,
    /// The broker's virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// The queue bound to all events; without it published events are not checked
    #[arg(long)]
    spy: Option<String>,
    /// Only events with this `source`; by default all
    #[arg(long)]
    source: Option<String>,
    /// Events up to this position were published before the queue was bound
    #[arg(long, default_value_t = 0)]
    heard_after: i64,
    /// Messages may leave out fields that an older version did not know
    #[arg(long)]
    thinned: bool,
    /// The DNS server's journal
    #[arg(long)]
    dns: PathBuf,
    /// The journal of acknowledgements
    #[arg(long)]
    acknowledged: PathBuf,
    /// The service's `dispatcher.visibility`, in milliseconds
    #[arg(long, default_value_t = 30_000)]
    visibility_ms: i64,
    /// The executable that rebuilds the read models, configured by the environment; without it nothing is
    /// rebuilt
    #[arg(long)]
    deed: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the check failed: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> anyhow::Result<bool> {
    let (queues, published) = of_broker(&options).await?;
    let taken = taken(&options.database).await?;
    let mut evidence = Evidence {
        log: taken.log,
        views: taken.views,
        rebuilt: None,
        taken_at: taken.taken_at,
        queues,
        published,
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

/// A snapshot of the database.
async fn taken(database: &str) -> anyhow::Result<Snapshot> {
    if database.contains("://") {
        DatabaseConnection::connect(database).await?.snapshot().await
    } else {
        snapshot(database.as_ref()).await
    }
}

/// The queues of the broker, and the published events.
async fn of_broker(
    options: &Options,
) -> anyhow::Result<(Option<Vec<QueueDepth>>, Option<Vec<PublishedEvent>>)> {
    let Some(url) = &options.management else { return Ok((None, None)) };
    let management = Management::new(url, &options.vhost)?;
    let queues = management.settled().await.context("asking the broker")?;
    let published = match &options.spy {
        Some(queue) => Some(management.take_published(queue).await.context("reading what was published")?),
        None => None,
    };
    let wanted =
        |published: &PublishedEvent| options.source.as_ref().is_none_or(|source| published.source == *source);
    Ok((Some(queues), published.map(|published| published.into_iter().filter(wanted).collect())))
}
