//! The server of the HTTP interface: binds, serves, drains.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::dev::Server;
use tokio_util::sync::CancellationToken;

use crate::connection::{ConnectionTimeouts, RejectFn, listen};
use crate::pipeline;
use crate::routes::Routes;
use crate::state::AppState;

/// Where and how to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// The address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Threads that serve; at least 1.
    pub workers: usize,
    /// How long requests in flight may take to finish after a stop.
    pub drain: Duration,
}

/// A bound server.
pub struct Api {
    server: Server,
    addresses: Vec<SocketAddr>,
}

impl Api {
    /// Binds the address. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(config: &ApiConfig, state: &Arc<AppState>) -> io::Result<Self> {
        Self::bind_with(config, state, ConnectionTimeouts::default())
    }

    pub(crate) fn bind_with(
        config: &ApiConfig,
        state: &Arc<AppState>,
        timeouts: ConnectionTimeouts,
    ) -> io::Result<Self> {
        let server = Server::build()
            .workers(config.workers.max(1))
            .shutdown_timeout(config.drain.as_secs().max(1))
            .disable_signals();
        let (routes, leaving) = (Routes::new(), state.leaving.clone());
        let (state, reject_state) = (state.clone(), state.clone());
        let reject: RejectFn =
            Arc::new(move |error, contract| pipeline::reject_malformed(&reject_state, contract, error));
        let app = move || App::new().configure(|config| routes.configure(config, &state));
        let (server, addresses) = listen(server, config.listen, timeouts, reject, leaving, app)?;
        Ok(Self { server: server.run(), addresses })
    }

    /// The addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` is cancelled, then finishes the requests in flight.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        run_until(self.server, stop).await
    }
}

/// Runs a server until `stop` is cancelled.
pub async fn run_until(server: Server, stop: CancellationToken) -> io::Result<()> {
    let (handle, stop) = (server.handle(), stop.child_token());
    let stopping = async {
        stop.cancelled().await;
        handle.stop(true).await;
    };
    let serving = async {
        let end = server.await;
        // When the server ends by itself, the task that waits for the stop has to end too.
        stop.cancel();
        end
    };
    let (end, ()) = tokio::join!(serving, stopping);
    end
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use deed_store::KeyScope;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::testing::Harness;

    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn bound(harness: &Harness) -> (Api, SocketAddr) {
        let config =
            ApiConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), workers: 1, drain: Duration::from_secs(10) };
        let api = Api::bind(&config, &harness.state).unwrap();
        let address = api.addresses()[0];
        (api, address)
    }

    #[tokio::test]
    async fn stop_drains_requests_and_accepts_no_new_ones() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        let (api, address) = bound(&harness);
        let stop = harness.state.stop.clone();
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
        let (served, answer, ()) =
            tokio::join!(api.run(stop.clone()), exchange(address, &request), stop_when_it_waits);
        served.unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn reads_chunked_body_up_to_limit() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let (api, address) = bound(&harness);
        let stop = harness.state.stop.clone();
        let head = format!(
            "POST /v1/domains/claims HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let ask = async {
            let small = format!("{head}9\r\n{{\"domain\"\r\nb\r\n:\"acme.com\"\r\n1\r\n}}\r\n0\r\n\r\n");
            let small = exchange(address, &small).await;
            let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
            let large = exchange(address, &format!("{head}{}0\r\n\r\n", chunk.repeat(3))).await;
            stop.cancel();
            (small, large)
        };
        let (served, (small, large)) = tokio::join!(api.run(stop.clone()), ask);
        served.unwrap();
        assert!(small.starts_with("HTTP/1.1 200 "), "{small}");
        assert!(large.starts_with("HTTP/1.1 413 ") && large.contains("BODY_TOO_LARGE"), "{large}");
    }
}
