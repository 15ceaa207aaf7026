//! Responses of the application pass unchanged, even those that look like responses of actix-http.
use super::*;

#[actix_web::test]
async fn own_responses_pass_unchanged() {
    with_test_app(ConnectionTimeouts::default(), async |address| {
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
            assert_eq!(RawResponse::only(&to_end(&mut stream).await).body, body.into_bytes(), "half closed");
        }
    })
    .await;
}

#[actix_web::test]
async fn body_that_looks_like_a_rejection_passes() {
    let timeouts = ConnectionTimeouts { shutdown: Duration::from_secs(20), ..ConnectionTimeouts::default() };
    with_test_app(timeouts, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /split HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        stream.readable().await.unwrap();
        let answer = RawResponse::only(&to_end(&mut stream).await);
        assert!(answer.status() == 200 && answer.body.len() == BIG + lookalike().len());
        assert!(answer.body.ends_with(lookalike().as_bytes()));
    })
    .await;
}

#[actix_web::test]
async fn holds_back_only_unambiguous_library_responses() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let end = lookalike();
    let (cut, rest) = end.split_at(end.len() - 1);
    for (bodies, flushes, held) in
        [(vec![], 1, true), (vec![], 2, false), (vec![&*end], 0, false), (vec![cut, rest], 0, false)]
    {
        let connection = Rc::new(HttpConnection::default());
        let mut peer = TcpStream::connect(address).await.unwrap();
        let mut stream = WatchedStream::new(listener.accept().await.unwrap().0, connection.clone());
        for body in &bodies {
            connection.body(body.as_bytes());
        }
        stream.write_all(end.as_bytes()).await.unwrap();
        for _ in 0..flushes {
            stream.flush().await.unwrap();
        }
        drop(stream);
        let (stream, left) = connection.take_remains().expect("the stream");
        drop(stream);
        assert_eq!(left.is_some(), held, "{bodies:?} {flushes}");
        let passed = if held { "" } else { &*end };
        assert_eq!(to_end(&mut peer).await, passed.as_bytes(), "{bodies:?} {flushes}");
    }
}
