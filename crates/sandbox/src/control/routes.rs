//! The routes of the control interface.

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::request::{QueryFilter, RequestError, body, segments};
use super::types::{Endpoint, Index};
use crate::zones::Zones;

type HttpResponse = Response<Full<Bytes>>;

/// Handles the request. Every request gets a response, every failure a body with the reason.
pub(super) async fn respond(zones: &Zones, dns: SocketAddr, request: Request<Incoming>) -> HttpResponse {
    match route(zones, dns, request).await {
        Ok(answer) => answer,
        Err(error) => json(error.status, &error.body),
    }
}

async fn route(
    zones: &Zones,
    dns: SocketAddr,
    request: Request<Incoming>,
) -> Result<HttpResponse, RequestError> {
    let (head, incoming) = request.into_parts();
    let path = segments(head.uri.path())?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let answer = match (head.method.as_str(), path.as_slice()) {
        ("GET", []) => ok(&index(dns)),
        ("GET", ["zones"]) => ok(&zones.zones()),
        ("PUT", ["zones", zone]) => ok(&zones.put_zone(zone, &body(incoming).await?)?),
        ("DELETE", ["zones", zone]) => deleted(zones.delete_zone(zone)?)?,
        ("GET", ["records"]) => ok(&zones.records()),
        ("PUT", ["records", name, kind]) => ok(&zones.put_records(name, kind, &body(incoming).await?)?),
        ("POST", ["records", name, kind]) => ok(&zones.add_records(name, kind, &body(incoming).await?)?),
        ("DELETE", ["records", name, kind]) => deleted(zones.delete_records(name, kind)?)?,
        ("GET", ["faults"]) => ok(&zones.faults()),
        ("PUT", ["faults", name]) => ok(&zones.put_fault(name, &body(incoming).await?)?),
        ("DELETE", ["faults", name]) => deleted(zones.delete_fault(name)?)?,
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
        (_, path) => return unknown_route(&head.method, path),
    };
    Ok(answer)
}

/// The response for an unknown path, or for a known path with another method.
fn unknown_route(method: &Method, path: &[&str]) -> Result<HttpResponse, RequestError> {
    let allow = match path {
        [] | ["zones" | "records" | "queries"] => "GET",
        ["zones" | "faults", _] => "PUT, DELETE",
        ["faults"] => "GET, DELETE",
        ["records", _, _] => "PUT, POST, DELETE",
        ["reset"] => "POST",
        _ => {
            return Err(RequestError::new(StatusCode::NOT_FOUND, "unknown path; GET / lists the endpoints"));
        }
    };
    let error = RequestError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not allowed here; allowed: {allow}"),
    );
    let mut answer = json(error.status, &error.body);
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
        endpoint("PUT /zones/{zone}", zone, "creates or changes a zone; in paths @ is the root"),
        endpoint("DELETE /zones/{zone}", None, "removes a zone and its records"),
        endpoint("GET /records", None, "all record sets"),
        endpoint("PUT /records/{name}/{type}", records, "replaces a record set"),
        endpoint("POST /records/{name}/{type}", records, "adds to a record set"),
        endpoint("DELETE /records/{name}/{type}", None, "removes a record set"),
        endpoint("GET /faults", None, "the faults that are set"),
        endpoint(
            "PUT /faults/{name}",
            fault,
            "changes answers; *.name is everything below the name, *. everything",
        ),
        endpoint("DELETE /faults/{name}", None, "removes the faults of this name or pattern"),
        endpoint("DELETE /faults", None, "removes all faults"),
        endpoint("GET /queries?name=&after=", None, "the latest queries, oldest first"),
        endpoint("POST /reset", None, "removes zones, records, faults and logged queries"),
    ];
    Index { dns, endpoints }
}

fn deleted(there_was_one: bool) -> Result<HttpResponse, RequestError> {
    if there_was_one {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    Err(RequestError::new(StatusCode::NOT_FOUND, "not found"))
}

fn ok<T: Serialize>(value: &T) -> HttpResponse {
    json(StatusCode::OK, value)
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> HttpResponse {
    let Ok(text) = serde_json::to_vec(value) else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn empty(status: StatusCode) -> HttpResponse {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
