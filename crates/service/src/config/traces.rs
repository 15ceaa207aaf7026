//! The trace receiver, from the section `telemetry`.
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::sections::TelemetrySection;
use super::setting::Secret;
use super::source::Sources;

/// The receiver of spans, and how they are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The URL for `POST` requests with spans.
    pub endpoint: Url,
    headers: Option<Secret>,
    /// The fraction of traces that is kept.
    pub sample_ratio: f64,
    /// The timeout for a batch.
    pub timeout: Duration,
    /// Capacity of the queue of finished spans.
    pub queue: usize,
}

impl Traces {
    /// The headers of each request.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.headers.as_ref().and_then(|headers| headers_of(headers.reveal())).unwrap_or_default()
    }
}

/// The receiver, if one is configured.
pub(super) fn traces(telemetry: &TelemetrySection, sources: &mut Sources) -> Option<Traces> {
    if telemetry.headers.as_ref().is_some_and(|headers| headers_of(headers.reveal()).is_none()) {
        sources.fault_of("telemetry.headers", "expected `name=value`, with commas between, as HTTP has them");
    }
    let endpoint = telemetry.endpoint.as_ref()?;
    match receiver(endpoint) {
        Ok(endpoint) => Some(Traces {
            endpoint,
            headers: telemetry.headers.clone(),
            sample_ratio: telemetry.sample_ratio.get(),
            timeout: telemetry.timeout,
            queue: telemetry.queue,
        }),
        Err(problem) => {
            sources.fault_of("telemetry.endpoint", problem);
            None
        }
    }
}

/// The URL for traces, from the address of the receiver.
fn receiver(address: &str) -> Result<Url, String> {
    let mut url = Url::parse(address).map_err(|error| format!("expected `http://host:4318`: {error}"))?;
    if url.scheme() != "http" {
        let why =
            "this build speaks no TLS: have a collector beside the process take the spans and pass them on";
        return Err(format!("expected `http://…`, got `{}://…`; {why}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no password: put one into `telemetry.headers`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("expected an address without `?` and `#`".to_owned());
    }
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["v1", "traces"]);
    }
    Ok(url)
}

/// None when the text is not a list of valid HTTP headers.
fn headers_of(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            (HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok())
                .then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}
