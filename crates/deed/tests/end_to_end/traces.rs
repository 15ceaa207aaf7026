//! The trace of one claim through all roles, and receivers that fail.
use std::net::Ipv4Addr;

use serde_json::json;

use crate::harness::{Dev, Mode, claim, eventually};
use crate::receiver::{Behaviour, Receiver, Span};

/// The trace and the span of the caller.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const VERIFY: &str = "/v1/domains/claims/acme.com/verify";

/// Requests verification within the trace of the caller; returns `traceparent` of the response.
async fn verify(dev: &Dev) -> String {
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("{}{VERIFY}", dev.url("api")))
        .bearer_auth(dev.key("ws_acme"))
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .header("tracestate", "congo=t61rcWkgMzE")
        .header("x-request-id", "mine-1")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    answer.headers()["traceparent"].to_str().unwrap().to_owned()
}

/// The only span that matches.
fn only<'a>(what: &str, spans: &'a [Span], is_it: impl Fn(&Span) -> bool) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| is_it(span)).collect();
    assert_eq!(found.len(), 1, "{what} among {spans:#?}");
    found[0]
}

fn children<'a>(spans: &'a [Span], parent: &Span, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.parent == parent.id && span.name == name).collect()
}

async fn claim_is_one_trace_with_later_links(mode: Mode) {
    let receiver = Receiver::start(Behaviour::Accepts);
    let variables = [
        ("DEED__TELEMETRY__ENDPOINT", &*receiver.endpoint()),
        ("DEED__TELEMETRY__HEADERS", "x-key=open sesame"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let dev = Dev::start_in(mode, None, &variables).await;
    let (name, value) = claim(&dev, "ws_acme", "acme.com").await;
    let traceparent = verify(&dev).await;
    dev.publish(&name, &[&value]);
    dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["status"] == "verified").await;
    let done = |span: &Span| span.name == "batch.fold" && span.links.iter().any(|link| link == TRACE);
    let second = |span: &Span| span.attribute("deed.check.outcome") == "proven";
    eventually("all spans are there", async || {
        let spans = receiver.spans();
        let checked = spans.iter().any(|s| s.trace == TRACE && s.name == "message.process");
        checked && spans.iter().any(done) && spans.iter().any(second)
    })
    .await;
    // A store query outside of any trace.
    assert_eq!(dev.ops("/v1/tls/ask?domain=search.acme.com").await.0, 404);
    dev.stop();
    let spans = receiver.spans();

    let database = if mode == Mode::Embedded { "sqlite" } else { "postgresql" };
    let request = only("the request", &spans, |s| s.trace == TRACE && s.name == "request.serve");
    assert_eq!(traceparent, format!("00-{TRACE}-{}-01", request.id));
    assert_request(&spans, request, database);
    let system = if mode == Mode::Embedded { "in_process" } else { "rabbitmq" };
    let process = assert_message(&spans, request, system);
    let later = only("the second look", &spans, second);
    assert_later_check(&spans, later);
    let fold = spans.iter().find(|span| done(span)).unwrap();
    assert!(fold.trace != TRACE && fold.parent.is_empty());
    assert_eq!(children(&spans, fold, "models.apply")[0].attribute("db.system.name"), database);
    let token = value.rsplit('=').next().unwrap();
    for span in &spans {
        assert_resource_and_privacy(span, token);
    }
    let instance = |span: &Span| span.resource["service.instance.id"].clone();
    assert_eq!(instance(request) == instance(process), mode == Mode::Embedded);
    assert_eq!(instance(request) == instance(fold), mode == Mode::Embedded);
    assert!(
        receiver.keys().iter().all(|key| key == "open sesame")
            && receiver.keys().len() == receiver.requests()
    );
}

/// Asserts the span of the request, and its append.
fn assert_request(spans: &[Span], request: &Span, database: &str) {
    assert_eq!(
        (&*request.parent, request.kind, &*request.state),
        (CALLER, "SPAN_KIND_SERVER", "congo=t61rcWkgMzE")
    );
    for (attribute, wanted) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/domains/claims/{domain}/verify"),
        ("http.response.status_code", "202"),
        ("url.scheme", "http"),
        ("request_id", "mine-1"),
    ] {
        assert_eq!(request.attribute(attribute), wanted, "{attribute}");
    }
    let append = children(spans, request, "log.append");
    assert_eq!(append[0].kind, "SPAN_KIND_CLIENT");
    assert_eq!(append[0].attribute("db.system.name"), database);
    assert_eq!(append[0].attribute("db.operation.name"), "append");
}

