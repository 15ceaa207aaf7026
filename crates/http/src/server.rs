//! The server of an HTTP surface: binds, serves, drains.
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::{Server as ActixServer, Service as _};
use actix_web::http::ConnectionType;
use actix_web::{App, HttpServer, web};
use tokio_util::sync::CancellationToken;

/// Timeouts of a connection; actix-web enforces them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the head of the first request, from the connect.
    pub request_head: Duration,
    /// Keep-alive: between two requests.
    pub keep_alive: Duration,
    /// For the client to close its side after the last response.
    pub disconnect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            disconnect: Duration::from_secs(1),
        }
    }
}

/// Where and how to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Threads that serve; at least 1.
    pub workers: usize,
    /// How long requests in flight may take to finish after a stop.
    pub drain: Duration,
    /// Timeouts of connections.
    pub timeouts: Timeouts,
}

/// A bound server.
pub struct Server {
    server: ActixServer,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Binds the address. To be called within a Tokio runtime. Once `leaving` is cancelled, each response closes its
    /// connection: a request on a connection that stays open could be lost when the server stops.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(
        config: &ServerConfig,
        leaving: CancellationToken,
        routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let app = move || {
            let (routes, leaving) = (routes.clone(), leaving.clone());
            App::new().configure(routes).wrap_fn(move |request, app| {
                let (serving, leaving) = (app.call(request), leaving.clone());
                async move {
                    let mut response = serving.await?;
                    if leaving.is_cancelled() {
                        let head = response.response_mut().head_mut();
                        head.set_connection_type(ConnectionType::Close);
                    }
                    Ok(response)
                }
            })
        };
        let server = HttpServer::new(app)
            .workers(config.workers.max(1))
            .client_request_timeout(config.timeouts.request_head)
            .client_disconnect_timeout(config.timeouts.disconnect)
            .keep_alive(config.timeouts.keep_alive)
            .shutdown_timeout(config.drain.as_secs().max(1))
            .disable_signals()
            .bind(config.listen)?;
        let addresses = server.addrs();
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
        let (handle, stop) = (self.server.handle(), stop.child_token());
        let stopping = async {
            stop.cancelled().await;
            handle.stop(true).await;
        };
        let serving = async {
            let end = self.server.await;
            // When the server ends by itself, the task that waits for the stop has to end too.
            stop.cancel();
            end
        };
        let (end, ()) = tokio::join!(serving, stopping);
        end
    }
}
