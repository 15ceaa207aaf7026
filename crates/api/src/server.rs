//! The server of the HTTP interface: binds, serves, and stops when told to.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer};
use tokio_util::sync::CancellationToken;

use crate::routes::Routes;
use crate::state::AppState;

/// Where and how to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// The address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Threads that serve; at least 1.
    pub workers: usize,
    /// How long requests in hand may take to finish after a stop.
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
        let (routes, state) = (Routes::new(), state.clone());
        let server = HttpServer::new(move || App::new().configure(|config| routes.configure(config, &state)))
            .workers(config.workers.max(1))
            .keep_alive(Duration::from_secs(75))
            .shutdown_timeout(config.drain.as_secs().max(1))
            .disable_signals()
            .bind(config.listen)?;
        let addresses = server.addrs();
        Ok(Self { server: server.run(), addresses })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` is cancelled, then finishes what is in hand.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        run_until(self.server, stop).await
    }
}

/// Runs a server until it is told to stop.
pub async fn run_until(server: Server, stop: CancellationToken) -> io::Result<()> {
    let (handle, stop) = (server.handle(), stop.child_token());
    let stopping = async {
        stop.cancelled().await;
        handle.stop(true).await;
    };
    let (served, ()) = tokio::join!(
        async {
            let served = server.await;
            // A server that ended by itself must not leave the other half waiting.
            stop.cancel();
            served
        },
        stopping
    );
    served
}
