//! Clients that are slow or do not read, and connections at the end of the server.
use super::*;

#[actix_web::test]
async fn slow_request_head_times_out() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    with_api(&harness, short_head_timeout(), async |address| {
        RawResponse::only(&exchange(address, b"").await).assert_refused(408, "REQUEST_TIMEOUT");
        let part = b"GET /v1/domains HTTP/1.1\r\nx-a: sesame";
        RawResponse::only(&exchange(address, part).await).assert_refused(408, "REQUEST_TIMEOUT");
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            stream.write_all(good.as_bytes()).await.unwrap();
            assert_eq!(next_answer(&mut stream).await.status(), 200);
        }
        stream.write_all(&good.as_bytes()[..1]).await.unwrap();
        RawResponse::only(&to_end(&mut stream).await).assert_refused(408, "REQUEST_TIMEOUT");
    })
    .await;
}

#[actix_web::test]
async fn endless_body_does_not_hold_its_connection() {
    let harness = Harness::start().await;
    with_api(&harness, short_head_timeout(), async |address| {
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
        let (answer, _) = RawResponse::first(&bytes);
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (401, Some("UNAUTHORIZED")));
    })
    .await;
}

#[actix_web::test]
async fn server_side_wait_does_not_time_out_the_client() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.post("/v1/domains/claims", &key, serde_json::json!({ "domain": "acme.com" })).await;
    with_api(&harness, short_head_timeout(), async |address| {
        let request = format!(
            "POST /v1/domains/claims/acme.com/verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             prefer: wait=1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(RawResponse::only(&exchange(address, request.as_bytes()).await).status(), 202);
    })
    .await;
}

#[actix_web::test]
async fn closes_connection_when_client_does_not_read() {
    let timeouts = ConnectionTimeouts { write: Duration::from_millis(300), ..ConnectionTimeouts::default() };
    with_test_app(timeouts, async |address| {
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
async fn stop_does_not_wait_for_idle_connections() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    let mut idle = None;
    let served = with_api(&harness, ConnectionTimeouts::default(), async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(good.as_bytes()).await.unwrap();
        assert_eq!(next_answer(&mut stream).await.status(), 200);
        idle = Some(stream);
    });
    timeout(Duration::from_secs(10), served).await.expect("sooner than the drain");
    assert!(to_end(&mut idle.unwrap()).await.is_empty());
}

#[actix_web::test]
async fn leaving_server_closes_connections_after_response() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let good = format!("GET /v1/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    with_api(&harness, ConnectionTimeouts::default(), async |address| {
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
