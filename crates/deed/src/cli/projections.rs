//! `deed projections`: shows the lag of the subscriptions, or rebuilds the read models.
use std::sync::Arc;

use clap::Subcommand;
use deed_api::relay::RELAY;
use deed_claims::Clock;
use deed_projector::{
    IfHeld, Projector, ProjectorMetrics, READ_MODELS, REBUILD_BATCH, RebuildConfig, rebuild,
};
use deed_service::config::Settings;
use deed_service::{Store, owner, stop_signal};
use deed_store::SystemClock;
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::table;

#[derive(Debug, Subcommand)]
pub(super) enum Projections {
    /// Show the checkpoint of each subscription, and the amount of due work
    Status,
    /// Rebuild the read models from the log, while the service runs
    Rebuild,
}

impl Projections {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings()?;
        let store = Store::open_existing(&settings).await?;
        let done = match self {
            Self::Status => status(context, &store).await,
            Self::Rebuild => rebuild_read_models(context, &settings, &store).await,
        };
        store.close().await?;
        done
    }
}

async fn status(context: &Context, store: &Store) -> Result<Exit, Failure> {
    let last = store.log.last_position().await?;
    let mut subscriptions = vec![];
    for name in [READ_MODELS, RELAY] {
        let at = store.checkpoints.checkpoint(name).await?;
        subscriptions.push(json!({ "name": name, "checkpoint": at, "behind": last.0.saturating_sub(at.0) }));
    }
    let due = store.due.overdue(SystemClock.now()).await?;
    let answer = json!({
        "lastPosition": last,
        "subscriptions": subscriptions,
        "dueWork": { "waiting": due.waiting, "overdue": due.overdue, "oldest": due.oldest },
    });
    context.output.print(&answer, status_text)?;
    Ok(Exit::Success)
}

fn status_text(answer: &Value) -> String {
    let mut rows = vec![["SUBSCRIPTION", "CHECKPOINT", "BEHIND"].map(str::to_owned).to_vec()];
    rows.extend(answer["subscriptions"].as_array().into_iter().flatten().map(|s| {
        let name = s["name"].as_str().unwrap_or_default().to_owned();
        vec![name, s["checkpoint"].to_string(), s["behind"].to_string()]
    }));
    let due = &answer["dueWork"];
    let oldest = due["oldest"].as_str().map(|at| format!(", the oldest since {at}")).unwrap_or_default();
    format!(
        "the log ends at position {}\n\n{}\n\ndue work: {} rows, {} overdue{oldest}",
        answer["lastPosition"],
        table(&rows),
        due["waiting"],
        due["overdue"]
    )
}

async fn rebuild_read_models(context: &Context, settings: &Settings, store: &Store) -> Result<Exit, Failure> {
    let registry = prometheus::Registry::new();
    let metrics =
        ProjectorMetrics::register(&registry).map_err(|e| Failure::with_source("metrics clash", e))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut projector =
        Projector::new(store.read_models.clone(), settings.config.dispatcher.visibility, metrics);
    let config = RebuildConfig {
        owner: owner(),
        batch: REBUILD_BATCH,
        lease_ttl: settings.config.subscriptions.lease_ttl,
        if_held: IfHeld::TakeOver,
    };
    let stop = stop_signal()?;
    let rebuilt = rebuild(&*store.log, &store.checkpoints, &clock, &mut projector, &config, &stop)
        .await
        .map_err(|error| Failure::with_source("the rebuild was broken off", error))?;
    let digest = store.read_models.digest().await?;
    let answer = json!({ "foldedTo": rebuilt.to, "digest": digest });
    context.output.print(&answer, |_| format!("folded anew up to position {}", rebuilt.to))?;
    Ok(Exit::Success)
}
