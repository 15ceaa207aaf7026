//! The OpenAPI description and what the service does.
use std::collections::BTreeSet;
use std::path::Path;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use deed_http::Rate;
use deed_store::KeyScope;
use serde_json::{Value, json};

use crate::routes::{openapi, operations};
use crate::testing::{Harness, Setup, with_key};

fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/openapi.json")
}

#[test]
fn committed_openapi_matches_the_code() {
    let made = openapi();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(committed(), &made).unwrap();
    }
    let kept = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(kept == made, "proto/openapi.json is out of date: run `make generate`");
}

#[test]
fn every_operation_declares_shared_errors() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            seen += 1;
            for status in ["400", "401", "403", "404", "405", "408", "413", "429", "431", "500", "503"] {
                assert!(!operation["responses"][status].is_null(), "{method} {path} {status}");
            }
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{method} {path}"
            );
        }
    }
    assert_eq!(seen, operations().len());
}

/// The headers declared for one response, in lower case.
fn declared(document: &Value, path: &str, method: &str, status: u16) -> BTreeSet<String> {
    let response = &document["paths"][path][method]["responses"][status.to_string()];
    let response = response["$ref"]
        .as_str()
        .map_or(response, |reference| document.pointer(reference.strip_prefix('#').unwrap()).unwrap());
    let headers = response["headers"].as_object().into_iter().flat_map(|headers| headers.keys());
    headers.map(|name| name.to_ascii_lowercase()).collect()
}

#[actix_web::test]
async fn every_response_header_is_declared() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut setup = Setup::default();
    setup.caps.rate = Rate { per_second: 0.1, burst: 12 };
    let harness = Harness::with(setup).await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let (claims, verify) = ("/v1/domains/claims", "/v1/domains/claims/{domain}/verify");
    let (get, post) = (Method::GET, Method::POST);
    let position = ["deed-position", "ratelimit", "ratelimit-policy"];
    let acme = || json!({ "domain": "acme.com" });
    // Method, path, key and body of the request; status and some headers of the response.
    for (method, path, key, body, status, wanted) in [
        (&post, claims, &*key, acme(), 200, &position[..]),
        (&post, claims, &key, acme(), 200, &["idempotency-replayed"]),
        (&post, claims, &key, json!({ "domain": "acme.org" }), 409, &[]),
        (&post, verify, &key, json!({}), 202, &["deed-position", "preference-applied"]),
        (&get, verify, &key, json!({}), 405, &["allow"]),
        (&get, "/v1/domains/{domain}", &key, json!({}), 200, &position),
        (&get, "/v1/domains/claims/{domain}", &key, json!({}), 200, &position),
        (&get, "/v1/domains/claims/{domain}/history", &key, json!({}), 200, &position),
        (&get, "/v1/domains", &key, json!({}), 200, &[]),
        (&get, claims, &key, json!({}), 200, &[]),
        (&get, "/v1/apps", &key, json!({}), 200, &position),
        (&post, "/v1/apps", &key, json!({ "name": "Docs" }), 200, &position),
        (&get, claims, "unknown", json!({}), 401, &["www-authenticate"]),
        (&get, "/v1/domains", &key, json!({}), 200, &[]),
        (&get, "/v1/domains", &key, json!({}), 429, &["retry-after", "ratelimit"]),
    ] {
        let request = TestRequest::with_uri(&path.replace("{domain}", "acme.com"))
            .method(method.clone())
            .insert_header(("idempotency-key", path))
            .insert_header(("prefer", "wait=0"))
            .set_json(&body);
        let answer = harness.request(with_key(request, key)).await;
        let what = format!("{method} {path}: {} {:?}", answer.text, answer.headers);
        assert_eq!(answer.status.as_u16(), status, "{what}");
        // A 405 is declared with the methods that the path has.
        let method = if status == 405 { "post".to_owned() } else { method.as_str().to_lowercase() };
        let declared = declared(&document, path, &method, status);
        let everywhere = ["content-type", "cache-control", "x-content-type-options"];
        let names = answer.headers.keys().map(|name| name.as_str().to_owned());
        let found: BTreeSet<_> = names.filter(|name| !everywhere.contains(&name.as_str())).collect();
        assert!(found.is_subset(&declared), "{what}: {declared:?}");
        for name in ["x-request-id"].iter().chain(wanted) {
            assert!(found.contains(*name), "{what}: {name}");
        }
        if wanted.is_empty() && status == 200 {
            assert!(!declared.contains("deed-position"), "{what}");
        }
    }
}

#[test]
fn references_resolve_and_operation_ids_are_unique() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut stack = vec![&document];
    while let Some(value) = stack.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                stack.extend(fields.values());
            }
            Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
    let mut ids: Vec<_> = operations().into_iter().map(|operation| operation.id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}
