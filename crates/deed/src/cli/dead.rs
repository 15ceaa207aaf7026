//! `deed dead`: the messages nobody could do, to be looked at, tried again, or thrown away.
use clap::{Args, Subcommand};
use deed_api::dead::view;
use deed_bus::{Bus as _, RabbitMq, Replay};
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::healthcheck::reachable;
use crate::client::Remote;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::output::table;
use crate::run::broker;

#[derive(Debug, Subcommand)]
pub(super) enum Dead {
    /// The oldest dead letters; they stay where they are
    List {
        /// At most so many
        #[arg(long, short = 'n', default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Put dead letters back to the queue they came from; doing work twice does no harm
    Replay(Which),
    /// Throw dead letters away; their claims are asked for again when due
    Purge {
        /// The message's id, as `deed dead list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// The message's id, as `deed dead list` shows it
    id: Option<String>,
    /// All that are there now
    #[arg(long)]
    all: bool,
}

impl Dead {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings()?;
        let letters = Letters::of(&settings).await?;
        let done = self.act(context, &letters).await;
        letters.close().await;
        done
    }

    async fn act(self, context: &Context, letters: &Letters) -> Result<Exit, Failure> {
        let (word, count) = match self {
            Self::List { limit } => {
                context.output.answer(&letters.list(limit).await?, words)?;
                return Ok(Exit::Success);
            }
            Self::Replay(Which { id, .. }) => ("replayed", letters.replay(id.as_deref()).await?),
            Self::Purge { id } => ("purged", letters.purge(&id).await?),
        };
        context.output.answer(&json!({ word: count }), |_| format!("{word}: {count}"))?;
        Ok(if count == 0 { Exit::Negative } else { Exit::Success })
    }
}

/// Where dead letters are: at the broker, or in the memory of the service, which is asked at its operations port.
enum Letters {
    Broker(RabbitMq),
    Service(Remote),
}

impl Letters {
    async fn of(settings: &Settings) -> Result<Self, Failure> {
        if let Some(broker) = broker(settings, "command line")? {
            let patience = settings.bus.publish_deadline;
            return match tokio::time::timeout(patience, broker.connected()).await {
                Ok(()) => Ok(Self::Broker(broker)),
                Err(late) => Err(Failure::unavailable("the broker does not answer", late)),
            };
        }
        let at = reachable(settings.config.server.ops_listen);
        Ok(Self::Service(Remote::new(&format!("http://{at}"), None)?))
    }

    async fn close(&self) {
        if let Self::Broker(broker) = self {
            broker.close().await;
        }
    }

    async fn list(&self, limit: usize) -> Result<Value, Failure> {
        match self {
            Self::Broker(broker) => {
                let letters = broker.dead_letters().list(limit).await.map_err(unanswered)?;
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
                counted(broker.dead_letters().replay(which).await)
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
            Self::Broker(broker) => counted(broker.dead_letters().purge(id).await),
            Self::Service(service) => {
                let answer = service.send::<()>(Method::DELETE, &["v1", "dead"], &[("id", id)], None).await?;
                Ok(answer.success()?["purged"].as_u64().unwrap_or_default())
            }
        }
    }
}

fn counted(done: Result<usize, deed_bus::BusError>) -> Result<u64, Failure> {
    done.map(|count| count as u64).map_err(unanswered)
}

fn unanswered(error: deed_bus::BusError) -> Failure {
    Failure::unavailable("the bus does not answer", error)
}

fn words(letters: &Value) -> String {
    let Some(letters) = letters.as_array().filter(|letters| !letters.is_empty()) else {
        return "no dead letters".to_owned();
    };
    let mut rows = vec![["ID", "ROUTING KEY", "SUBJECT", "DELIVERIES", "REASON"].map(str::to_owned).to_vec()];
    rows.extend(letters.iter().map(|letter| {
        // What a message says may be anybody's bytes, and this is a terminal.
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
