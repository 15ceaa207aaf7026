//! Questions over TCP: two bytes of length before every message, several questions per connection.

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
use crate::server::Limits;
use crate::zones::Zones;

/// Accepts until cancelled. Connections above the cap are closed at once.
pub(crate) async fn serve(
    listener: TcpListener,
    zones: Zones,
    limits: Limits,
    cancel: CancellationToken,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.tcp_connections));
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if ends_one_connection(&error) => continue,
                Err(error) => return Err(error),
            },
        };
        if zones.read().faults.refuses_tcp() {
            reset(&stream);
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (zones, cancel) = (zones.clone(), cancel.clone());
        connections.spawn(async move {
            let _place = place;
            tokio::select! {
                () = cancel.cancelled() => {}
                ended = converse(stream, &zones, limits.tcp_idle) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a TCP connection ended");
                    }
                }
            }
        });
    }
}

/// Answers held back at the same time on one connection; what comes above that is read later.
const MAX_DELAYED: usize = 64;

/// Questions of one connection do not wait for each other's answers (RFC 7766 §6.2.1.1).
async fn converse(mut stream: TcpStream, zones: &Zones, idle: Duration) -> io::Result<()> {
    // An answer behind another one would wait for that one's acknowledgement, 40 ms with most systems.
    stream.set_nodelay(true)?;
    let (read, write) = stream.split();
    let (answers, given) = mpsc::channel(1);
    let ended = tokio::try_join!(listen(read, zones, idle, answers), talk(write, idle, given));
    match ended {
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => reset(&stream),
        ended => drop(ended?),
    }
    Ok(())
}

/// An answer, and how much later than it could be it is to be.
type Answer = (Vec<u8>, Duration);

/// Takes questions until the client has no more.
async fn listen(
    mut stream: ReadHalf<'_>,
    zones: &Zones,
    idle: Duration,
    answers: mpsc::Sender<Answer>,
) -> io::Result<()> {
    while let Some(request) = within(idle, read_message(&mut stream)).await? {
        match respond(zones, Transport::Tcp, &request) {
            Reply::Send { bytes, after } => {
                answers.send((bytes, after)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
            }
            Reply::Silence => {}
            Reply::Reset => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
    Ok(())
}

/// Gives every answer in its time, until there is none left to come.
async fn talk(
    mut stream: WriteHalf<'_>,
    idle: Duration,
    mut answers: mpsc::Receiver<Answer>,
) -> io::Result<()> {
    let mut delayed = JoinSet::new();
    loop {
        let bytes = tokio::select! {
            Some(Ok(bytes)) = delayed.join_next() => bytes,
            Some((bytes, after)) = answers.recv(), if delayed.len() < MAX_DELAYED => {
                // The clock's tick is a millisecond: no time is not to take that long.
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

/// Length and message leave in one write (RFC 7766 §8).
async fn write_message(stream: &mut WriteHalf<'_>, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Makes dropping the stream an RST instead of an orderly end.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a TCP connection could not be reset");
    }
}

/// `accept` also reports what happened to the connection it was about to return.
fn ends_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
