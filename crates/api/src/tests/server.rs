//! Tests over real sockets.
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use deed_http::Timeouts;
use deed_store::KeyScope;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::{Api, ApiConfig};
use crate::testing::Harness;
use tokio_util::sync::CancellationToken;

/// Request content that must not appear in a response.
const SECRET: &str = "sesame";
/// How long a test waits for a connection to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends bytes and reads until the connection is closed.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    to_end(&mut stream).await
}

async fn to_end(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    // A server that closes before it has read everything may reset the connection after its response.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed");
    String::from_utf8(bytes).unwrap()
}

/// Reads one response with a body of JSON on a connection that stays open.
async fn next_response(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                return text.into_owned();
            }
        }
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes)).await.expect("a response").unwrap();
        assert!(read > 0, "closed early");
    }
}

fn status(response: &str) -> u16 {
    let status = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no response: {response:?}"))
}

fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    response.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn json_of(response: &str) -> Value {
    serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn list_domains(key: &str) -> String {
    format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n")
}

/// Timeouts for tests of slow clients.
fn short_head_timeout() -> Timeouts {
    Timeouts { request_head: Duration::from_millis(300), ..Timeouts::default() }
}

/// Runs `asking` against the HTTP interface.
async fn with_api(harness: &Harness, timeouts: Timeouts, asking: impl AsyncFnOnce(SocketAddr)) {
    let config =
        ApiConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), workers: 1, drain: Duration::from_secs(20) };
    let api = Api::bind_with(&config, &harness.state, timeouts).unwrap();
    let (address, stop) = (api.addresses()[0], CancellationToken::new());
    let asked = async {
        asking(address).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(api.run(stop.clone()), asked);
    served.unwrap();
}

#[actix_web::test]
async fn stop_drains_requests_and_accepts_no_new_ones() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
    let config =
        ApiConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), workers: 1, drain: Duration::from_secs(10) };
    let api = Api::bind(&config, &harness.state).unwrap();
    let (address, stop) = (api.addresses()[0], harness.state.http.stop.clone());
    let request = format!(
        "POST /v1/domains/claims/acme.com/verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         prefer: wait=30\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    let stop_when_it_waits = async {
        while harness.load("apex:acme.com").await.events.len() < 2 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (served, response, ()) =
        tokio::join!(api.run(stop.clone()), exchange(address, request.as_bytes()), stop_when_it_waits);
    served.unwrap();
    assert_eq!(status(&response), 202);
    assert!(TcpStream::connect(address).await.is_err());
}

#[actix_web::test]
async fn reads_chunked_body_up_to_limit() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let head = format!(
        "POST /v1/domains/claims HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    with_api(&harness, Timeouts::default(), async |address| {
        let small = format!("{head}9\r\n{{\"domain\"\r\nb\r\n:\"acme.com\"\r\n1\r\n}}\r\n0\r\n\r\n");
        assert_eq!(status(&exchange(address, small.as_bytes()).await), 200);
        let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
        let large = exchange(address, format!("{head}{}0\r\n\r\n", chunk.repeat(3)).as_bytes()).await;
        assert!(status(&large) == 413 && large.contains("BODY_TOO_LARGE"), "{large}");
    })
    .await;
}

