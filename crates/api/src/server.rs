//! The server of the HTTP interface.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deed_http::{Routes, Server, ServerConfig, Timeouts};
use tokio_util::sync::CancellationToken;

use crate::routes::{description, operations};
use crate::state::AppState;

/// Where and how to serve the HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// The address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Threads that serve; at least 1.
    pub workers: usize,
    /// How long requests in flight may take to finish after a stop.
    pub drain: Duration,
}

/// The bound HTTP interface.
pub struct Api(Server);

impl Api {
    /// Binds the address. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(config: &ApiConfig, state: &Arc<AppState>) -> io::Result<Self> {
        Self::bind_with(config, state, Timeouts::default())
    }

    pub(crate) fn bind_with(
        config: &ApiConfig,
        state: &Arc<AppState>,
        timeouts: Timeouts,
    ) -> io::Result<Self> {
        let ApiConfig { listen, workers, drain } = *config;
        let server = ServerConfig { listen, workers, drain, timeouts };
        let (routes, state) = (Routes::new(&description(), operations()), state.clone());
        let leaving = state.http.leaving.clone();
        Server::bind(&server, leaving, move |config| routes.configure(config, &state)).map(Self)
    }

    /// The addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.0.addresses()
    }

    /// Serves until `stop` is cancelled, then finishes the requests in flight.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        self.0.run(stop).await
    }
}
