//! `deed migrate`: brings the store's tables up to date, apart from any start of the service.
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::run::open_store;

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings()?;
    // Opening brings the tables up to date, or says why it cannot.
    open_store(&settings).await?.close().await?;
    let path = settings.database.display().to_string();
    context.output.answer(&json!({ "ok": true, "path": path }), |_| format!("{path} is up to date"))?;
    Ok(Exit::Success)
}
