//! Over real sockets: what is no request, clients that are slow, and answers that must pass untouched.
use std::net::Ipv4Addr;

use actix_web::body::SizedStream;
use actix_web::{App, HttpResponse, web};
use deed_store::KeyScope;
use futures::Stream;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{Api, ApiConfig, run_until};
use crate::testing::Harness;

/// Must not come back.
const SECRET: &str = "sesame";

/// One answer as it came.
#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// The first answer in `bytes`, and what follows it.
    fn first(bytes: &[u8]) -> (Self, &[u8]) {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let (head, rest) = (String::from_utf8(bytes[..end].to_vec()).unwrap(), &bytes[end..]);
        let mut answer = Self { head, body: vec![] };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = rest[..length].to_vec();
        (answer, &rest[length..])
    }

    /// The only answer in `bytes`.
    fn only(bytes: &[u8]) -> Self {
        let (answer, rest) = Self::first(bytes);
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(rest));
        answer
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// That it is the whole refusal of what is no request.
    fn assert_refused(&self, status: u16, code: &str) {
        let what = format!("{}{}", self.head, String::from_utf8_lossy(&self.body));
        let body = self.json();
        assert_eq!(
            (self.status(), &body["code"], &body["success"]),
            (status, &code.into(), &false.into()),
            "{what}"
        );
        assert!(body["error"].as_str().is_some_and(|error| error.len() > 20), "{what}");
        assert_eq!(body.as_object().unwrap().len(), 3, "{what}");
        assert_eq!(self.header("connection"), Some("close"), "{what}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{what}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{what}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{what}");
        assert!(self.header("x-request-id").is_some_and(|id| id.starts_with("req_")), "{what}");
        assert!(self.header("date").is_some_and(|date| date.ends_with(" GMT")), "{what}");
        assert!(!what.contains(SECRET), "{what}");
    }
}

/// Sends bytes and reads until the connection is closed.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    to_end(&mut stream).await
}

async fn to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![];
    timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.expect("closed").unwrap();
    bytes
}

/// Reads one answer of a connection that stays open.
async fn next_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = vec![];
    loop {
        let complete = bytes.windows(4).position(|four| four == b"\r\n\r\n").is_some_and(|end| {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            bytes.len() >= end + 4 + length.map_or(0, |length| length.parse().unwrap())
        });
        if complete {
            return Answer::only(&bytes);
        }
        let read = timeout(Duration::from_secs(30), stream.read_buf(&mut bytes)).await.expect("an answer");
        assert!(read.unwrap() > 0, "closed early: {:?}", String::from_utf8_lossy(&bytes));
    }
}

/// Patience that a test has.
fn hasty() -> Patience {
    Patience { request: Duration::from_millis(300), ..Patience::default() }
}

/// Runs `asking` against the HTTP interface.
async fn against_api(harness: &Harness, patience: Patience, asking: impl AsyncFnOnce(SocketAddr)) {
    let config =
        ApiConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), workers: 1, drain: Duration::from_secs(20) };
    let api = Api::bind_with(&config, &harness.state, patience).unwrap();
    let (address, stop) = (api.addresses()[0], CancellationToken::new());
    let asked = async {
        asking(address).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(api.run(stop.clone()), asked);
    served.unwrap();
}

const BIG: usize = 24 << 20;

/// What ends a body as an answer of the machinery's own would.
fn lookalike() -> String {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n";
    format!("{head}date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n")
}

/// A large body that ends so, in several parts.
fn split() -> SizedStream<impl Stream<Item = Result<web::Bytes, io::Error>>> {
    let (end, big) = (lookalike(), vec![b'x'; BIG]);
    let (one, two) = end.split_at(end.len() - 2);
    let parts = [big, one.into(), two.into()].map(|part| Ok(web::Bytes::from(part)));
    SizedStream::new((BIG + end.len()) as u64, futures::stream::iter(parts))
}

