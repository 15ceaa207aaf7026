//! Serves one connection: malformed requests get a response in the contract's format, and slow clients time out.
mod active_request;
mod stream;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
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

/// The listen backlog.
const BACKLOG: u32 = 1024;

/// Renders the whole response to a malformed request, as bytes; the connection is closed after it.
pub type RejectFn = Arc<dyn Fn(RequestError, Contract) -> Vec<u8> + Send + Sync>;

/// Timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimeouts {
    /// For the head of a request, from the connect or from its first byte.
    pub request_head: Duration,
    /// Keep-alive: between two requests.
    pub keep_alive: Duration,
    /// For the client to read some more of a response.
    pub write: Duration,
    /// For the client to read a rejection and to close.
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
/// It does what `actix_web::HttpServer` does, with a stream that is watched. Once `leaving` is cancelled, each response
/// closes its connection: a request on a connection that stays open could be lost when the server stops.
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
    let listener = bind(address)?;
    let addresses = vec![listener.local_addr()?];
    let stopping = server.graceful_shutdown_signal();
    let server = server.listen("http", listener, move || {
        let app =
            app().into_factory().map_err(|e: actix_web::Error| Response::<BoxBody>::from(e.error_response()));
        let leaving = leaving.clone();
        let app =
            apply_fn_factory(map_config(app, |()| AppConfig::default()), move |request: Request, app: &_| {
                let (active, leaving) = (ActiveRequest::of(&request), leaving.clone());
                let serving = Service::call(app, request);
                async move {
                    let mut response = Response::from(serving.await?).map_body(|_, body| active.body(body));
                    if leaving.is_cancelled() {
                        response.head_mut().set_connection_type(ConnectionType::Close);
                    }
                    Ok(response)
                }
            });
        let stopping = stopping.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(timeouts.keep_alive)
            // `serve_connection` has its own timeout, which also covers later requests of a connection.
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

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// How serving a connection ended.
enum ServeEnd {
    /// actix-http has finished.
    Finished(Result<(), DispatchError>),
    /// actix-http has ended without a response, as it does when the chunks of a body are malformed and its request
    /// has no response yet.
    BrokenChunks,
    /// The client has missed a deadline.
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
    // The future of actix-http has been dropped, and with it the stream.
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
        let response = reject(error, connection.contract());
        // A client that does not read the rejection gets none.
        _ = timeout(timeouts.shutdown, send_and_drain(&mut stream, &response)).await;
    }
    match end {
        ServeEnd::Finished(done) => done,
        ServeEnd::BrokenChunks => Ok(()),
        ServeEnd::ClientTimeout(_) => Err(DispatchError::SlowRequestTimeout),
    }
}

/// Lets actix-http serve until it has finished or the client misses a deadline.
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

/// The error behind a response that actix-http made by itself.
fn request_error(done: &Result<(), DispatchError>, held: &HeldResponse) -> RequestError {
    match (done, held.status) {
        (_, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => RequestError::HeadersTooLarge,
        (_, StatusCode::INTERNAL_SERVER_ERROR) => {
            RequestError::internal("serving a connection", "actix-http answered with 500 by itself")
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

/// Sends the last response and reads the rest of the request: closing with unread data would reset the connection
/// and could discard the response.
async fn send_and_drain(stream: &mut TcpStream, response: &[u8]) -> io::Result<()> {
    stream.write_all(response).await?;
    stream.shutdown().await?;
    let mut rest = vec![0; 8 * 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
