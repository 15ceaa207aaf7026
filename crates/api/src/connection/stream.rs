//! The stream of a connection as actix-http sees it, which observes requests and holds back library responses.
//!
//! actix-http itself answers a request that it cannot parse, with a head and no body. The stream holds such a response
//! back, so that `serve_connection` can send a complete one instead.
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::operation::Contract;

/// State that the stream, its requests and `serve_connection` share.
pub struct HttpConnection {
    /// Requests that have begun and have no complete response yet.
    open: Cell<u32>,
    /// The latest of them has a chunked body.
    chunked: Cell<bool>,
    /// All requests that have begun on this connection.
    begun: Cell<u64>,
    /// The client has connected or sent bytes, and the head of a request is not complete.
    request_due: Cell<bool>,
    /// The next read begins a new request.
    at_start: Cell<bool>,
    /// The client does not read: a write is pending.
    stalled: Cell<bool>,
    /// A response body of ours ended like a head, so a library response can no longer be recognised with certainty.
    ambiguous: Cell<bool>,
    /// The first bytes of the request.
    start: Cell<[u8; START]>,
    held: RefCell<Option<HeldResponse>>,
    /// The stream, once actix-http has dropped it.
    stream: Cell<Option<TcpStream>>,
}

/// A library response that is held back.
#[derive(Debug)]
pub struct HeldResponse {
    /// Its status.
    pub status: StatusCode,
    bytes: Vec<u8>,
    flushed: bool,
}

impl Default for HttpConnection {
    fn default() -> Self {
        Self {
            open: Cell::new(0),
            chunked: Cell::new(false),
            begun: Cell::new(0),
            request_due: Cell::new(true),
            at_start: Cell::new(true),
            stalled: Cell::new(false),
            ambiguous: Cell::new(false),
            start: Cell::new([b' '; START]),
            held: RefCell::new(None),
            stream: Cell::new(None),
        }
    }
}

impl HttpConnection {
    /// Records that a request has begun.
    pub fn begin(&self, chunked: bool) {
        self.chunked.set(chunked);
        self.open.set(self.open.get() + 1);
        self.begun.set(self.begun.get() + 1);
        self.request_due.set(false);
        self.at_start.set(true);
    }

    /// Records that a response has ended or was abandoned.
    pub fn end(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// Observes a part of the body of a response of ours.
    pub fn body(&self, part: &[u8]) {
        if part.ends_with(b"\n") && (part.len() < END.len() || part.ends_with(END)) {
            self.ambiguous.set(true);
        }
    }

    /// The client action that the connection waits for.
    pub fn awaited_action(&self) -> Option<ClientAction> {
        if self.stalled.get() {
            Some(ClientAction::ReadResponse)
        } else if self.request_due.get() && self.open.get() == 0 {
            Some(ClientAction::SendRequest { after: self.begun.get() })
        } else {
            None
        }
    }

    /// Whether a request with a chunked body is in flight.
    pub fn chunked(&self) -> bool {
        self.open.get() > 0 && self.chunked.get()
    }

    /// The contract of the request that has begun, by its path; of the first one if a read brings several.
    pub fn contract(&self) -> Contract {
        let start = self.start.get();
        let path = start.splitn(3, |byte| *byte == b' ').nth(1).unwrap_or_default();
        let path = path.split(|byte| matches!(byte, b'?' | b'#' | b'\r' | b'\n')).next().unwrap_or_default();
        // The prefix that decides is ASCII.
        let ascii = path.iter().position(|byte| !byte.is_ascii()).unwrap_or(path.len());
        Contract::of(str::from_utf8(&path[..ascii]).unwrap_or_default())
    }

    /// The stream and the response that was held back, once actix-http has finished.
    pub fn take_remains(&self) -> Option<(TcpStream, Option<HeldResponse>)> {
        Some((self.stream.take()?, self.held.take()))
    }

    fn read(&self, bytes: &[u8]) {
        if self.open.get() == 0 {
            self.request_due.set(true);
            if self.at_start.replace(false) {
                let (mut start, len) = ([b' '; START], bytes.len().min(START));
                start[..len].copy_from_slice(&bytes[..len]);
                self.start.set(start);
            }
        }
    }
}

/// A client action that a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// To complete a request.
    SendRequest {
        /// Requests before it on this connection.
        after: u64,
    },
    /// To read the response.
    ReadResponse,
}

