//! HTTP as a platform's backend speaks it: a connection that stays, a key, and a tenant for each request.
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

/// Tenants that the load is spread over, as a platform has many, none of which has thousands of open claims.
const WORKSPACES: u64 = 500;

/// A connection.
pub struct Talk {
    sender: SendRequest<Full<Bytes>>,
    key: String,
    _driver: AbortOnDropHandle<hyper::Result<()>>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("every answer is JSON")
    }
}

/// The tenant that claims the name with this number.
pub fn workspace(n: u64) -> String {
    format!("ws_{}", n % WORKSPACES)
}

/// The name with this number.
pub fn domain(n: u64) -> String {
    format!("bench-{n}.com")
}

impl Talk {
    /// Connects.
    pub async fn to(address: SocketAddr, key: &str) -> Self {
        Self::try_to(address, key).await.expect("a connection")
    }

    /// The same where nobody may be listening yet.
    pub async fn try_to(address: SocketAddr, key: &str) -> std::io::Result<Self> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let driver = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(Self { sender, key: format!("Bearer {key}"), _driver: driver })
    }

    /// A question of no tenant's.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request =
            Request::get(path).header("host", "localhost").body(Full::default()).expect("a request");
        self.send(request).await
    }

    /// Claims the name with this number for its tenant.
    pub async fn claim(&mut self, n: u64) -> Answer {
        let body = format!("{{\"domain\":\"{}\"}}", domain(n));
        self.post("/v1/domains/claims", n, 0, body).await
    }

    /// Asks for its verification and waits at most so many seconds for the first check.
    pub async fn verify(&mut self, n: u64, wait: u64) -> Answer {
        self.post(&format!("/v1/domains/claims/{}/verify", domain(n)), n, wait, String::new()).await
    }

    async fn post(&mut self, path: &str, n: u64, wait: u64, body: String) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", &self.key)
            .header("content-type", "application/json")
            .header("deed-workspace", workspace(n))
            .header("prefer", format!("wait={wait}"))
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.send(request).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.sender.ready().await.expect("a ready connection");
        let answer = self.sender.send_request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, body }
    }
}
