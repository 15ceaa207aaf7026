//! DNS over TCP: two bytes of length before every message, several queries per connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control::types::Transport;
use crate::exchange::{Reply, respond};
use crate::limits::Limits;
use crate::zones::Zones;

/// Accepts connections until cancelled. Connections above the limit are closed at once.
pub(crate) async fn serve(
    listener: TcpListener,
    zones: Zones,
    limits: Limits,
    cancel: CancellationToken,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.tcp_connections));
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if concerns_one_connection(&error) => continue,
                Err(error) => return Err(error),
            },
        };
        if zones.read().faults.refuses_tcp() {
            reset(&stream);
        } else if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            let connection = serve_until_cancelled(stream, zones.clone(), limits.tcp_idle, cancel.clone());
            connections.spawn(async move {
                let _slot = slot;
                connection.await;
            });
        }
    }
}

async fn serve_until_cancelled(stream: TcpStream, zones: Zones, idle: Duration, cancel: CancellationToken) {
    let ended = tokio::select! {
        () = cancel.cancelled() => return,
        ended = serve_connection(stream, &zones, idle) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a TCP connection ended");
    }
}

/// Delayed replies per connection; queries above that are read later.
const MAX_DELAYED: usize = 64;

/// Queries on one connection do not wait for each other's replies (RFC 7766 §6.2.1.1).
async fn serve_connection(mut stream: TcpStream, zones: &Zones, idle: Duration) -> io::Result<()> {
    // Otherwise a reply behind another one would wait for its acknowledgement, 40 ms with most systems.
    stream.set_nodelay(true)?;
    let (read, write) = stream.split();
    let (replies, pending) = mpsc::channel(1);
    let ended =
        tokio::try_join!(read_queries(read, zones, idle, replies), write_replies(write, idle, pending));
    match ended {
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => reset(&stream),
        ended => drop(ended?),
    }
    Ok(())
}

/// A reply, and how long it has to be delayed.
type TimedReply = (Vec<u8>, Duration);

/// Reads queries until the client closes the connection.
async fn read_queries(
    mut stream: ReadHalf<'_>,
    zones: &Zones,
    idle: Duration,
    replies: mpsc::Sender<TimedReply>,
) -> io::Result<()> {
    while let Some(request) = within(idle, read_message(&mut stream)).await? {
        match respond(zones, Transport::Tcp, &request) {
            Reply::Send { bytes, after } => {
                replies.send((bytes, after)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
            }
            Reply::None => {}
            Reply::Reset => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
    Ok(())
}

/// Writes every reply after its delay, until there are no more to come.
async fn write_replies(
    mut stream: WriteHalf<'_>,
    idle: Duration,
    mut replies: mpsc::Receiver<TimedReply>,
) -> io::Result<()> {
    let mut delayed = JoinSet::new();
    loop {
        let bytes = tokio::select! {
            Some(Ok(bytes)) = delayed.join_next() => bytes,
            Some((bytes, after)) = replies.recv(), if delayed.len() < MAX_DELAYED => {
                // The timer's resolution is a millisecond: a reply without delay must not take that long.
                if !after.is_zero() {
                    delayed.spawn(async move {
                        tokio::time::sleep(after).await;
                        bytes
                    });
                    continue;
                }
                bytes
            }
            else => return Ok(()),
        };
        within(idle, write_message(&mut stream, &bytes)).await?;
    }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(deadline, work).await?
}

/// The next message, or none when the client has closed the connection between two messages.
async fn read_message(stream: &mut ReadHalf<'_>) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Length and message are sent in one write (RFC 7766 §8).
async fn write_message(stream: &mut WriteHalf<'_>, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Makes dropping the stream send an RST instead of a FIN.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "cannot reset a TCP connection");
    }
}

/// `accept` also reports errors of the connection that it was about to return.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