/// Asserts the spans of the message and of the check that follows from it; returns the latter.
fn assert_message<'a>(spans: &'a [Span], request: &Span, system: &str) -> &'a Span {
    let publish = children(spans, request, "message.publish")[0];
    assert_eq!((publish.kind, publish.failed), ("SPAN_KIND_PRODUCER", false));
    assert_eq!(publish.attribute("messaging.system"), system);
    assert_eq!(publish.attribute("messaging.operation.type"), "send");
    assert_eq!(publish.attribute("messaging.destination.name"), "deed.events");
    let process = children(spans, publish, "message.process")[0];
    assert_eq!((process.kind, &*process.trace), ("SPAN_KIND_CONSUMER", TRACE));
    assert_eq!(process.attribute("messaging.operation.type"), "process");
    assert_eq!(process.attribute("messaging.destination.name"), "deed.verification");
    assert_eq!(process.attribute("messaging.message.id"), publish.attribute("messaging.message.id"));
    assert_eq!(process.attribute("claim"), request.attribute("claim"));
    assert_eq!(process.attribute("deed.check.code"), "record_not_found");
    // A missing record is a result, not an error.
    assert!(!process.failed && process.links.is_empty(), "{process:#?}");
    for name in ["stream.read", "dns.probe", "log.append"] {
        assert!(!children(spans, process, name).is_empty(), "no {name} below {process:#?} among {spans:#?}");
    }
    // The events of the check are published within the same trace.
    assert!(!children(spans, process, "message.publish").is_empty());
    process
}

/// Asserts that a later check has its own trace, with a link to the first one.
fn assert_later_check(spans: &[Span], later: &Span) {
    assert_ne!(later.trace, TRACE);
    assert_eq!(later.links, [TRACE], "{later:#?}");
    let dispatch = only("its dispatch", spans, |s| s.id == later.parent);
    assert_eq!(
        (&*dispatch.name, &*dispatch.parent, dispatch.kind),
        ("message.publish", "", "SPAN_KIND_PRODUCER")
    );
}

fn assert_resource_and_privacy(span: &Span, token: &str) {
    assert_eq!(span.resource["service.name"], "deed");
    assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(span.resource["deployment.environment.name"], "test");
    // A store query without a parent starts no trace.
    assert!(!(span.parent.is_empty() && span.kind == "SPAN_KIND_CLIENT"), "{span:#?}");
    // Spans contain neither names nor tokens.
    let text = format!("{span:?}");
    assert!(!text.contains("acme.com") && !text.contains(token), "{text}");
}

in_both_modes!(claim_is_one_trace_with_later_links);

/// The value of a metric without labels.
async fn metric(dev: &Dev, name: &str) -> u64 {
    let (_, text) = dev.ops("/metrics").await;
    let line =
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The service works; spans are dropped and counted, and one line says why.
async fn works_without_the_receiver(endpoint: &str) {
    let variables = [
        ("DEED__TELEMETRY__ENDPOINT", endpoint),
        ("DEED__TELEMETRY__QUEUE", "1"),
        ("DEED__TELEMETRY__TIMEOUT", "2s"),
    ];
    let mut dev = Dev::start_in(Mode::Embedded, None, &variables).await;
    let (name, value) = claim(&dev, "ws_acme", "acme.com").await;
    dev.publish(&name, &[&value]);
    dev.post("ws_acme", VERIFY, json!({})).await;
    dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["status"] == "verified").await;
    eventually("spans are dropped", async || {
        // Requests still work.
        assert_eq!(dev.get("ws_acme", "/v1/domains/acme.com").await.0, 200);
        metric(&dev, "deed_trace_spans_dropped_total").await > 20
    })
    .await;
    assert_eq!(metric(&dev, "deed_trace_spans_exported_total").await, 0);
    dev.signal("TERM");
    let (status, errors) = dev.ended();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(errors.matches("the receiver takes no spans").count(), 1, "{errors}");
}

#[tokio::test]
async fn tolerates_a_receiver_that_is_down() {
    let port = deed_testkit::free_port(&[Ipv4Addr::LOCALHOST]);
    works_without_the_receiver(&format!("http://127.0.0.1:{port}")).await;
}

#[tokio::test]
async fn tolerates_a_receiver_that_refuses() {
    let receiver = Receiver::start(Behaviour::Refuses);
    works_without_the_receiver(&receiver.endpoint()).await;
    assert!(receiver.requests() > 0);
}

#[tokio::test]
async fn tolerates_a_receiver_that_stalls() {
    let receiver = Receiver::start(Behaviour::Stalls);
    works_without_the_receiver(&receiver.endpoint()).await;
    assert!(receiver.requests() > 0);
}