/// Runs `asking` against an application that answers what a client of ours never sees.
async fn against_odd(patience: Patience, asking: impl AsyncFnOnce(SocketAddr)) {
    let refuse: Refuse = Arc::new(|fault, _| format!("refused: {}", fault.code()).into_bytes());
    let app = || {
        App::new()
            .route("/204", web::to(async || HttpResponse::NoContent().finish()))
            .route("/304", web::to(async || HttpResponse::NotModified().finish()))
            .route(
                "/400",
                web::to(async || HttpResponse::BadRequest().insert_header(("x-own", "1")).finish()),
            )
            .route("/sized", web::head().to(async || HttpResponse::Ok().body("sized")))
            .route("/lookalike", web::to(async || HttpResponse::Ok().body(format!("x{}", lookalike()))))
            .route("/pure", web::to(async || HttpResponse::Ok().body(lookalike())))
            .route("/never", web::to(async || std::future::pending::<HttpResponse>().await))
            .route("/split", web::to(async || HttpResponse::Ok().body(split())))
            .route("/big", web::to(async || HttpResponse::Ok().body(vec![b'x'; BIG])))
    };
    let builder = ServerBuilder::new().workers(1).disable_signals();
    let (builder, addresses) =
        listen(builder, (Ipv4Addr::LOCALHOST, 0).into(), patience, refuse, CancellationToken::new(), app)
            .unwrap();
    let stop = CancellationToken::new();
    let asked = async {
        asking(addresses[0]).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(run_until(builder.run(), stop.clone()), asked);
    served.unwrap();
}

#[actix_web::test]
async fn what_is_no_request_is_refused_in_full() {
    let harness = Harness::start().await;
    let get = |rest: &str| format!("GET /v1/domains HTTP/1.1\r\n{rest}\r\n\r\n").into_bytes();
    let post =
        |rest: &str| format!("POST /v1/domains HTTP/1.1\r\nhost: x\r\n{rest}\r\n\r\n{SECRET}").into_bytes();
    let many: Vec<_> = (0..97).map(|i| format!("x-{i}: {SECRET}")).collect();
    let malformed = [
        ("no request at all", format!("{SECRET}\r\n\r\n").into_bytes()),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03sesame\r\n\r\n".to_vec()),
        (
            "raw UTF-8 in the target",
            format!("GET /v1/domains/{SECRET}\u{fc}.com HTTP/1.1\r\nhost: x\r\n\r\n").into(),
        ),
        ("raw Latin-1 in the target", b"GET /v1/domains/sesame\xfc HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a bare space in the target", format!("GET /v1/{SECRET} x HTTP/1.1\r\nhost: x\r\n\r\n").into()),
        ("a control character", get(&format!("host: x\r\nidempotency-key: {SECRET}\x01"))),
        ("a bare carriage return", get(&format!("host: x\r\nidempotency-key: a\r{SECRET}"))),
        ("a NUL", get(&format!("host: x\r\nx-request-id: {SECRET}\0"))),
        ("a header without a name", get(&format!("host: x\r\n: {SECRET}"))),
        ("a folded header", get(&format!("host: x\r\nx-a: b\r\n {SECRET}"))),
        ("no host", get(&format!("x-a: {SECRET}"))),
        ("two hosts", get(&format!("host: x\r\nhost: {SECRET}"))),
        ("a length that is no number", post(&format!("content-length: {SECRET}"))),
        ("a negative length", post("content-length: -6")),
        ("two lengths", post("content-length: 6\r\ncontent-length: 6")),
        ("length and encoding", post("content-length: 6\r\ntransfer-encoding: chunked")),
        ("an unknown encoding", post(&format!("transfer-encoding: {SECRET}"))),
        ("an old POST without length", format!("POST /{SECRET} HTTP/1.0\r\n\r\n").into()),
        ("a later version", format!("GET /{SECRET} HTTP/3.0\r\nhost: x\r\n\r\n").into()),
        ("an older version", format!("GET /{SECRET} HTTP/0.9\r\nhost: x\r\n\r\n").into()),
        ("HTTP/2 without a word", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ];
    let large = [
        ("too many headers", get(&format!("host: x\r\n{}", many.join("\r\n")))),
        ("a header too large", get(&format!("host: x\r\nx-a: {}", SECRET.repeat(40_000)))),
        ("a target too large", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", SECRET.repeat(40_000)).into()),
    ];
    against_api(&harness, Patience::default(), async |address| {
        for (what, bytes) in &malformed {
            println!("{what}");
            Answer::only(&exchange(address, bytes).await).assert_refused(400, "MALFORMED_REQUEST");
        }
        for (what, bytes) in &large {
            println!("{what}");
            Answer::only(&exchange(address, bytes).await).assert_refused(431, "HEADERS_TOO_LARGE");
        }
        let words = async |bytes: &[u8]| {
            let body = Answer::only(&exchange(address, bytes).await).json();
            body["error"].as_str().unwrap().to_owned()
        };
        assert!(words(&malformed.last().unwrap().1).await.contains("no other version"));
        assert!(words(&malformed[5].1).await.contains("no control characters"));
    })
    .await;
    let measured = prometheus::TextEncoder::new().encode_to_string(&harness.registry.gather()).unwrap();
    for (code, times) in [("malformed_request", malformed.len() + 2), ("headers_too_large", large.len())] {
        let line = format!("deed_http_requests_total{{operation=\"{code}\",status_class=\"4xx\"}} {times}\n");
        assert!(measured.contains(&line), "{measured}");
    }
}

#[actix_web::test]
async fn a_refusal_follows_the_style_of_its_path() {
    let harness = Harness::start().await;
    against_api(&harness, Patience::default(), async |address| {
        for target in ["/v1/apps", "/v1/apps?x=1", "/v1/apps/app_1/domains/\u{fc}.com"] {
            let request =
                format!("POST {target} HTTP/1.1\r\nhost: x\r\nidempotency-key: {SECRET}\x01\r\n\r\n");
            let answer = Answer::only(&exchange(address, request.as_bytes()).await);
            let (body, text) = (answer.json(), String::from_utf8_lossy(&answer.body));
            assert_eq!((answer.status(), &body["status"]), (400, &400.into()), "{text}");
            assert_eq!(body["error"]["code"], "malformed_request", "{text}");
            assert_eq!(body["error"]["type"], "BadRequestError", "{text}");
            assert!(!text.contains(SECRET), "{text}");
        }
        let request = b"POST /v1/appsx HTTP/1.1\r\n\r\n";
        Answer::only(&exchange(address, request).await).assert_refused(400, "MALFORMED_REQUEST");
    })
    .await;
}

#[actix_web::test]
async fn what_is_odd_and_still_a_request_reaches_the_interface() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    against_api(&harness, Patience::default(), async |address| {
        let ask = async |head: &str| {
            let (first, rest) = head.split_once("\r\n").unwrap();
            let request = format!("{first}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n{rest}\r\n\r\n");
            Answer::only(&exchange(address, request.as_bytes()).await)
        };
        for (head, status) in [
            ("GET /v1/domains HTTP/1.0\r\n", 200),
            ("GET http://deed.test/v1/domains HTTP/1.1\r\nhost: x", 200),
            ("OPTIONS * HTTP/1.1\r\nhost: x", 404),
            ("CONNECT deed.test:443 HTTP/1.1\r\nhost: x", 404),
            ("BREW /v1/domains HTTP/1.1\r\nhost: x", 405),
            ("GET /v1/domains HTTP/1.1\r\nhost: x\r\nexpect: sesame", 200),
            ("GET /v1/domains HTTP/1.1\r\nhost: x\r\nupgrade: h2c", 200),
            ("GET /v1/domains HTTP/1.1\r\nhost:", 200),
        ] {
            let head = head.trim_end();
            let head = if head.contains("\r\n") { head.to_owned() } else { format!("{head}\r\nx-a: b") };
            let answer = ask(&head).await;
            assert_eq!(answer.status(), status, "{head}: {answer:?}");
            assert_eq!(answer.json()["success"], status == 200, "{head}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{head}: {answer:?}");
        }
        let expecting = "POST /v1/domains HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 21";
        let (first, rest) = expecting.split_once("\r\n").unwrap();
        let request = format!(
            "{first}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n{rest}\r\n\r\n{{\"domain\":\"acme.com\"}}"
        );
        let bytes = exchange(address, request.as_bytes()).await;
        let bytes = bytes.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").expect("a word to go on");
        assert_eq!(Answer::only(bytes).status(), 200);
    })
    .await;
}

#[actix_web::test]
async fn requests_before_a_malformed_one_are_answered_first() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    against_api(&harness, Patience::default(), async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(good.repeat(2).as_bytes()).await.unwrap();
        let mut bytes = vec![];
        while bytes.windows(9).filter(|part| *part == b"HTTP/1.1 ").count() < 2 || !bytes.ends_with(b"}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        let (first, rest) = Answer::first(&bytes);
        let second = Answer::only(rest);
        assert_eq!((first.status(), second.status()), (200, 200));
        assert_eq!((first.header("connection"), second.header("connection")), (None, None));
        // The same connection, with a request that is none right behind another.
        stream.write_all(format!("{good}{SECRET}\r\n\r\n{good}").as_bytes()).await.unwrap();
        let bytes = to_end(&mut stream).await;
        let (first, rest) = Answer::first(&bytes);
        assert_eq!(first.status(), 200);
        Answer::only(rest).assert_refused(400, "MALFORMED_REQUEST");
        // And on its own, on a connection that has been used.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(good.as_bytes()).await.unwrap();
        assert_eq!(next_answer(&mut stream).await.status(), 200);
        stream.write_all(b"sesame\r\n\r\n").await.unwrap();
        Answer::only(&to_end(&mut stream).await).assert_refused(400, "MALFORMED_REQUEST");
    })
    .await;
}

#[actix_web::test]
async fn a_slow_head_is_refused_on_any_request_of_a_connection() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    against_api(&harness, hasty(), async |address| {
        Answer::only(&exchange(address, b"").await).assert_refused(408, "REQUEST_TIMEOUT");
        let part = b"GET /v1/domains HTTP/1.1\r\nx-a: sesame";
        Answer::only(&exchange(address, part).await).assert_refused(408, "REQUEST_TIMEOUT");
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            stream.write_all(good.as_bytes()).await.unwrap();
            assert_eq!(next_answer(&mut stream).await.status(), 200);
        }
        stream.write_all(&good.as_bytes()[..1]).await.unwrap();
        Answer::only(&to_end(&mut stream).await).assert_refused(408, "REQUEST_TIMEOUT");
    })
    .await;
}

