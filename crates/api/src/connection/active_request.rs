//! Tracks a request on its connection, from its head to the last byte of its response.
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::Request;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;

use super::stream::HttpConnection;

/// Guard of a request that has begun; dropped when its response has ended.
pub struct ActiveRequest(Option<Rc<HttpConnection>>);

impl ActiveRequest {
    /// Begins a request.
    pub fn of(request: &Request) -> Self {
        let connection = request.conn_data::<Rc<HttpConnection>>().cloned();
        if let Some(connection) = &connection {
            connection.begin(request.head().headers().contains_key(TRANSFER_ENCODING));
        }
        Self(connection)
    }

    /// Ties the guard to the body of the response.
    pub fn body(self, body: BoxBody) -> TrackedBody {
        TrackedBody { body, request: self }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.end();
        }
    }
}

/// The body of a response; the request ends with it.
pub struct TrackedBody {
    body: BoxBody,
    request: ActiveRequest,
}

impl MessageBody for TrackedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let part = self.body.as_pin_mut().poll_next(cx);
        if let (Poll::Ready(Some(Ok(part))), Some(connection)) = (&part, &self.request.0) {
            connection.body(part);
        }
        part
    }
}
