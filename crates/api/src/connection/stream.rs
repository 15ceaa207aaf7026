//! A connection's stream as the HTTP machinery sees it, and what its keeper learns by that.
//!
//! The machinery answers a request that it cannot parse by itself, with a head and no body. The stream does not
//! let such an answer out: it is kept, for the keeper to say the same in full.
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::operation::Contract;

/// What the stream, the requests on it and the keeper of a connection know in common.
pub struct HttpConnection {
    /// Requests that have begun and whose answers are not written yet.
    open: Cell<u32>,
    /// The latest of them has a body in chunks.
    chunked: Cell<bool>,
    /// Requests that have begun, ever.
    begun: Cell<u64>,
    /// The client has begun something that is no request yet: at first by connecting.
    request_due: Cell<bool>,
    /// What is read next is the start of something.
    at_start: Cell<bool>,
    /// The client does not take what is written.
    stalled: Cell<bool>,
    /// One of our own bodies ends as a head does, so that a kept answer would not be certain to be none.
    ambiguous: Cell<bool>,
    /// How what was begun starts.
    start: Cell<[u8; START]>,
    held: RefCell<Option<HeldResponse>>,
    /// The stream, once the machinery has let go of it.
    stream: Cell<Option<TcpStream>>,
}

/// An answer of the machinery's own that was not let out.
#[derive(Debug)]
pub struct HeldResponse {
    /// What it says.
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
    /// A request begins, with a body in chunks or another or none.
    pub fn begin(&self, chunked: bool) {
        self.chunked.set(chunked);
        self.open.set(self.open.get() + 1);
        self.begun.set(self.begun.get() + 1);
        self.request_due.set(false);
        self.at_start.set(true);
    }

    /// An answer is made, or nobody waits for it any more.
    pub fn end(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// Part of the body of one of our own answers.
    pub fn body(&self, part: &[u8]) {
        if part.ends_with(b"\n") && (part.len() < END.len() || part.ends_with(END)) {
            self.ambiguous.set(true);
        }
    }

    /// What the connection waits for the client to do.
    pub fn awaited_action(&self) -> Option<ClientAction> {
        if self.stalled.get() {
            Some(ClientAction::ReadResponse)
        } else if self.request_due.get() && self.open.get() == 0 {
            Some(ClientAction::SendRequest { after: self.begun.get() })
        } else {
            None
        }
    }

    /// Whether a request with a body in chunks waits for its answer.
    pub fn chunked(&self) -> bool {
        self.open.get() > 0 && self.chunked.get()
    }

    /// How what was begun is answered, by its path. Where one read brings several requests, it is the first one's.
    pub fn contract(&self) -> Contract {
        let start = self.start.get();
        let path = start.splitn(3, |byte| *byte == b' ').nth(1).unwrap_or_default();
        let path = path.split(|byte| matches!(byte, b'?' | b'#' | b'\r' | b'\n')).next().unwrap_or_default();
        // Anything but ASCII comes after what decides.
        let ascii = path.iter().position(|byte| !byte.is_ascii()).unwrap_or(path.len());
        Contract::of(str::from_utf8(&path[..ascii]).unwrap_or_default())
    }

    /// The stream and the answer that was kept, once the machinery is done.
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

/// What a connection waits for the client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// To complete a request, after so many others.
    SendRequest {
        /// Requests before it.
        after: u64,
    },
    /// To take what is written.
    ReadResponse,
}

/// A stream whose peer is served. On drop it goes to the keeper.
pub struct WatchedStream {
    /// There until it is dropped.
    stream: Option<TcpStream>,
    connection: Rc<HttpConnection>,
}

impl WatchedStream {
    /// Watches a stream.
    pub fn new(stream: TcpStream, connection: Rc<HttpConnection>) -> Self {
        Self { stream: Some(stream), connection }
    }

    /// What is known in common.
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

    /// Lets out what was kept after all: the machinery goes on, so it was not its last word.
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
            // First what comes before it.
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
                // Asked again, it is known that the machinery goes on.
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

/// What is remembered of a request that has begun: its method and what decides of its path.
const START: usize = 48;
/// The end of a head.
const END: &[u8] = b"\r\n\r\n";
/// No answer of the machinery's own is longer.
const MAX_LIBRARY_RESPONSE: usize = 160;
/// A date in the form that HTTP prefers (RFC 9110 §5.6.7).
const DATE: usize = 29;

/// Statuses that the machinery answers with by itself.
const LIBRARY_STATUSES: [(&[u8], StatusCode); 3] = [
    (b"400 Bad Request", StatusCode::BAD_REQUEST),
    (b"431 Request Header Fields Too Large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    (b"500 Internal Server Error", StatusCode::INTERNAL_SERVER_ERROR),
];

/// Where in `bytes` an answer of the machinery's own starts that they end with. Every answer of ours has headers
/// that it has not.
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
