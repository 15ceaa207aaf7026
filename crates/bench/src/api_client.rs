//! An HTTP client on one persistent connection, with a service key and a workspace per request.
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::request;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

/// Workspaces that the load is spread over, so that none has thousands of open claims.
const WORKSPACES: u64 = 500;

/// A client connection.
pub struct ApiClient {
    sender: SendRequest<Full<Bytes>>,
    key: String,
    _driver: AbortOnDropHandle<hyper::Result<()>>,
}

/// A response.
pub struct ApiResponse {
    pub status: u16,
    pub body: Bytes,
}

impl ApiResponse {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("every answer is JSON")
    }
}

/// The workspace of a name.
pub fn workspace(n: u64) -> String {
    format!("ws_{}", n % WORKSPACES)
}

/// The name with this number.
pub fn domain(n: u64) -> String {
    format!("bench-{n}.com")
}

impl ApiClient {
    /// Connects.
    pub async fn to(address: SocketAddr, key: &str) -> Self {
        Self::try_to(address, key).await.expect("a connection")
    }

    /// Connects, unless nothing listens yet.
    pub async fn try_to(address: SocketAddr, key: &str) -> std::io::Result<Self> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let driver = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(Self { sender, key: format!("Bearer {key}"), _driver: driver })
    }

    /// A GET request without a workspace.
    pub async fn get(&mut self, path: &str) -> ApiResponse {
        let request =
            Request::get(path).header("host", "localhost").body(Full::default()).expect("a request");
        self.send(request).await
    }

    /// A GET request in the workspace of this number.
    pub async fn read(&mut self, path: &str, n: u64) -> ApiResponse {
        let request = self.request(Method::GET, path, n).body(Full::default()).expect("a request");
        self.send(request).await
    }

    /// Claims the name with this number.
    pub async fn claim(&mut self, n: u64) -> ApiResponse {
        let body = format!("{{\"domain\":\"{}\"}}", domain(n));
        self.post("/v1/domains/claims", n, 0, body).await
    }

    /// Requests verification and waits at most this many seconds for the first check.
    pub async fn verify(&mut self, n: u64, wait: u64) -> ApiResponse {
        self.post(&format!("/v1/domains/claims/{}/verify", domain(n)), n, wait, String::new()).await
    }

    async fn post(&mut self, path: &str, n: u64, wait: u64, body: String) -> ApiResponse {
        let request = self
            .request(Method::POST, path, n)
            .header("content-type", "application/json")
            .header("prefer", format!("wait={wait}"))
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.send(request).await
    }

    /// A request in the workspace of this number.
    fn request(&self, method: Method, path: &str, n: u64) -> request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", &self.key)
            .header("deed-workspace", workspace(n))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> ApiResponse {
        self.sender.ready().await.expect("a ready connection");
        let answer = self.sender.send_request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        ApiResponse { status, body }
    }
}
