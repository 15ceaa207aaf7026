//! Dead letters on the operations port: list, replay, purge.
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use deed_bus::{BusError, DeadLetter, DeadLetters, Replay};
use deed_http::Query;
use deed_http::ops::{json_response, resource};
use serde_json::{Value, json};

/// Dead letters in a list by default.
const DEFAULT_LIMIT: usize = 100;
/// Dead letters in a list at most.
const MAX_LIMIT: usize = 1000;

/// A dead letter as JSON. The body of the message is untrusted: it is shown only as a JSON value.
pub fn view(letter: &DeadLetter) -> Value {
    let message = &letter.message;
    let body = serde_json::from_slice(&message.body);
    json!({
        "id": message.id,
        "queue": letter.queue,
        "routingKey": message.routing_key.as_str(),
        "reason": letter.reason.to_string(),
        "deliveries": letter.deliveries,
        "body": body.unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&message.body))),
    })
}

/// Registers the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig, dead_letters: &Arc<dyn DeadLetters>) {
    let lists = resource("/v1/dead", "GET, DELETE").route(web::get().to(list)).route(web::delete().to(purge));
    let replays = resource("/v1/dead/replay", "POST").route(web::post().to(replay));
    config.app_data(web::Data::from(dead_letters.clone())).service(lists).service(replays);
}

async fn list(dead_letters: web::Data<dyn DeadLetters>, req: HttpRequest) -> HttpResponse {
    let query = Query::parse(req.query_string());
    let limit = match query.all("limit").next().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
        Some(_) => {
            let error = format!("limit has to be a number from 1 to {MAX_LIMIT}");
            return json_response(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        }
    };
    match dead_letters.list(limit).await {
        Ok(letters) => {
            let data: Vec<Value> = letters.iter().map(view).collect();
            json_response(StatusCode::OK, &json!({ "data": data }))
        }
        Err(error) => bus_unavailable(&error),
    }
}

/// Replays the dead letters of one id, or all.
async fn replay(dead_letters: web::Data<dyn DeadLetters>, req: HttpRequest) -> HttpResponse {
    let query = Query::parse(req.query_string());
    let which = query.all("id").next().map_or(Replay::All, |id| Replay::Id(id.to_owned()));
    match dead_letters.replay(which).await {
        Ok(count) => json_response(StatusCode::OK, &json!({ "replayed": count })),
        Err(error) => bus_unavailable(&error),
    }
}

async fn purge(dead_letters: web::Data<dyn DeadLetters>, req: HttpRequest) -> HttpResponse {
    let query = Query::parse(req.query_string());
    let Some(id) = query.all("id").next() else {
        return json_response(
            StatusCode::BAD_REQUEST,
            &json!({ "error": "id is missing: the message to throw away" }),
        );
    };
    match dead_letters.purge(id).await {
        Ok(count) => json_response(StatusCode::OK, &json!({ "purged": count })),
        Err(error) => bus_unavailable(&error),
    }
}

fn bus_unavailable(error: &BusError) -> HttpResponse {
    tracing::warn!(%error, "dead letters could not be reached");
    json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the bus does not answer" }))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_bus::{Bus as _, InProcess, InProcessConfig, Message, Requirement, Topology};
    use deed_messages::queues;

    use super::*;
    use crate::ops::OpsParts;
    use crate::ops::testing::{ask, parts_with};
    use crate::testing::Harness;

    async fn with_one_dead() -> (InProcess, OpsParts) {
        let harness = Harness::start().await;
        let bus =
            InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), InProcessConfig::default());
        let message = Message {
            id: "evt_7".to_owned(),
            routing_key: "verification.due".parse().unwrap(),
            content_type: "text/plain".to_owned(),
            body: b"not JSON".as_slice().into(),
            headers: std::collections::BTreeMap::new(),
            requirement: Requirement::Mandatory,
        };
        bus.publisher().publish(vec![message]).await.unwrap();
        let mut consumer = bus.consumer(queues::VERIFICATION).await.unwrap();
        consumer.next().await.unwrap().unwrap().dead_letter("nobody can").await.unwrap();
        let parts = parts_with(&harness, bus.dead_letters());
        (bus, parts)
    }

    #[actix_web::test]
    async fn lists_and_replays_dead_letters() {
        let (bus, parts) = with_one_dead().await;
        let (status, text) = ask(&parts, TestRequest::get().uri("/v1/dead?limit=5")).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status, 200);
        assert_eq!(
            body["data"],
            json!([{ "id": "evt_7", "queue": "deed.verification", "routingKey": "verification.due",
                "reason": "nobody can", "deliveries": 1, "body": "not JSON" }])
        );
        let (status, text) = ask(&parts, TestRequest::post().uri("/v1/dead/replay?id=evt_8")).await;
        assert_eq!((status, &*text), (200, r#"{"replayed":0}"#));
        let (_, text) = ask(&parts, TestRequest::post().uri("/v1/dead/replay")).await;
        assert_eq!(text, r#"{"replayed":1}"#);
        let depth = bus.depth(queues::VERIFICATION).await.unwrap();
        assert_eq!((depth.ready, depth.dead), (1, 0));
    }

    #[actix_web::test]
    async fn purges_dead_letter_and_rejects_bad_requests() {
        let (bus, parts) = with_one_dead().await;
        for (wrong, why) in [
            (TestRequest::get().uri("/v1/dead?limit=0"), "limit"),
            (TestRequest::get().uri("/v1/dead?limit=many"), "limit"),
            (TestRequest::delete().uri("/v1/dead"), "id is missing"),
        ] {
            let (status, text) = ask(&parts, wrong).await;
            assert!(status == 400 && text.contains(why), "{status} {text}");
        }
        assert_eq!(ask(&parts, TestRequest::put().uri("/v1/dead")).await.0, 405);
        let (_, text) = ask(&parts, TestRequest::delete().uri("/v1/dead?id=evt_7")).await;
        assert_eq!(text, r#"{"purged":1}"#);
        assert_eq!(bus.depth(queues::VERIFICATION).await.unwrap().dead, 0);
    }
}
