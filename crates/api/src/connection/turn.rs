//! A request's turn on its connection: from its first call to the last byte of its answer's body.
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::Request;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;

use super::line::Line;

/// A request that has begun; dropped when its answer is made.
pub struct Turn(Option<Rc<Line>>);

impl Turn {
    /// The turn of a request.
    pub fn of(request: &Request) -> Self {
        let line = request.conn_data::<Rc<Line>>().cloned();
        if let Some(line) = &line {
            line.begin(request.head().headers().contains_key(TRANSFER_ENCODING));
        }
        Self(line)
    }

    /// The body of its answer.
    pub fn body(self, body: BoxBody) -> TurnBody {
        TurnBody { body, turn: self }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.end();
        }
    }
}

/// The body of an answer, which is the end of a turn.
pub struct TurnBody {
    body: BoxBody,
    turn: Turn,
}

impl MessageBody for TurnBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let part = self.body.as_pin_mut().poll_next(cx);
        if let (Poll::Ready(Some(Ok(part))), Some(line)) = (&part, &self.turn.0) {
            line.body(part);
        }
        part
    }
}