#[actix_web::test]
async fn a_body_that_drips_for_ever_does_not_hold_its_connection() {
    let harness = Harness::start().await;
    against_api(&harness, hasty(), async |address| {
        let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
        to.write_all(b"POST /v1/domains HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        let dripping = async { while to.write_all(b"1\r\nx\r\n").await.is_ok() {} };
        let reading = async {
            let (mut bytes, mut part) = (vec![], vec![0; 1024]);
            // Closing while the client still sends may end in a reset.
            while let Ok(read @ 1..) = from.read(&mut part).await {
                bytes.extend_from_slice(&part[..read]);
            }
            bytes
        };
        let ends = timeout(Duration::from_secs(30), async { tokio::join!(dripping, reading) });
        let ((), bytes) = ends.await.expect("the connection ends");
        let (answer, _) = Answer::first(&bytes);
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (401, Some("UNAUTHORIZED")));
    })
    .await;
}

#[actix_web::test]
async fn what_waits_on_our_side_is_not_the_clients_fault() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.post("/v1/domains/claims", &key, serde_json::json!({ "domain": "acme.com" })).await;
    against_api(&harness, hasty(), async |address| {
        let request = format!(
            "POST /v1/domains/claims/acme.com/verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             prefer: wait=1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(Answer::only(&exchange(address, request.as_bytes()).await).status(), 202);
    })
    .await;
}

