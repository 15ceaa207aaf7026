//! One connection from its first byte to its last, kept so that every request on it is answered as the contract
//! says, also what is no request at all, and so that no client holds it for ever.
mod line;
#[cfg(test)]
mod tests;
mod turn;

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

use self::line::{Awaited, Kept, Line, Watched};
use self::turn::Turn;
use crate::fault::{Fault, Flaw};
use crate::operation::Style;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A whole answer to what is no request, as bytes; the connection is closed after it.
pub type Refuse = Arc<dyn Fn(Fault, Style) -> Vec<u8> + Send + Sync>;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a request's head, from connecting or from its first byte.
    pub request: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// To take some more of an answer.
    pub taking: Duration,
    /// To take a refusal and to close.
    pub farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            taking: Duration::from_mins(1),
            farewell: Duration::from_secs(1),
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
    patience: Patience,
    refuse: Refuse,
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
                let (turn, leaving) = (Turn::of(&request), leaving.clone());
                let answered = Service::call(app, request);
                async move {
                    let mut answer = Response::from(answered.await?).map_body(|_, body| turn.body(body));
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
            .keep_alive(patience.idle)
            // The keeper sees to it, for every request of a connection and not only the first.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(patience.farewell)
            .on_connect_ext(|stream: &Watched, data| _ = data.insert(stream.line().clone()))
            .finish(app);
        let refuse = refuse.clone();
        apply_fn_factory(http, move |stream: TcpStream, http: &_| {
            let line = Rc::new(Line::default());
            let peer = stream.peer_addr().ok();
            let serving = Service::call(http, (Watched::new(stream, line.clone()), Protocol::Http1, peer));
            keep(serving, line, patience, refuse.clone())
        })
    })?;
    Ok((server, addresses))
}

/// How serving a connection ended.
enum End {
    /// The machinery is done with it.
    Done(Result<(), DispatchError>),
    /// The machinery has given up without a word, as it does when the chunks of a body are not well-formed before
    /// their request is answered.
    Broken,
    /// The client kept us waiting too long.
    Late(Awaited),
}

/// Serves a connection to its end.
async fn keep(
    serving: impl Future<Output = Result<(), DispatchError>>,
    line: Rc<Line>,
    patience: Patience,
    refuse: Refuse,
) -> Result<(), DispatchError> {
    let end = until_late(serving, &line, patience).await;
    // The machinery has been dropped, and the stream with it.
    let Some((mut stream, kept)) = line.left() else { return Ok(()) };
    let fault = match (&end, kept) {
        (End::Done(done), Some(kept)) => Some(fault(done, &kept)),
        (End::Done(_), None) | (End::Late(Awaited::Taking), _) => None,
        (End::Broken, _) => Some(Fault::Malformed(Flaw::Chunks)),
        (End::Late(Awaited::Request { .. }), _) => Some(Fault::Slow { within: patience.request }),
    };
    if let Some(fault) = fault {
        let answer = refuse(fault, line.style());
        // A client that does not take it has not asked properly either.
        _ = timeout(patience.farewell, say(&mut stream, &answer)).await;
    }
    match end {
        End::Done(done) => done,
        End::Broken => Ok(()),
        End::Late(_) => Err(DispatchError::SlowRequestTimeout),
    }
}

/// Lets the machinery serve until it is done or the client is late.
async fn until_late(
    serving: impl Future<Output = Result<(), DispatchError>>,
    line: &Line,
    patience: Patience,
) -> End {
    let mut serving = pin!(serving);
    let mut deadline: Option<(Awaited, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = serving.as_mut().poll(cx) {
            let broken = done.is_ok() && line.chunked();
            return Poll::Ready(if broken { End::Broken } else { End::Done(done) });
        }
        let Some(awaited) = line.awaits() else {
            deadline = None;
            return Poll::Pending;
        };
        if deadline.as_ref().is_none_or(|(before, _)| *before != awaited) {
            let within = match awaited {
                Awaited::Request { .. } => patience.request,
                Awaited::Taking => patience.taking,
            };
            deadline = Some((awaited, Box::pin(sleep(within))));
        }
        match &mut deadline {
            Some((_, late)) => late.as_mut().poll(cx).map(|()| End::Late(awaited)),
            None => Poll::Pending,
        }
    })
    .await
}

/// What was wrong, when the machinery gave an answer of its own.
fn fault(done: &Result<(), DispatchError>, kept: &Kept) -> Fault {
    match (done, kept.status) {
        (_, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => Fault::HeadTooLarge,
        (_, StatusCode::INTERNAL_SERVER_ERROR) => Fault::internal("serving a connection", "out of step"),
        (Err(DispatchError::Parse(ParseError::Uri(_) | ParseError::Utf8(_))), _) => {
            Fault::Malformed(Flaw::Target)
        }
        (Err(DispatchError::Parse(ParseError::Version)), _) => Fault::Malformed(Flaw::Version),
        _ => Fault::Malformed(Flaw::Head),
    }
}

/// Says the last word, and hears the client out: closing before it is done would take the word back.
async fn say(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut rest = vec![0; 8 * 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
