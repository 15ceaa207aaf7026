//! HTTP client for the JSON interfaces of a running server or sandbox.
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;

/// Timeout of a request; longer than the longest time for which a server waits for a first check.
const DEADLINE: Duration = Duration::from_secs(45);

/// A client of one base URL.
pub(crate) struct JsonClient {
    client: Client,
    base: Url,
    key: Option<String>,
}

/// A response of any status.
pub(crate) struct JsonResponse {
    pub(crate) status: StatusCode,
    /// The body; null when it is empty or not JSON.
    pub(crate) body: Value,
    /// The value of `Retry-After`, if present.
    pub(crate) retry_after: Option<Duration>,
}

impl JsonClient {
    /// # Errors
    /// When the address is not an HTTP URL.
    pub(crate) fn new(base: &str, key: Option<String>) -> Result<Self, Failure> {
        let usage = |why: String| Failure::Usage(format!("`{base}` is no address of a server: {why}"));
        let base_url = Url::parse(base).map_err(|error| usage(error.to_string()))?;
        if base_url.cannot_be_a_base() || !matches!(base_url.scheme(), "http" | "https") {
            return Err(usage("it has to start with http:// or https://".to_owned()));
        }
        // Domain names go only to the server that the user named, so proxy variables are ignored.
        let client = Client::builder()
            .timeout(DEADLINE)
            .no_proxy()
            .user_agent(concat!("deed/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::with_source("cannot speak HTTP", error))?;
        Ok(Self { client, base: base_url, key })
    }

    /// Sends a request to the path of these segments, which are percent-encoded.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn send<T: Serialize + ?Sized>(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<&T>,
    ) -> Result<JsonResponse, Failure> {
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
        let no_response =
            |error: reqwest::Error| Failure::unavailable(format!("nobody answers at {}", self.base), error);
        let response = request.send().await.map_err(no_response)?;
        let status = response.status();
        let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let text = response.text().await.map_err(no_response)?;
        Ok(JsonResponse { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), retry_after })
    }
}

impl JsonResponse {
    /// The body of a success; otherwise an error with the message of the server.
    ///
    /// # Errors
    /// When the status is not a success.
    pub(crate) fn success(self) -> Result<Value, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let message = self.body["error"].as_str().or_else(|| self.body["error"]["message"].as_str());
        let message = message.map_or_else(|| format!("the server answered {}", self.status), str::to_owned);
        Err(match self.status.as_u16() {
            404 => Failure::NotFound(message),
            503 => Failure::Unavailable { what: message, source: None },
            _ => Failure::failed(message),
        })
    }
}
