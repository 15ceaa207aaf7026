//! Requests that are not valid HTTP, and unusual ones that are.
use super::*;

/// Malformed requests, each with the reason.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let get = |rest: &str| format!("GET /v1/domains HTTP/1.1\r\n{rest}\r\n\r\n").into_bytes();
    let post =
        |rest: &str| format!("POST /v1/domains HTTP/1.1\r\nhost: x\r\n{rest}\r\n\r\n{SECRET}").into_bytes();
    vec![
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
    ]
}

/// Requests with a head that is too large, each with the reason.
fn large() -> Vec<(&'static str, Vec<u8>)> {
    let get = |rest: &str| format!("GET /v1/domains HTTP/1.1\r\n{rest}\r\n\r\n").into_bytes();
    let many: Vec<_> = (0..97).map(|i| format!("x-{i}: {SECRET}")).collect();
    vec![
        ("too many headers", get(&format!("host: x\r\n{}", many.join("\r\n")))),
        ("a header too large", get(&format!("host: x\r\nx-a: {}", SECRET.repeat(40_000)))),
        ("a target too large", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", SECRET.repeat(40_000)).into()),
    ]
}

#[actix_web::test]
async fn rejects_malformed_requests_with_full_response() {
    let harness = Harness::start().await;
    let (malformed, large) = (malformed(), large());
    with_api(&harness, ConnectionTimeouts::default(), async |address| {
        for (what, bytes) in &malformed {
            println!("{what}");
            RawResponse::only(&exchange(address, bytes).await).assert_refused(400, "MALFORMED_REQUEST");
        }
        for (what, bytes) in &large {
            println!("{what}");
            RawResponse::only(&exchange(address, bytes).await).assert_refused(431, "HEADERS_TOO_LARGE");
        }
        let words = async |bytes: &[u8]| {
            let body = RawResponse::only(&exchange(address, bytes).await).json();
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
async fn rejection_follows_the_contract_of_the_path() {
    let harness = Harness::start().await;
    with_api(&harness, ConnectionTimeouts::default(), async |address| {
        for target in ["/v1/apps", "/v1/apps?x=1", "/v1/apps/app_1/domains/\u{fc}.com"] {
            let request =
                format!("POST {target} HTTP/1.1\r\nhost: x\r\nidempotency-key: {SECRET}\x01\r\n\r\n");
            let answer = RawResponse::only(&exchange(address, request.as_bytes()).await);
            let (body, text) = (answer.json(), String::from_utf8_lossy(&answer.body));
            assert_eq!((answer.status(), &body["status"]), (400, &400.into()), "{text}");
            assert_eq!(body["error"]["code"], "malformed_request", "{text}");
            assert_eq!(body["error"]["type"], "BadRequestError", "{text}");
            assert!(!text.contains(SECRET), "{text}");
        }
        let request = b"POST /v1/appsx HTTP/1.1\r\n\r\n";
        RawResponse::only(&exchange(address, request).await).assert_refused(400, "MALFORMED_REQUEST");
    })
    .await;
}

#[actix_web::test]
async fn unusual_valid_requests_reach_the_pipeline() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    with_api(&harness, ConnectionTimeouts::default(), async |address| {
        let ask = async |head: &str| {
            let (first, rest) = head.split_once("\r\n").unwrap();
            let request = format!("{first}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n{rest}\r\n\r\n");
            RawResponse::only(&exchange(address, request.as_bytes()).await)
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
        assert_eq!(RawResponse::only(bytes).status(), 200);
    })
    .await;
}

#[actix_web::test]
async fn answers_requests_before_a_malformed_one() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    with_api(&harness, ConnectionTimeouts::default(), async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(good.repeat(2).as_bytes()).await.unwrap();
        let mut bytes = vec![];
        while bytes.windows(9).filter(|part| *part == b"HTTP/1.1 ").count() < 2 || !bytes.ends_with(b"}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        let (first, rest) = RawResponse::first(&bytes);
        let second = RawResponse::only(rest);
        assert_eq!((first.status(), second.status()), (200, 200));
        assert_eq!((first.header("connection"), second.header("connection")), (None, None));
        // On the same connection, a malformed request directly after a valid one.
        stream.write_all(format!("{good}{SECRET}\r\n\r\n{good}").as_bytes()).await.unwrap();
        let bytes = to_end(&mut stream).await;
        let (first, rest) = RawResponse::first(&bytes);
        assert_eq!(first.status(), 200);
        RawResponse::only(rest).assert_refused(400, "MALFORMED_REQUEST");
        // Alone, on a connection that has been used.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(good.as_bytes()).await.unwrap();
        assert_eq!(next_answer(&mut stream).await.status(), 200);
        stream.write_all(b"sesame\r\n\r\n").await.unwrap();
        RawResponse::only(&to_end(&mut stream).await).assert_refused(400, "MALFORMED_REQUEST");
    })
    .await;
}

#[actix_web::test]
async fn rejects_malformed_chunked_body() {
    let request = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{SECRET}\r\n\r\n")
    };
    let harness = Harness::start().await;
    with_api(&harness, ConnectionTimeouts::default(), async |address| {
        let answer = RawResponse::only(&exchange(address, request("/v1/domains").as_bytes()).await);
        assert_eq!((answer.status(), &answer.json()["code"]), (401, &"UNAUTHORIZED".into()));
    })
    .await;
    with_test_app(ConnectionTimeouts::default(), async |address| {
        let refused = exchange(address, request("/never").as_bytes()).await;
        assert_eq!(refused, b"refused: MALFORMED_REQUEST");
        // The request that is already in progress is not the malformed one.
        let behind = format!("GET /never HTTP/1.1\r\nhost: x\r\n\r\n{}", request("/204"));
        assert_eq!(exchange(address, behind.as_bytes()).await, b"");
    })
    .await;
}

#[actix_web::test]
async fn rejection_after_slowly_read_response_is_complete() {
    let timeouts = ConnectionTimeouts { shutdown: Duration::from_secs(20), ..ConnectionTimeouts::default() };
    with_test_app(timeouts, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\nsesame\r\n\r\n").await.unwrap();
        // The body is larger than the socket buffers of both sides, so it is written in pieces.
        stream.readable().await.unwrap();
        let bytes = to_end(&mut stream).await;
        let (answer, rest) = RawResponse::first(&bytes);
        assert!(answer.status() == 200 && answer.body == vec![b'x'; BIG]);
        assert_eq!(rest, b"refused: MALFORMED_REQUEST");
    })
    .await;
}
