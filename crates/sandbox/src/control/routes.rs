//! What each control request does.

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::request::{QueryFilter, Refusal, body, segments};
use super::types::{Endpoint, Index};
use crate::zones::Zones;

type Answer = Response<Full<Bytes>>;

/// Carries the request out. Every request gets an answer, every failure a body that says why.
pub(super) async fn respond(zones: &Zones, dns: SocketAddr, request: Request<Incoming>) -> Answer {
    match route(zones, dns, request).await {
        Ok(answer) => answer,
        Err(refusal) => json(refusal.status, &refusal.body),
    }
}

async fn route(zones: &Zones, dns: SocketAddr, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let (head, incoming) = request.into_parts();
    let path = segments(head.uri.path())?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let answer = match (head.method.as_str(), path.as_slice()) {
        ("GET", []) => ok(&index(dns)),
        ("GET", ["zones"]) => ok(&zones.zones()),
        ("PUT", ["zones", zone]) => ok(&zones.put_zone(zone, &body(incoming).await?)?),
        ("DELETE", ["zones", zone]) => gone(zones.delete_zone(zone)?)?,
        ("GET", ["records"]) => ok(&zones.records()),
        ("PUT", ["records", name, kind]) => ok(&zones.put_records(name, kind, &body(incoming).await?)?),
        ("POST", ["records", name, kind]) => ok(&zones.add_records(name, kind, &body(incoming).await?)?),
        ("DELETE", ["records", name, kind]) => gone(zones.delete_records(name, kind)?)?,
        ("GET", ["faults"]) => ok(&zones.faults()),
        ("PUT", ["faults", name]) => ok(&zones.put_fault(name, &body(incoming).await?)?),
        ("DELETE", ["faults", name]) => gone(zones.delete_fault(name)?)?,
        ("DELETE", ["faults"]) => {
            zones.delete_faults();
            empty(StatusCode::NO_CONTENT)
        }
        ("GET", ["queries"]) => {
            let filter = QueryFilter::parse(head.uri.query())?;
            ok(&zones.queries(filter.name.as_deref(), filter.after))
        }
        ("POST", ["reset"]) => {
            zones.reset();
            empty(StatusCode::NO_CONTENT)
        }
        (_, path) => return other(&head.method, path),
    };
    Ok(answer)
}

/// A path that is known, but not with this method, or not known at all.
fn other(method: &Method, path: &[&str]) -> Result<Answer, Refusal> {
    let allow = match path {
        [] | ["zones" | "records" | "queries"] => "GET",
        ["zones" | "faults", _] => "PUT, DELETE",
        ["faults"] => "GET, DELETE",
        ["records", _, _] => "PUT, POST, DELETE",
        ["reset"] => "POST",
        _ => {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is nothing here; GET / lists what there is",
            ));
        }
    };
    let refusal =
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not possible here, but {allow}"));
    let mut answer = json(refusal.status, &refusal.body);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    Ok(answer)
}

fn index(dns: SocketAddr) -> Index {
    let endpoint = |request: &str, body: Option<&str>, what: &str| Endpoint {
        request: request.to_owned(),
        body: body.map(str::to_owned),
        what: what.to_owned(),
    };
    let zone = Some(r#"{"soa_minimum": 5, "ns": ["ns1.acme.com"]}, both optional"#);
    let records = Some(r#"{"values": ["…"], "ttl": 5}, or for TXT {"strings": [["…", "…"]]}"#);
    let fault = Some(
        r#"{"fault": "nxdomain|servfail|refused|formerr|drop|delay|truncate|truncate_always|wrong_id|not_authoritative|tcp_refuse", "ms": 100 (delay), "transport": "udp|tcp|both", "type": "TXT"}"#,
    );
    let endpoints = vec![
        endpoint("GET /zones", None, "the zones that are stored"),
        endpoint("PUT /zones/{zone}", zone, "makes or changes a zone; in paths @ is the root"),
        endpoint("DELETE /zones/{zone}", None, "removes a zone and its records"),
        endpoint("GET /records", None, "all record sets"),
        endpoint("PUT /records/{name}/{type}", records, "replaces a record set"),
        endpoint("POST /records/{name}/{type}", records, "adds to a record set"),
        endpoint("DELETE /records/{name}/{type}", None, "removes a record set"),
        endpoint("GET /faults", None, "the faults that are set"),
        endpoint("PUT /faults/{name}", fault, "spoils answers; *.name is everything below, *. everything"),
        endpoint("DELETE /faults/{name}", None, "ends the faults set for this name or pattern"),
        endpoint("DELETE /faults", None, "ends all faults"),
        endpoint("GET /queries?name=&after=", None, "the latest questions, oldest first"),
        endpoint("POST /reset", None, "forgets zones, records, faults and questions"),
    ];
    Index { dns, endpoints }
}

fn gone(there_was_one: bool) -> Result<Answer, Refusal> {
    if there_was_one {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "there was none"))
}

fn ok<T: Serialize>(value: &T) -> Answer {
    json(StatusCode::OK, value)
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let Ok(text) = serde_json::to_vec(value) else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
