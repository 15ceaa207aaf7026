//! `deed dead`: lists, replays and purges dead letters.
use clap::{Args, Subcommand};
use deed_api::dead::view;
use deed_bus::{Bus as _, RabbitMq, Replay};
use deed_service::broker;
use deed_service::config::Settings;
use reqwest::Method;
use serde_json::{Value, json};

use super::healthcheck::reachable;
use crate::client::JsonClient;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::table;

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// List dead letters, oldest first; they stay in the queue
    List {
        /// The maximum number of dead letters
        #[arg(long, short = 'n', default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Move dead letters back to the queue they came from; processing a message twice does no harm
    Replay(Selection),
    /// Delete a dead letter; its claim is checked again as due work
    Purge {
        /// The message id, as printed by `deed dead list`
        id: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Selection {
    /// The message id, as printed by `deed dead list`
    id: Option<String>,
    /// All dead letters
    #[arg(long)]
    all: bool,
}

impl DeadCommand {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings()?;
        let letters = DeadLetterSource::of(&settings).await?;
        let done = self.execute(context, &letters).await;
        letters.close().await;
        done
    }

    async fn execute(self, context: &Context, letters: &DeadLetterSource) -> Result<Exit, Failure> {
        let (word, count) = match self {
            Self::List { limit } => {
                context.output.print(&letters.list(limit).await?, list_text)?;
                return Ok(Exit::Success);
            }
            Self::Replay(Selection { id, .. }) => ("replayed", letters.replay(id.as_deref()).await?),
            Self::Purge { id } => ("purged", letters.purge(&id).await?),
        };
        context.output.print(&json!({ word: count }), |_| format!("{word}: {count}"))?;
        Ok(if count == 0 { Exit::Negative } else { Exit::Success })
    }
}

/// The source of dead letters: the broker, or in embedded mode the operations port of the service.
enum DeadLetterSource {
    Broker(RabbitMq),
    Service(JsonClient),
}

impl DeadLetterSource {
    async fn of(settings: &Settings) -> Result<Self, Failure> {
        if let Some(broker) = broker(settings, "command line")? {
            let patience = settings.config.bus.limits.publish_deadline;
            return match tokio::time::timeout(patience, broker.connected()).await {
                Ok(()) => Ok(Self::Broker(broker)),
                Err(late) => Err(Failure::unavailable("the broker does not answer", late)),
            };
        }
        let at = reachable(settings.config.server.ops_listen);
        Ok(Self::Service(JsonClient::new(&format!("http://{at}"), None)?))
    }

    async fn close(&self) {
        if let Self::Broker(broker) = self {
            broker.close().await;
        }
    }

    async fn list(&self, limit: usize) -> Result<Value, Failure> {
        match self {
            Self::Broker(broker) => {
                let letters = broker.dead_letters().list(limit).await.map_err(bus_unavailable)?;
                Ok(letters.iter().map(view).collect())
            }
            Self::Service(service) => {
                let limit = limit.to_string();
                let query = [("limit", &*limit)];
                let answer = service.send::<()>(Method::GET, &["v1", "dead"], &query, None).await?;
                Ok(answer.success()?["data"].take())
            }
        }
    }

    async fn replay(&self, id: Option<&str>) -> Result<u64, Failure> {
        match self {
            Self::Broker(broker) => {
                let which = id.map_or(Replay::All, |id| Replay::Id(id.to_owned()));
                count_of(broker.dead_letters().replay(which).await)
            }
            Self::Service(service) => {
                let query: Vec<_> = id.map(|id| ("id", id)).into_iter().collect();
                let answer =
                    service.send::<()>(Method::POST, &["v1", "dead", "replay"], &query, None).await?;
                Ok(answer.success()?["replayed"].as_u64().unwrap_or_default())
            }
        }
    }

    async fn purge(&self, id: &str) -> Result<u64, Failure> {
        match self {
            Self::Broker(broker) => count_of(broker.dead_letters().purge(id).await),
            Self::Service(service) => {
                let answer = service.send::<()>(Method::DELETE, &["v1", "dead"], &[("id", id)], None).await?;
                Ok(answer.success()?["purged"].as_u64().unwrap_or_default())
            }
        }
    }
}

fn count_of(done: Result<usize, deed_bus::BusError>) -> Result<u64, Failure> {
    done.map(|count| count as u64).map_err(bus_unavailable)
}

fn bus_unavailable(error: deed_bus::BusError) -> Failure {
    Failure::unavailable("the bus does not answer", error)
}

fn list_text(letters: &Value) -> String {
    let Some(letters) = letters.as_array().filter(|letters| !letters.is_empty()) else {
        return "no dead letters".to_owned();
    };
    let mut rows = vec![["ID", "ROUTING KEY", "SUBJECT", "DELIVERIES", "REASON"].map(str::to_owned).to_vec()];
    rows.extend(letters.iter().map(|letter| {
        // A message may contain arbitrary bytes, so it is escaped for the terminal.
        let text = |value: &Value| value.as_str().unwrap_or_default().escape_debug().to_string();
        vec![
            text(&letter["id"]),
            text(&letter["routingKey"]),
            text(&letter["body"]["subject"]),
            letter["deliveries"].to_string(),
            text(&letter["reason"]),
        ]
    }));
    table(&rows)
}
