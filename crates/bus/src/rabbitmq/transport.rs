//! Opens connections on sockets that can be cut: a broker that has gone silent must not hold a thread for ever.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties, tcp::OwnedTLSConfig, uri::AMQPScheme, uri::AMQPUri,
};
use tokio::time::timeout;

use super::{
    address::Address,
    trouble::{Trouble, unavailable},
};
use crate::BusError;

/// How long opening the socket may take, and then the handshakes.
const OPENING: Duration = Duration::from_secs(5);

/// A second handle of a connection's socket.
#[derive(Clone, Default)]
pub(super) struct Socket(Arc<Mutex<Option<TcpStream>>>);

impl Socket {
    fn keep(&self, socket: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    /// Ends the connection as if the broker had: whatever waits on it, fails.
    pub fn cut(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A socket that is no longer connected needs no cutting.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Connects and shakes hands. The interval between heartbeats is in seconds.
pub(super) async fn connect(
    address: &Address,
    heartbeat: u16,
    connection_name: &str,
) -> Result<(Connection, Socket), BusError> {
    let mut uri = address.uri.clone();
    uri.query.heartbeat = Some(heartbeat);
    let properties = ConnectionProperties::default()
        .with_connection_name(connection_name.into())
        .with_client_property("product".into(), "deed".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let runtime = lapin::runtime::default_runtime().map_err(unavailable)?;
    let socket = Socket::default();
    let kept = socket.clone();
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri: AMQPUri, runtime| {
            let AMQPUri { scheme, authority, .. } = uri;
            let opening = async {
                let places = tokio::net::lookup_host((&*authority.host, authority.port)).await?;
                AsyncTcpStream::connect(&runtime, places.collect::<Vec<_>>()).await
            };
            let stream =
                timeout(OPENING, opening).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if let AsyncTcpStream::Plain(plain) = &stream {
                plain.get_ref().set_nodelay(true)?;
                kept.keep(plain.get_ref().as_fd().try_clone_to_owned()?.into());
            }
            match scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => {
                    Ok(stream.into_tls(&authority.host, OwnedTLSConfig::default().as_ref()).await?)
                }
            }
        },
        properties,
    );
    match timeout(2 * OPENING, connecting).await {
        Ok(Ok(connection)) => Ok((connection, socket)),
        Ok(Err(error)) => Err(unavailable(error)),
        Err(_) => {
            socket.cut();
            Err(Trouble::Silent.into())
        }
    }
}
