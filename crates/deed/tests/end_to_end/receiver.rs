//! An OTLP receiver of spans (HTTP, protobuf) with configurable faults.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The behaviour of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Accepts spans.
    Accepts,
    /// Answers 500.
    Refuses,
    /// Reads the request and never answers.
    Stalls,
}

/// A received span.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty for a root span.
    pub parent: String,
    pub state: String,
    pub name: String,
    /// `SPAN_KIND_SERVER` and the like.
    pub kind: &'static str,
    pub attributes: BTreeMap<String, String>,
    /// The trace ids of its links.
    pub links: Vec<String>,
    /// Whether its status is an error.
    pub failed: bool,
    /// The resource attributes.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    requests: usize,
    headers: Vec<String>,
}

/// A receiver on a thread of its own, because tests block while they wait for processes.
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    stop: CancellationToken,
}

impl Receiver {
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket for tokio");
        let (received, stop) = (Arc::new(Mutex::new(Received::default())), CancellationToken::new());
        let (taking, stopped) = (Arc::clone(&received), stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        thread::spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(listen(listener, behaviour, taking)))
        });
        Self { address, received, stop }
    }

    /// The value of `telemetry.endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.received.lock().expect("no panic").spans.clone()
    }

    /// The number of requests.
    pub fn requests(&self) -> usize {
        self.received.lock().expect("no panic").requests
    }

    /// The values of the header `x-key`.
    pub fn keys(&self) -> Vec<String> {
        self.received.lock().expect("no panic").headers.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(listener: std::net::TcpListener, behaviour: Behaviour, received: Arc<Mutex<Received>>) {
    let listener = TcpListener::from_std(listener).expect("a socket for tokio");
    while let Ok((stream, _)) = listener.accept().await {
        let received = Arc::clone(&received);
        let service = service_fn(move |request| take(request, behaviour, Arc::clone(&received)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn take(
    request: Request<Incoming>,
    behaviour: Behaviour,
    received: Arc<Mutex<Received>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let key = request.headers().get("x-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    let message = ExportTraceServiceRequest::decode(body).expect("spans in protobuf");
    {
        let mut received = received.lock().expect("no panic");
        received.requests += 1;
        received.headers.extend(key);
        if behaviour == Behaviour::Accepts {
            received.spans.extend(spans(&message));
        }
    }
    if behaviour == Behaviour::Stalls {
        std::future::pending::<()>().await;
    }
    let status = if behaviour == Behaviour::Refuses { 500 } else { 200 };
    Ok(Response::builder().status(status).body(Full::default()).expect("an answer"))
}

fn spans(message: &ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = vec![];
    for whole in &message.resource_spans {
        let resource = whole.resource.as_ref().map(|r| texts(&r.attributes)).unwrap_or_default();
        for span in whole.scope_spans.iter().flat_map(|scope| &scope.spans) {
            spans.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state.clone(),
                name: span.name.clone(),
                kind: span.kind().as_str_name(),
                attributes: texts(&span.attributes),
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                failed: span.status.as_ref().is_some_and(|status| status.code == 2),
                resource: resource.clone(),
            });
        }
    }
    spans
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