#[actix_web::test]
async fn a_body_of_broken_chunks_is_refused_whatever_its_request_waits_for() {
    let request = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{SECRET}\r\n\r\n")
    };
    let harness = Harness::start().await;
    against_api(&harness, Patience::default(), async |address| {
        let answer = Answer::only(&exchange(address, request("/v1/domains").as_bytes()).await);
        assert_eq!((answer.status(), &answer.json()["code"]), (401, &"UNAUTHORIZED".into()));
    })
    .await;
    against_odd(Patience::default(), async |address| {
        let refused = exchange(address, request("/never").as_bytes()).await;
        assert_eq!(refused, b"refused: MALFORMED_REQUEST");
        // What is being answered already is not the request that is broken.
        let behind = format!("GET /never HTTP/1.1\r\nhost: x\r\n\r\n{}", request("/204"));
        assert_eq!(exchange(address, behind.as_bytes()).await, b"");
    })
    .await;
}

#[actix_web::test]
async fn a_stop_does_not_wait_for_idle_connections() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    let mut idle = None;
    let served = against_api(&harness, Patience::default(), async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(good.as_bytes()).await.unwrap();
        assert_eq!(next_answer(&mut stream).await.status(), 200);
        idle = Some(stream);
    });
    timeout(Duration::from_secs(10), served).await.expect("sooner than the drain");
    assert!(to_end(&mut idle.unwrap()).await.is_empty());
}

