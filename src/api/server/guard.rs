//! A connection that may not stall: its first bytes must come in time, and what
//! we write must be taken in time. A client that is merely idle is left alone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The length of HTTP/2's preface: with fewer bytes the protocol is not known,
/// and hyper's own header deadline is not yet running.
const PREFACE_BYTES: usize = 24;

/// A stream with deadlines.
pub(super) struct Guarded<S> {
    stream: S,
    received: usize,
    /// Until when the preface must be there; gone once it is.
    opening: Option<Pin<Box<Sleep>>>,
    /// Until when the peer must take some bytes; set while it takes none.
    stalled: Option<Pin<Box<Sleep>>>,
    write_stall: Duration,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, opening: Duration, write_stall: Duration) -> Guarded<S> {
        let opening = Some(Box::pin(sleep_until(Instant::now() + opening)));
        Guarded { stream, received: 0, opening, stalled: None, write_stall }
    }

    fn watch_stall<T>(&mut self, context: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let deadline = Instant::now() + self.write_stall;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(opening) = &mut self.opening {
            match &read {
                Poll::Ready(_) => {
                    self.received += buffer.filled().len() - before;
                    if self.received >= PREFACE_BYTES {
                        self.opening = None;
                    }
                }
                Poll::Pending if opening.as_mut().poll(context).is_ready() => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer sent no request")));
                }
                Poll::Pending => {}
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_stall(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_stall(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_stall(context, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_stall(context, progress)
    }
}