#[actix_web::test]
async fn malformed_requests_end_with_a_status() {
    let get = |rest: &str| format!("GET /v1/domains HTTP/1.1\r\n{rest}\r\n\r\n").into_bytes();
    let post =
        |rest: &str| format!("POST /v1/domains HTTP/1.1\r\nhost: x\r\n{rest}\r\n\r\n{SECRET}").into_bytes();
    let many: Vec<_> = (0..97).map(|i| format!("x-{i}: {SECRET}")).collect();
    let harness = Harness::start().await;
    with_api(&harness, Timeouts::default(), async |address| {
        for (what, wanted, bytes) in [
            ("no request at all", 400, format!("{SECRET}\r\n\r\n").into_bytes()),
            ("a TLS greeting", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03sesame\r\n\r\n".to_vec()),
            (
                "raw UTF-8 in the target",
                400,
                format!("GET /{SECRET}\u{fc} HTTP/1.1\r\nhost: x\r\n\r\n").into(),
            ),
            ("a control character", 400, get(&format!("host: x\r\nidempotency-key: {SECRET}\x01"))),
            ("no host", 400, get(&format!("x-a: {SECRET}"))),
            ("two hosts", 400, get(&format!("host: x\r\nhost: {SECRET}"))),
            ("a length that is no number", 400, post(&format!("content-length: {SECRET}"))),
            ("length and encoding", 400, post("content-length: 6\r\ntransfer-encoding: chunked")),
            ("HTTP/2 without a word", 400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
            ("too many headers", 431, get(&format!("host: x\r\n{}", many.join("\r\n")))),
            ("a header too large", 431, get(&format!("host: x\r\nx-a: {}", SECRET.repeat(40_000)))),
        ] {
            let response = exchange(address, &bytes).await;
            assert_eq!(status(&response), wanted, "{what}: {response}");
            assert!(!response.contains(SECRET), "{what}: {response}");
        }
    })
    .await;
}

#[actix_web::test]
async fn unusual_valid_requests_reach_the_pipeline() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let own = format!("authorization: Bearer {key}\r\nconnection: close");
    with_api(&harness, Timeouts::default(), async |address| {
        for (line, headers, wanted) in [
            ("GET /v1/domains HTTP/1.0", "x-a: b", 200),
            ("GET http://deed.test/v1/domains HTTP/1.1", "host: x", 200),
            ("OPTIONS * HTTP/1.1", "host: x", 404),
            ("CONNECT deed.test:443 HTTP/1.1", "host: x", 404),
            ("BREW /v1/domains HTTP/1.1", "host: x", 405),
            ("GET /v1/domains HTTP/1.1", "host: x\r\nexpect: sesame", 200),
            ("GET /v1/domains HTTP/1.1", "host: x\r\nupgrade: h2c", 200),
            ("GET /v1/domains HTTP/1.1", "host:", 200),
        ] {
            let request = format!("{line}\r\n{own}\r\n{headers}\r\n\r\n");
            let response = exchange(address, request.as_bytes()).await.replacen("HTTP/1.0", "HTTP/1.1", 1);
            assert_eq!(status(&response), wanted, "{line}: {response}");
            assert_eq!(json_of(&response)["success"], wanted == 200, "{line}: {response}");
            assert_eq!(header(&response, "content-type"), Some("application/json"), "{line}: {response}");
        }
        let expecting = format!(
            "POST /v1/domains HTTP/1.1\r\n{own}\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 21\r\n\r\n\
             {{\"domain\":\"acme.com\"}}"
        );
        let response = exchange(address, expecting.as_bytes()).await;
        let response = response.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").expect("a word to go on");
        assert_eq!(status(response), 200);
    })
    .await;
}

#[actix_web::test]
async fn answers_the_request_before_a_malformed_one() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    with_api(&harness, Timeouts::default(), async |address| {
        let bytes = format!("{}{SECRET}\r\n\r\n", list_domains(&key));
        let responses = exchange(address, bytes.as_bytes()).await;
        let (first, second) = responses.split_once("}HTTP/1.1 ").unwrap();
        assert_eq!((status(first), second.get(..3)), (200, Some("400")), "{responses}");
    })
    .await;
}

#[actix_web::test]
async fn slow_request_head_times_out() {
    let harness = Harness::start().await;
    with_api(&harness, short_head_timeout(), async |address| {
        for part in [&b""[..], b"GET /v1/domains HTTP/1.1\r\nx-a: sesame"] {
            let response = exchange(address, part).await;
            assert_eq!(status(&response), 408);
            assert!(!response.contains(SECRET), "{response}");
        }
    })
    .await;
}

#[actix_web::test]
async fn many_idle_connections_do_not_stop_others() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    with_api(&harness, Timeouts::default(), async |address| {
        let mut idle = vec![];
        for n in 0..200 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Half of them have begun a request.
            if n % 2 == 0 {
                stream.write_all(b"GET /v1/domains HTTP/1.1\r\nx-a: ").await.unwrap();
            }
            idle.push(stream);
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(list_domains(&key).as_bytes()).await.unwrap();
        assert_eq!(status(&next_response(&mut stream).await), 200);
    })
    .await;
}

#[actix_web::test]
async fn server_side_wait_does_not_time_out_the_client() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
    with_api(&harness, short_head_timeout(), async |address| {
        let request = format!(
            "POST /v1/domains/claims/acme.com/verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             prefer: wait=1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(status(&exchange(address, request.as_bytes()).await), 202);
    })
    .await;
}

#[actix_web::test]
async fn stop_does_not_wait_for_idle_connections() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let mut idle = None;
    let served = with_api(&harness, Timeouts::default(), async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(list_domains(&key).as_bytes()).await.unwrap();
        assert_eq!(status(&next_response(&mut stream).await), 200);
        idle = Some(stream);
    });
    timeout(Duration::from_secs(10), served).await.expect("sooner than the drain");
    assert!(to_end(&mut idle.unwrap()).await.is_empty());
}

#[actix_web::test]
async fn leaving_server_closes_connections_after_response() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    with_api(&harness, Timeouts::default(), async |address| {
        let mut before = TcpStream::connect(address).await.unwrap();
        before.write_all(list_domains(&key).as_bytes()).await.unwrap();
        assert_eq!(header(&next_response(&mut before).await, "connection"), None);
        harness.state.http.leaving.cancel();
        let after = TcpStream::connect(address).await.unwrap();
        for mut stream in [before, after] {
            stream.write_all(list_domains(&key).as_bytes()).await.unwrap();
            let response = next_response(&mut stream).await;
            assert_eq!((status(&response), header(&response, "connection")), (200, Some("close")));
            assert!(to_end(&mut stream).await.is_empty());
        }
    })
    .await;
}
