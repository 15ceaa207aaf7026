//! `deed migrate`: migrates the tables of the store without starting the service.
use deed_service::{Migrated, migrate};
use serde_json::json;

use crate::context::Context;
use crate::exit::{Exit, Failure};

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings()?;
    let Migrated { place, change } = migrate(&settings).await?;
    let mut answer = json!({ "ok": true, "path": place });
    if let Some((from, to)) = change {
        answer["from"] = json!(from);
        answer["to"] = json!(to);
    }
    context.output.print(&answer, |_| match change {
        Some((from, to)) if from != Some(to) => {
            let from = from.map_or_else(|| "no tables".to_owned(), |from| format!("version {from}"));
            format!("{place}: from {from} to version {to}")
        }
        _ => format!("{place} is up to date"),
    })?;
    Ok(Exit::Success)
}
