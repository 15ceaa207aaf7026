//! DNS over UDP.

use std::io;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control::types::Transport;
use crate::exchange::{Reply, respond};
use crate::zones::Zones;

/// Delayed replies at a time; queries above that are lost, as on a busy network.
const MAX_DELAYED: usize = 1024;
const MAX_DATAGRAM: usize = 65_535;

/// Answers queries until cancelled. Only an error of the socket ends it early.
pub(crate) async fn serve(socket: Arc<UdpSocket>, zones: Zones, cancel: CancellationToken) -> io::Result<()> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut delayed = JoinSet::new();
    loop {
        let (length, client) = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            Some(_) = delayed.join_next() => continue,
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // An earlier reply reached no client; the socket itself works.
                Err(error) if concerns_one_client(&error) => continue,
                Err(error) => return Err(error),
            },
        };
        let Reply::Send { bytes, after } = respond(&zones, Transport::Udp, &buffer[..length]) else {
            continue;
        };
        if after.is_zero() {
            send(&socket, &bytes, client).await;
        } else if delayed.len() < MAX_DELAYED {
            let socket = Arc::clone(&socket);
            delayed.spawn(async move {
                tokio::time::sleep(after).await;
                send(&socket, &bytes, client).await;
            });
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], client: std::net::SocketAddr) {
    if let Err(error) = socket.send_to(bytes, client).await {
        tracing::debug!(%error, "cannot send a response");
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}
