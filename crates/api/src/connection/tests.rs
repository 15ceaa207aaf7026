//! Tests over real sockets, and their client.
mod malformed;
mod passthrough;
mod timeouts;

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

/// Request content that must not appear in a response.
const SECRET: &str = "sesame";

/// One response as received.
#[derive(Debug)]
struct RawResponse {
    head: String,
    body: Vec<u8>,
}

impl RawResponse {
    /// The first response in `bytes`, and the bytes after it.
    fn first(bytes: &[u8]) -> (Self, &[u8]) {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let (head, rest) = (String::from_utf8(bytes[..end].to_vec()).unwrap(), &bytes[end..]);
        let mut answer = Self { head, body: vec![] };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = rest[..length].to_vec();
        (answer, &rest[length..])
    }

    /// The only response in `bytes`.
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

    /// Asserts that it is a complete rejection of a malformed request.
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

/// Reads one response of a connection that stays open.
async fn next_answer(stream: &mut TcpStream) -> RawResponse {
    let mut bytes = vec![];
    loop {
        let complete = bytes.windows(4).position(|four| four == b"\r\n\r\n").is_some_and(|end| {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            bytes.len() >= end + 4 + length.map_or(0, |length| length.parse().unwrap())
        });
        if complete {
            return RawResponse::only(&bytes);
        }
        let read = timeout(Duration::from_secs(30), stream.read_buf(&mut bytes)).await.expect("an answer");
        assert!(read.unwrap() > 0, "closed early: {:?}", String::from_utf8_lossy(&bytes));
    }
}

/// Timeouts of tests about slow clients.
fn short_head_timeout() -> ConnectionTimeouts {
    ConnectionTimeouts { request_head: Duration::from_millis(300), ..ConnectionTimeouts::default() }
}

/// Runs `asking` against the HTTP interface.
async fn with_api(harness: &Harness, timeouts: ConnectionTimeouts, asking: impl AsyncFnOnce(SocketAddr)) {
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

const BIG: usize = 24 << 20;

/// A body that looks like a library response.
fn lookalike() -> String {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n";
    format!("{head}date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n")
}

/// A large body in several parts that ends like a library response.
fn split() -> SizedStream<impl Stream<Item = Result<web::Bytes, io::Error>>> {
    let (end, big) = (lookalike(), vec![b'x'; BIG]);
    let (one, two) = end.split_at(end.len() - 2);
    let parts = [big, one.into(), two.into()].map(|part| Ok(web::Bytes::from(part)));
    SizedStream::new((BIG + end.len()) as u64, futures::stream::iter(parts))
}

/// Runs `asking` against an application with unusual responses.
async fn with_test_app(timeouts: ConnectionTimeouts, asking: impl AsyncFnOnce(SocketAddr)) {
    let reject: RejectFn = Arc::new(|error, _| format!("refused: {}", error.code()).into_bytes());
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
        listen(builder, (Ipv4Addr::LOCALHOST, 0).into(), timeouts, reject, CancellationToken::new(), app)
            .unwrap();
    let stop = CancellationToken::new();
    let asked = async {
        asking(addresses[0]).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(run_until(builder.run(), stop.clone()), asked);
    served.unwrap();
}
