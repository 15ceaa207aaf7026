//! Response headers: names, meanings, and the responses that have them.
use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Response};

use crate::operation::Operation;

/// All declared response headers: name, type, meaning.
const HEADERS: &[(&str, Type, &str)] = &[
    ("Allow", Type::String, "The methods that the path has"),
    (
        "Deed-Position",
        Type::Integer,
        "How far the log had come for this answer; lists take it as `atLeast` (`at_least` for apps)",
    ),
    (
        "Idempotency-Replayed",
        Type::String,
        "`true` when the answer is one given before to the same Idempotency-Key",
    ),
    ("Preference-Applied", Type::String, "The `wait` that was followed, where the request preferred one"),
    (
        "RateLimit",
        Type::String,
        "What is left of the API key's limit: `\"key\";r=REQUESTS;t=SECONDS_UNTIL_FULL`",
    ),
    ("RateLimit-Policy", Type::String, "The API key's limit: `\"key\";q=REQUESTS;w=SECONDS`"),
    ("Retry-After", Type::Integer, "Seconds to wait before asking again"),
    ("WWW-Authenticate", Type::String, "How to authenticate"),
    ("X-Request-Id", Type::String, "The request's name in logs: the caller's own or a new one"),
];

/// The status of heads that are too large. The HTTP library answers it, without a body and without headers of ours.
pub const LIBRARY_STATUS: u16 = 431;

/// The headers of an operation's response of this status.
pub fn names<S>(operation: &Operation<S>, status: u16) -> BTreeSet<&'static str> {
    let success = (200..300).contains(&status);
    let prefers = operation
        .docs
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "Prefer"));
    if status == LIBRARY_STATUS {
        return BTreeSet::new();
    }
    let mut names = BTreeSet::from(["X-Request-Id"]);
    // The rate limit is counted by key, so responses before authentication lack it.
    if !matches!(status, 401 | 405) {
        names.extend(["RateLimit", "RateLimit-Policy"]);
    }
    if StatusCode::from_u16(status).is_ok_and(|status| operation.stores(status)) {
        names.insert("Idempotency-Replayed");
    }
    if success && operation.has_position {
        names.insert("Deed-Position");
    }
    if success && prefers {
        names.insert("Preference-Applied");
    }
    // 409: the same request is still being carried out; 202: a check was asked for too soon.
    if matches!(status, 202 | 429 | 503) || (status == 409 && operation.changes()) {
        names.insert("Retry-After");
    }
    match status {
        401 => _ = names.insert("WWW-Authenticate"),
        405 => _ = names.insert("Allow"),
        _ => {}
    }
    names
}

/// Declares headers of a response.
pub fn declare(response: &mut Response, names: impl IntoIterator<Item = &'static str>) {
    let declared = names
        .into_iter()
        .map(|name| (name.to_owned(), RefOr::Ref(Ref::new(format!("#/components/headers/{name}")))));
    response.headers.extend(declared);
}

/// Every header with its description.
pub fn all() -> impl Iterator<Item = (&'static str, Header)> {
    HEADERS.iter().map(|(name, kind, text)| {
        let header = HeaderBuilder::new().schema(Some(schema(name, kind))).description(Some(*text)).build();
        (*name, header)
    })
}

fn schema(name: &str, kind: &Type) -> Object {
    let schema = ObjectBuilder::new().schema_type(kind.clone());
    match name {
        "Retry-After" => schema.minimum(Some(0)).maximum(Some(60)),
        "Deed-Position" => schema.minimum(Some(0)),
        "Idempotency-Replayed" => schema.enum_values(Some(["true"])),
        _ => schema,
    }
    .build()
}
