//! A client of the management interface of RabbitMQ: queue depths and published events.
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// A queue with its depth.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QueueDepth {
    /// Its name.
    pub name: String,
    /// Ready and unacknowledged messages.
    #[serde(default)]
    pub messages: u64,
}

/// An event as a consumer receives it.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedEvent {
    /// The `source` attribute of the message.
    pub source: String,
    /// The position, from the id `evt_…`.
    pub position: i64,
    /// The stream.
    pub stream: String,
    /// The version in the stream.
    pub version: String,
    /// The payload.
    pub data: Value,
}

/// Messages per request.
const AT_A_TIME: usize = 2000;

/// The work queue.
pub const VERIFICATION: &str = "deed.verification";
/// Its dead letters.
pub const DEAD: &str = "deed.verification.dead";

/// The maximum age of figures: twice the collection interval.
const STALE: Duration = Duration::from_secs(12);

impl PublishedEvent {
    fn read(event: &Value) -> Option<Self> {
        let word = |key: &str| Some(event[key].as_str()?.to_owned());
        let position = event["id"].as_str()?.strip_prefix("evt_")?.parse().ok()?;
        let data = event["data"].clone();
        Some(Self {
            source: word("source")?,
            position,
            stream: word("subject")?,
            version: word("streamversion")?,
            data,
        })
    }
}

/// The management interface of one virtual host.
#[derive(Debug, Clone)]
pub struct Management {
    http: reqwest::Client,
    base: reqwest::Url,
    vhost: String,
}

impl Management {
    /// The interface at `http://user:password@host:port`.
    pub fn new(url: &str, vhost: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        let base = url.parse().with_context(|| format!("the management address {url}"))?;
        Ok(Self { http, base, vhost: vhost.to_owned() })
    }

    fn path(&self, words: &[&str]) -> anyhow::Result<reqwest::Url> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("the management address takes no path"))?
            .clear()
            .extend(["api", "queues", &self.vhost])
            .extend(words);
        Ok(url)
    }

    fn request(&self, method: reqwest::Method, words: &[&str]) -> anyhow::Result<reqwest::RequestBuilder> {
        let mut url = self.path(words)?;
        let (user, password) = (url.username().to_owned(), url.password().map(str::to_owned));
        // Credentials are sent in a header.
        url.set_username("")
            .and_then(|()| url.set_password(None))
            .map_err(|()| anyhow::anyhow!("no host"))?;
        Ok(self.http.request(method, url).basic_auth(user, password))
    }

    /// All queues; the figures may be some seconds old.
    pub async fn queues(&self) -> anyhow::Result<Vec<QueueDepth>> {
        let answer = self.request(reqwest::Method::GET, &[])?.send().await?.error_for_status()?;
        answer.json().await.context("the list of queues")
    }

    /// Waits until figures are current: two equal results with enough time between them.
    pub async fn settled(&self) -> anyhow::Result<Vec<QueueDepth>> {
        let mut before = self.queues().await?;
        for _ in 0..5 {
            tokio::time::sleep(STALE / 2).await;
            let now = self.queues().await?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(before)
    }

    /// Consumes a queue that is bound to all events. Due work is not an event and is skipped.
    pub async fn take_published(&self, queue: &str) -> anyhow::Result<Vec<PublishedEvent>> {
        let wanted = json!({ "count": AT_A_TIME, "ackmode": "ack_requeue_false", "encoding": "auto" });
        let mut published = vec![];
        loop {
            let asked = self.request(reqwest::Method::POST, &[queue, "get"])?.json(&wanted);
            let messages: Vec<Value> = asked.send().await?.error_for_status()?.json().await?;
            if messages.is_empty() {
                return Ok(published);
            }
            for message in messages {
                let body = message["payload"].as_str().context("a message has a body")?;
                published.extend(PublishedEvent::read(&serde_json::from_str(body)?));
            }
        }
    }

    /// Drops every message that waits in a queue.
    pub async fn purge(&self, queue: &str) -> anyhow::Result<()> {
        self.request(reqwest::Method::DELETE, &[queue, "contents"])?.send().await?.error_for_status()?;
        Ok(())
    }
}
