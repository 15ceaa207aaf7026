//! A client of the management interface (HTTP), which is faster than `rabbitmqctl`.
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::TIMEOUT;
use crate::eventually;

/// A client of the management interface of a broker.
#[derive(Debug, Clone)]
pub(super) struct Management {
    url: String,
    base: String,
    user: String,
    password: String,
}

impl Management {
    /// Takes `http://user:password@host:port`.
    pub fn new(url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        let plain = url.strip_prefix("http://").expect("a management address starts with http://");
        let (credentials, host) = plain.rsplit_once('@').unwrap_or(("guest:guest", plain));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let base = format!("http://{host}/api/");
        Self { base, user: user.to_owned(), password: password.to_owned(), url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let request = Client::new()
            .request(method, format!("{}{path}", self.base))
            .basic_auth(&self.user, Some(&self.password))
            .timeout(timeout);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Calls until there is a response: right after a start the interface is not up yet.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        eventually("the management interface", TIMEOUT, async || {
            self.request(method.clone(), path, body.as_ref(), TIMEOUT).await.ok()
        })
        .await
    }

    /// Calls once and ignores the result.
    pub async fn call_once(&self, method: Method, path: &str) {
        let _ = self.request(method, path, None, Duration::from_secs(5)).await;
    }
}