/// A stream that reports to [`HttpConnection`]. On drop the TCP stream goes back to it.
pub struct WatchedStream {
    /// Present until the drop.
    stream: Option<TcpStream>,
    connection: Rc<HttpConnection>,
}

impl WatchedStream {
    /// Wraps a stream.
    pub fn new(stream: TcpStream, connection: Rc<HttpConnection>) -> Self {
        Self { stream: Some(stream), connection }
    }

    /// The shared state.
    pub fn connection(&self) -> &Rc<HttpConnection> {
        &self.connection
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.stream()?.poll_write(cx, bytes);
        self.connection.stalled.set(sent.is_pending());
        sent
    }

    /// Sends the held response after all: actix-http continues, so it was not its last response.
    fn poll_send_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut held) = self.connection.held.take() {
            let sent = self.poll_send(cx, &held.bytes);
            if let Poll::Ready(Ok(sent)) = sent {
                held.bytes.drain(..sent);
            }
            if !held.bytes.is_empty() {
                self.connection.held.replace(Some(held));
            }
            if ready!(sent)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for WatchedStream {
    fn drop(&mut self) {
        self.connection.stream.set(self.stream.take());
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.stream()?.poll_read(cx, buf);
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.connection.read(bytes);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.connection.held.borrow().is_some() {
            ready!(self.poll_send_held(cx))?;
        }
        match library_response(bytes).filter(|_| !self.connection.ambiguous.get()) {
            None => self.poll_send(cx, bytes),
            Some((0, status)) => {
                let held = HeldResponse { status, bytes: bytes.to_vec(), flushed: false };
                self.connection.held.replace(Some(held));
                Poll::Ready(Ok(bytes.len()))
            }
            // First send the bytes before it.
            Some((at, _)) => self.poll_send(cx, &bytes[..at]),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let again =
            self.connection.held.borrow_mut().as_mut().map(|held| std::mem::replace(&mut held.flushed, true));
        match again {
            None => self.stream()?.poll_flush(cx),
            Some(true) => self.poll_send_held(cx),
            Some(false) => {
                // A second flush shows that actix-http continues.
                cx.waker().wake_by_ref();
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.held.borrow().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.stream()?.poll_shutdown(cx)
    }
}

/// Bytes of a request that are kept: its method and the prefix of its path that decides the contract.
const START: usize = 48;
/// The end of a head.
const END: &[u8] = b"\r\n\r\n";
/// The longest library response, in bytes.
const MAX_LIBRARY_RESPONSE: usize = 160;
/// The length of a date in the preferred format (RFC 9110 §5.6.7).
const DATE: usize = 29;

/// Statuses of library responses.
const LIBRARY_STATUSES: [(&[u8], StatusCode); 3] = [
    (b"400 Bad Request", StatusCode::BAD_REQUEST),
    (b"431 Request Header Fields Too Large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    (b"500 Internal Server Error", StatusCode::INTERNAL_SERVER_ERROR),
];

/// The offset of a library response at the end of `bytes`. Responses of ours always have headers that a library
/// response lacks.
fn library_response(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    if !bytes.ends_with(END) {
        return None;
    }
    let from = bytes.len().saturating_sub(MAX_LIBRARY_RESPONSE);
    let at = from + bytes[from..].windows(7).rposition(|window| window == b"HTTP/1.")?;
    let rest = bytes[at..].strip_prefix(b"HTTP/1.")?;
    let rest = rest.strip_prefix(b"1 ").or_else(|| rest.strip_prefix(b"0 "))?;
    let (rest, status) = LIBRARY_STATUSES
        .iter()
        .find_map(|(connection, status)| Some((rest.strip_prefix(*connection)?, *status)))?;
    let rest = rest.strip_prefix(b"\r\ncontent-length: 0\r\n")?;
    let connection =
        [&b"connection: close\r\n"[..], b"connection: keep-alive\r\n", b"connection: upgrade\r\n"];
    let rest = connection.iter().find_map(|connection| rest.strip_prefix(*connection)).unwrap_or(rest);
    let date = rest.strip_prefix(b"date: ")?.strip_suffix(END)?;
    (date.len() == DATE && date.iter().all(|byte| (b' '..=b'~').contains(byte))).then_some((at, status))
}
