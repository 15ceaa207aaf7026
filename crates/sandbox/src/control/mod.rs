//! The control interface: HTTP/1.1 with JSON on its own port.

mod request;
mod routes;
pub mod types;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::zones::Zones;

/// Control connections open at the same time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take for a request's head, which is also how long a connection may be idle.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// How long requests in progress may take when the sandbox stops.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Accepts until cancelled; then requests in progress are finished.
pub(crate) async fn serve(
    listener: TcpListener,
    dns: SocketAddr,
    zones: Zones,
    cancel: CancellationToken,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let next = async {
            let slot = slot.await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            Ok::<_, io::Error>((slot, stream))
        };
        let (slot, stream) = tokio::select! {
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = next => match accepted {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            },
        };
        let (zones, cancel) = (zones.clone(), cancel.clone());
        connections.spawn(async move {
            let _slot = slot;
            serve_connection(stream, dns, zones, cancel).await;
        });
    }
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_DEADLINE, finished).await.is_err() {
        tracing::debug!("closed control connections that did not end in time");
    }
    Ok(())
}

async fn serve_connection(stream: TcpStream, dns: SocketAddr, zones: Zones, cancel: CancellationToken) {
    let service = service_fn(move |request| {
        let zones = zones.clone();
        async move { Ok::<_, Infallible>(routes::respond(&zones, dns, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a control connection ended");
    }
}
