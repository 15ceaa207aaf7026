//! Talks JSON over HTTP to a running server or sandbox.
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;

/// How long an answer is waited for; longer than a server waits at most for a first check.
const DEADLINE: Duration = Duration::from_secs(45);

/// Somebody who answers requests below one address.
pub(crate) struct Remote {
    client: Client,
    base: Url,
    key: Option<String>,
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body; null when it is empty or no JSON.
    pub(crate) body: Value,
    /// How long to wait before asking again, where that was said.
    pub(crate) retry_after: Option<Duration>,
}

impl Remote {
    /// # Errors
    /// When the address is none.
    pub(crate) fn new(base: &str, key: Option<String>) -> Result<Self, Failure> {
        let usage = |why: String| Failure::Usage(format!("`{base}` is no address of a server: {why}"));
        let base_url = Url::parse(base).map_err(|error| usage(error.to_string()))?;
        if base_url.cannot_be_a_base() || !matches!(base_url.scheme(), "http" | "https") {
            return Err(usage("it has to start with http:// or https://".to_owned()));
        }
        // Names of people's domains go to the server they named and nowhere else, so no proxy is looked for.
        let client = Client::builder()
            .timeout(DEADLINE)
            .no_proxy()
            .user_agent(concat!("deed/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::because("cannot speak HTTP", error))?;
        Ok(Self { client, base: base_url, key })
    }

    /// Sends a request to the path made of these segments, whatever characters they have.
    ///
    /// # Errors
    /// When nobody answers.
    pub(crate) async fn send<T: Serialize + ?Sized>(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<&T>,
    ) -> Result<Answer, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let silent =
            |error: reqwest::Error| Failure::unavailable(format!("nobody answers at {}", self.base), error);
        let response = request.send().await.map_err(silent)?;
        let status = response.status();
        let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let text = response.text().await.map_err(silent)?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), retry_after })
    }
}

impl Answer {
    /// The body of a success; anything else in the words of the server.
    ///
    /// # Errors
    /// When the status says so.
    pub(crate) fn success(self) -> Result<Value, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let said = self.body["error"].as_str().or_else(|| self.body["error"]["message"].as_str());
        let said = said.map_or_else(|| format!("the server answered {}", self.status), str::to_owned);
        Err(match self.status.as_u16() {
            404 => Failure::NotFound(said),
            503 => Failure::Unavailable { what: said, source: None },
            _ => Failure::failed(said),
        })
    }
}
