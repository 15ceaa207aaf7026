//! One connection from its first byte to its last, kept so that every request on it is answered as the contract
//! says, also what is no request at all, and so that no client holds it for ever.
mod active_request;
mod stream;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix_http::error::{DispatchError, ParseError};
use actix_http::{ConnectionType, HttpService, Protocol, Request, Response};
use actix_server::ServerBuilder;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config,
};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::active_request::ActiveRequest;
use self::stream::{ClientAction, HeldResponse, HttpConnection, WatchedStream};
use crate::operation::Contract;
use crate::request_error::{MalformedPart, RequestError};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A whole answer to what is no request, as bytes; the connection is closed after it.
pub type RejectFn = Arc<dyn Fn(RequestError, Contract) -> Vec<u8> + Send + Sync>;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimeouts {
    /// For a request's head, from connecting or from its first byte.
    pub request_head: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// To take some more of an answer.
    pub write: Duration,
    /// To take a refusal and to close.
    pub shutdown: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write: Duration::from_mins(1),
            shutdown: Duration::from_secs(1),
        }
    }
}

/// Adds a plain-text HTTP/1.1 service to a server. To be called within a Tokio runtime.
///
/// It is what `actix_web::HttpServer` puts together, around a stream that is watched. From `leaving` on, a connection ends
/// with its next answer: what a client sends over one that is kept open could meet its end on the way.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen<F, I, S>(
    server: ServerBuilder,
    address: SocketAddr,
    timeouts: ConnectionTimeouts,
    reject: RejectFn,
    leaving: CancellationToken,
    app: F,
) -> io::Result<(ServerBuilder, Vec<SocketAddr>)>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<BoxBody>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
{
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let addresses = vec![listener.local_addr()?];
    let stopping = server.graceful_shutdown_signal();
    let server = server.listen("http", listener, move || {
        let app =
            app().into_factory().map_err(|e: actix_web::Error| Response::<BoxBody>::from(e.error_response()));
        let leaving = leaving.clone();
        let app =
            apply_fn_factory(map_config(app, |()| AppConfig::default()), move |request: Request, app: &_| {
                let (active, leaving) = (ActiveRequest::of(&request), leaving.clone());
                let answered = Service::call(app, request);
                async move {
                    let mut answer = Response::from(answered.await?).map_body(|_, body| active.body(body));
                    if leaving.is_cancelled() {
                        answer.head_mut().set_connection_type(ConnectionType::Close);
                    }
                    Ok(answer)
                }
            });
        let stopping = stopping.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(timeouts.keep_alive)
            // The keeper sees to it, for every request of a connection and not only the first.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(timeouts.shutdown)
            .on_connect_ext(|stream: &WatchedStream, data| _ = data.insert(stream.connection().clone()))
            .finish(app);
        let reject = reject.clone();
        apply_fn_factory(http, move |stream: TcpStream, http: &_| {
            let connection = Rc::new(HttpConnection::default());
            let peer = stream.peer_addr().ok();
            let serving =
                Service::call(http, (WatchedStream::new(stream, connection.clone()), Protocol::Http1, peer));
            serve_connection(serving, connection, timeouts, reject.clone())
        })
    })?;
    Ok((server, addresses))
}

/// How serving a connection ended.
enum ServeEnd {
    /// The machinery is done with it.
    Finished(Result<(), DispatchError>),
    /// The machinery has given up without a word, as it does when the chunks of a body are not well-formed before
    /// their request is answered.
    BrokenChunks,
    /// The client kept us waiting too long.
    ClientTimeout(ClientAction),
}

/// Serves a connection to its end.
async fn serve_connection(
    serving: impl Future<Output = Result<(), DispatchError>>,
    connection: Rc<HttpConnection>,
    timeouts: ConnectionTimeouts,
    reject: RejectFn,
) -> Result<(), DispatchError> {
    let end = serve_with_deadlines(serving, &connection, timeouts).await;
    // The machinery has been dropped, and the stream with it.
    let Some((mut stream, held)) = connection.take_remains() else { return Ok(()) };
    let error = match (&end, held) {
        (ServeEnd::Finished(done), Some(held)) => Some(request_error(done, &held)),
        (ServeEnd::Finished(_), None) | (ServeEnd::ClientTimeout(ClientAction::ReadResponse), _) => None,
        (ServeEnd::BrokenChunks, _) => Some(RequestError::Malformed(MalformedPart::Chunks)),
        (ServeEnd::ClientTimeout(ClientAction::SendRequest { .. }), _) => {
            Some(RequestError::RequestTimeout { within: timeouts.request_head })
        }
    };
    if let Some(error) = error {
        let answer = reject(error, connection.contract());
        // A client that does not take it has not asked properly either.
        _ = timeout(timeouts.shutdown, send_and_drain(&mut stream, &answer)).await;
    }
    match end {
        ServeEnd::Finished(done) => done,
        ServeEnd::BrokenChunks => Ok(()),
        ServeEnd::ClientTimeout(_) => Err(DispatchError::SlowRequestTimeout),
    }
}

/// Lets the machinery serve until it is done or the client is late.
async fn serve_with_deadlines(
    serving: impl Future<Output = Result<(), DispatchError>>,
    connection: &HttpConnection,
    timeouts: ConnectionTimeouts,
) -> ServeEnd {
    let mut serving = pin!(serving);
    let mut deadline: Option<(ClientAction, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = serving.as_mut().poll(cx) {
            let broken = done.is_ok() && connection.chunked();
            return Poll::Ready(if broken { ServeEnd::BrokenChunks } else { ServeEnd::Finished(done) });
        }
        let Some(awaited) = connection.awaited_action() else {
            deadline = None;
            return Poll::Pending;
        };
        if deadline.as_ref().is_none_or(|(before, _)| *before != awaited) {
            let within = match awaited {
                ClientAction::SendRequest { .. } => timeouts.request_head,
                ClientAction::ReadResponse => timeouts.write,
            };
            deadline = Some((awaited, Box::pin(sleep(within))));
        }
        match &mut deadline {
            Some((_, late)) => late.as_mut().poll(cx).map(|()| ServeEnd::ClientTimeout(awaited)),
            None => Poll::Pending,
        }
    })
    .await
}

/// What was wrong, when the machinery gave an answer of its own.
fn request_error(done: &Result<(), DispatchError>, held: &HeldResponse) -> RequestError {
    match (done, held.status) {
        (_, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => RequestError::HeadersTooLarge,
        (_, StatusCode::INTERNAL_SERVER_ERROR) => {
            RequestError::internal("serving a connection", "out of step")
        }
        (Err(DispatchError::Parse(ParseError::Uri(_) | ParseError::Utf8(_))), _) => {
            RequestError::Malformed(MalformedPart::Target)
        }
        (Err(DispatchError::Parse(ParseError::Version)), _) => {
            RequestError::Malformed(MalformedPart::Version)
        }
        _ => RequestError::Malformed(MalformedPart::Head),
    }
}

/// Says the last word, and hears the client out: closing before it is done would take the word back.
async fn send_and_drain(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut rest = vec![0; 8 * 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