#[actix_web::test]
async fn whoever_is_about_to_stop_takes_requests_and_ends_each_connection_with_its_answer() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    against_api(&harness, Patience::default(), async |address| {
        let mut before = TcpStream::connect(address).await.unwrap();
        before.write_all(good.as_bytes()).await.unwrap();
        assert_eq!(next_answer(&mut before).await.header("connection"), None);
        harness.state.leaving.cancel();
        let after = TcpStream::connect(address).await.unwrap();
        for mut stream in [before, after] {
            stream.write_all(good.as_bytes()).await.unwrap();
            let answer = next_answer(&mut stream).await;
            assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
            assert!(to_end(&mut stream).await.is_empty());
        }
    })
    .await;
}

#[actix_web::test]
async fn answers_of_our_own_pass_as_they_are() {
    against_odd(Patience::default(), async |address| {
        for (method, path, status, length) in [
            ("GET", "/204", 204, None),
            ("GET", "/304", 304, None),
            ("GET", "/400", 400, Some("0")),
            ("HEAD", "/sized", 200, Some("5")),
        ] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let bytes = exchange(address, request.as_bytes()).await;
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.ends_with("\r\n\r\n"), "{text}");
            assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
            let found = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            assert_eq!(found, length, "{text}");
        }
        for (path, body) in [("/lookalike", format!("x{}", lookalike())), ("/pure", lookalike())] {
            let request =
                |connection| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\n\r\n");
            let mut stream = TcpStream::connect(address).await.unwrap();
            for connection in ["keep-alive", "keep-alive", "close"] {
                stream.write_all(request(connection).as_bytes()).await.unwrap();
                let answer = next_answer(&mut stream).await;
                assert_eq!((answer.status(), answer.body), (200, body.clone().into_bytes()), "{connection}");
            }
            assert!(to_end(&mut stream).await.is_empty());
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request("keep-alive").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(Answer::only(&to_end(&mut stream).await).body, body.into_bytes(), "half closed");
        }
    })
    .await;
}

#[actix_web::test]
async fn a_refusal_behind_an_answer_that_is_taken_late_is_whole() {
    let patience = Patience { farewell: Duration::from_secs(20), ..Patience::default() };
    against_odd(patience, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\nsesame\r\n\r\n").await.unwrap();
        // What fits into the buffers of both sides is far less than the body: the rest is written piece by piece.
        stream.readable().await.unwrap();
        let bytes = to_end(&mut stream).await;
        let (answer, rest) = Answer::first(&bytes);
        assert!(answer.status() == 200 && answer.body == vec![b'x'; BIG]);
        assert_eq!(rest, b"refused: MALFORMED_REQUEST");
    })
    .await;
}

#[actix_web::test]
async fn a_body_that_ends_as_a_refusal_does_passes_even_when_it_is_taken_late() {
    let patience = Patience { farewell: Duration::from_secs(20), ..Patience::default() };
    against_odd(patience, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /split HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        stream.readable().await.unwrap();
        let answer = Answer::only(&to_end(&mut stream).await);
        assert!(answer.status() == 200 && answer.body.len() == BIG + lookalike().len());
        assert!(answer.body.ends_with(lookalike().as_bytes()));
    })
    .await;
}

#[actix_web::test]
async fn a_client_that_does_not_take_its_answer_is_left() {
    let patience = Patience { taking: Duration::from_millis(300), ..Patience::default() };
    against_odd(patience, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // Closed from the other side while nothing is read.
        let gone = async {
            loop {
                if stream.write_all(b"\r\n").await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), gone).await.expect("the connection ends");
    })
    .await;
}

#[actix_web::test]
async fn an_answer_is_kept_only_while_it_can_be_nothing_else() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let end = lookalike();
    let (cut, rest) = end.split_at(end.len() - 1);
    for (bodies, flushes, kept) in
        [(vec![], 1, true), (vec![], 2, false), (vec![&*end], 0, false), (vec![cut, rest], 0, false)]
    {
        let line = Rc::new(Line::default());
        let mut peer = TcpStream::connect(address).await.unwrap();
        let mut stream = Watched::new(listener.accept().await.unwrap().0, line.clone());
        for body in &bodies {
            line.body(body.as_bytes());
        }
        stream.write_all(end.as_bytes()).await.unwrap();
        for _ in 0..flushes {
            stream.flush().await.unwrap();
        }
        drop(stream);
        let (stream, left) = line.left().expect("the stream");
        drop(stream);
        assert_eq!(left.is_some(), kept, "{bodies:?} {flushes}");
        let passed = if kept { "" } else { &*end };
        assert_eq!(to_end(&mut peer).await, passed.as_bytes(), "{bodies:?} {flushes}");
    }
}
