//! Bodies of answers: whole bytes, or chunks made when the connection can take
//! them. A slow reader therefore holds one chunk, whatever the answer's length.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Something that makes the next chunk of a body; `None` ends it.
pub(super) trait Chunks: Send + 'static {
    fn next(self: Box<Self>) -> NextChunk;
}

/// The chunk and what makes the one after it.
pub(super) type NextChunk = Pin<Box<dyn Future<Output = Option<(Bytes, Box<dyn Chunks>)>> + Send>>;

/// The body of an answer.
pub(super) enum AnswerBody {
    /// All there is, or nothing left.
    Whole(Option<Bytes>),
    /// The next chunk in the making.
    Chunked(NextChunk),
    /// The last chunk was given out.
    Ended,
}

impl AnswerBody {
    pub(super) fn chunks(chunks: impl Chunks) -> AnswerBody {
        AnswerBody::Chunked(Box::new(chunks).next())
    }
}

impl From<Vec<u8>> for AnswerBody {
    fn from(bytes: Vec<u8>) -> AnswerBody {
        AnswerBody::Whole(Some(Bytes::from(bytes)))
    }
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> AnswerBody {
        AnswerBody::Whole(Some(bytes))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            AnswerBody::Whole(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            AnswerBody::Ended => Poll::Ready(None),
            AnswerBody::Chunked(pending) => match pending.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => {
                    *self = AnswerBody::Ended;
                    Poll::Ready(None)
                }
                Poll::Ready(Some((chunk, rest))) => {
                    *self = AnswerBody::Chunked(rest.next());
                    Poll::Ready(Some(Ok(Frame::data(chunk))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, AnswerBody::Ended | AnswerBody::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            AnswerBody::Ended => SizeHint::with_exact(0),
            AnswerBody::Chunked(_) => SizeHint::default(),
        }
    }
}
