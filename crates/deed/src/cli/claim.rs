//! `deed claim`: claims a domain at a running service and, with `--wait`, polls until the claim is decided.
use std::time::Duration;

use clap::Args;
use deed_claims::{Clock as _, Status};
use deed_store::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{JsonClient, JsonResponse};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::print_line;

/// The interval between two polls.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest interval, whatever `Retry-After` says.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Claim a domain at a running service
///
/// Prints the DNS record to publish. With --wait, requests verification and polls the claim: exit code 0 when
/// the name is verified, 3 when the claim ended otherwise or the time ran out.
#[derive(Debug, Args)]
pub(super) struct Claim {
    /// The domain, or any name under it
    domain: String,
    /// Request verification and wait until the claim is decided
    #[arg(long)]
    wait: bool,
    /// Wait at most this long, such as 10m [default: until the deadline of the claim]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION", requires = "wait")]
    timeout: Option<Duration>,
    /// The URL of the service
    #[arg(long, env = "DEED_URL", hide_env_values = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The API key of the workspace
    #[arg(long, env = "DEED_KEY", hide_env_values = true)]
    key: String,
}

impl Claim {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let remote = JsonClient::new(&self.url, Some(self.key.clone()))?;
        let body = json!({ "domain": self.domain });
        let made = remote.send(Method::POST, &["v1", "domains", "claims"], &[], Some(&body)).await?;
        let claim = claim_of(made)?;
        // JSON output is a single object: the last state.
        if !(self.wait && context.output.is_json()) {
            context.output.print(&claim, record)?;
        }
        if !self.wait {
            return Ok(Exit::Success);
        }
        let result = self.follow(&remote, &claim, context).await?;
        context.output.print(&result, status_line)?;
        Ok(if result["status"] == "verified" { Exit::Success } else { Exit::Negative })
    }

    async fn follow(&self, remote: &JsonClient, claim: &Value, context: &Context) -> Result<Value, Failure> {
        let path = ["v1", "domains", "claims", self.domain.as_str()];
        let until = Instant::now() + self.timeout.unwrap_or_else(|| time_left(claim));
        let verify = [&path[..], &["verify"]].concat();
        let mut response = remote.send::<()>(Method::POST, &verify, &[], None).await?;
        let mut printed = String::new();
        loop {
            let pause = match response.status.as_u16() {
                // Rate limited, or a server that is being replaced: neither says anything about the claim.
                429 | 503 => response.retry_after.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE),
                _ => {
                    let seen = claim_of(response)?;
                    let status: Option<Status> = seen["status"].as_str().and_then(|s| s.parse().ok());
                    let status_line = status_line(&seen);
                    if !context.output.is_json() && status_line != printed {
                        print_line(&status_line)?;
                        printed = status_line;
                    }
                    let decided = status.is_some_and(|s| s.is_over() || s == Status::Verified);
                    if decided || Instant::now() >= until {
                        return Ok(seen);
                    }
                    PAUSE
                }
            };
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            response = remote.send::<()>(Method::GET, &path, &[], None).await?;
        }
    }
}

/// The claim in the envelope of a response.
fn claim_of(answer: JsonResponse) -> Result<Value, Failure> {
    let mut body = answer.success()?;
    match body["data"].take() {
        data @ Value::Object(_) => Ok(data),
        _ => Err(Failure::failed("that is no Deed service: its answer holds no claim")),
    }
}

/// The time until the deadline of the claim, plus a margin to see it end.
fn time_left(claim: &Value) -> Duration {
    let expires = claim["expiresAt"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
    let left = expires.and_then(|at| (at.to_utc() - SystemClock.now()).to_std().ok());
    left.unwrap_or_default() + LONGEST_PAUSE
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn record(claim: &Value) -> String {
    let record = &claim["record"];
    format!(
        "{}\n\n  {}  {}  \"{}\"\n",
        text(claim, "message"),
        text(record, "name"),
        text(record, "type"),
        text(record, "value")
    )
}

fn status_line(claim: &Value) -> String {
    let name = text(claim, "rootDomain");
    let status = text(claim, "status");
    match claim["diagnosis"].as_object() {
        Some(d) if status != "verified" => {
            let part = |field: &str| d.get(field).and_then(Value::as_str).unwrap_or_default();
            format!("{name}: {status} ({}). {} {}", part("code"), part("message"), part("fix"))
        }
        _ => format!("{name}: {status}"),
    }
}
