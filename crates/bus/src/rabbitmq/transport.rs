//! Opens connections on sockets that can be shut down from outside: a silent broker must not hold a thread for ever.

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
    broker_error::{BrokerError, unavailable},
};
use crate::BusError;

/// How long opening the socket may take. The AMQP handshake may take as long again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A second handle to a connection's socket.
#[derive(Clone, Default)]
pub(super) struct SocketHandle(Arc<Mutex<Option<TcpStream>>>);

impl SocketHandle {
    fn set(&self, socket: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    /// Shuts the socket down, so that pending reads and writes on it fail.
    pub fn shut_down(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Fails when the socket is no longer connected, which is what is wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Connects and performs the TLS and AMQP handshakes. The heartbeat interval is in seconds.
pub(super) async fn connect(
    address: &Address,
    heartbeat: u16,
    connection_name: &str,
) -> Result<(Connection, SocketHandle), BusError> {
    let mut uri = address.uri.clone();
    uri.query.heartbeat = Some(heartbeat);
    let properties = ConnectionProperties::default()
        .with_connection_name(connection_name.into())
        .with_client_property("product".into(), "deed".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let runtime = lapin::runtime::default_runtime().map_err(unavailable)?;
    let socket = SocketHandle::default();
    let socket_handle = socket.clone();
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri: AMQPUri, runtime| {
            let AMQPUri { scheme, authority, .. } = uri;
            let opening = async {
                let addresses = tokio::net::lookup_host((&*authority.host, authority.port)).await?;
                AsyncTcpStream::connect(&runtime, addresses.collect::<Vec<_>>()).await
            };
            let stream = timeout(OPEN_TIMEOUT, opening)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if let AsyncTcpStream::Plain(plain) = &stream {
                plain.get_ref().set_nodelay(true)?;
                socket_handle.set(plain.get_ref().as_fd().try_clone_to_owned()?.into());
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
    match timeout(2 * OPEN_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok((connection, socket)),
        Ok(Err(error)) => Err(unavailable(error)),
        Err(_) => {
            socket.shut_down();
            Err(BrokerError::Timeout.into())
        }
    }
}
