//! Bytes both ways between two connections, until both sides have ended.
//!
//! A direction begins by copying through the thread's buffer, which is cheapest
//! for short exchanges; one that goes on is moved inside the kernel, by splice(2)
//! through a pipe, and gives the pipe back when it pauses. Nothing is read that
//! cannot be written on: a slow reader slows its sender, as without us.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::sys::socket::{Shutdown, shutdown};
use prometheus_client::metrics::counter::Counter;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::socket::with_buffer;

/// A connection without a byte either way for so long is ended, as conntrack would forget it.
const IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The same when one side has ended already, as conntrack does for CLOSE_WAIT.
const HALF_CLOSED_IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// Bytes copied at a time, and kept for a direction whose reader is slow.
const COPY_BYTES: usize = 16 << 10;
/// A direction that moved so much is spliced: two descriptors and four system
/// calls are worth it from here on.
const SPLICE_AFTER_BYTES: usize = 256 << 10;
/// Bytes moved at a time, which is what a pipe holds.
const PIPE_BYTES: usize = 64 << 10;
/// A pipe nothing passes through is given back after this: descriptors are scarce.
const PIPE_IDLE_MAX: Duration = Duration::from_secs(2);

/// Where the bytes that moved are counted: to the endpoint, to the client.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    pub(super) sent: Counter,
    pub(super) received: Counter,
}

/// Moves bytes both ways until both sides have ended.
///
/// # Errors
/// Either side broke, or nothing moved for too long.
pub(super) async fn pump(client: &TcpStream, endpoint: &TcpStream, bytes: &Bytes) -> io::Result<()> {
    let pulse = Pulse::new();
    let both = async {
        tokio::try_join!(
            one_way(client, endpoint, &pulse, &bytes.sent),
            one_way(endpoint, client, &pulse, &bytes.received)
        )
    };
    tokio::select! {
        ended = both => ended.map(drop),
        () = pulse.stopped() => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// When bytes last moved, in either direction.
struct Pulse {
    begun: Instant,
    last_ms: AtomicU64,
    half_closed: AtomicBool,
    turned: Notify,
}

impl Pulse {
    fn new() -> Pulse {
        let (last_ms, half_closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Pulse { begun: Instant::now(), last_ms, half_closed, turned: Notify::new() }
    }

    fn beat(&self) {
        let elapsed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Ordering::Relaxed);
    }

    fn half_close(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
        self.turned.notify_one();
    }

    /// Resolves when nothing has moved for too long.
    async fn stopped(&self) {
        loop {
            let limit = if self.half_closed.load(Ordering::Relaxed) { HALF_CLOSED_IDLE_MAX } else { IDLE_MAX };
            let end = self.begun + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(end) => {}
                () = self.turned.notified() => {}
            }
        }
    }
}

/// Moves bytes one way until the sender has ended, and tells the reader so.
async fn one_way(from: &TcpStream, to: &TcpStream, pulse: &Pulse, bytes: &Counter) -> io::Result<()> {
    let (mut copied, mut may_splice) = (0, true);
    loop {
        if may_splice && copied >= SPLICE_AFTER_BYTES {
            match splice_while_it_flows(from, to, pulse, bytes).await? {
                Spliced::Ended => break,
                Spliced::Paused => copied = 0,
                Spliced::Refused => may_splice = false,
            }
        }
        from.readable().await?;
        let step = with_buffer(|buffer| {
            let buffer = buffer.get_mut(..COPY_BYTES).unwrap_or_default();
            let read = from.try_read(buffer)?;
            let chunk = buffer.get(..read).unwrap_or_default();
            let written = match to.try_write(chunk) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            Ok((read, chunk.get(written..).unwrap_or_default().to_vec()))
        });
        let (read, rest) = match step {
            Ok((0, _)) => break,
            Ok(step) => step,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        write_all(to, &rest).await?;
        pulse.beat();
        bytes.inc_by(read as u64);
        copied += read;
    }
    pulse.half_close();
    match shutdown(to.as_raw_fd(), Shutdown::Write) {
        // The reader has gone; nobody is left to be told.
        Ok(()) | Err(Errno::ENOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn write_all(to: &TcpStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        to.writable().await?;
        match to.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

enum Spliced {
    /// The sender has ended.
    Ended,
    /// Nothing came for a while.
    Paused,
    /// The kernel does not splice these sockets, or has no pipe left.
    Refused,
}

async fn splice_while_it_flows(
    from: &TcpStream,
    to: &TcpStream,
    pulse: &Pulse,
    bytes: &Counter,
) -> io::Result<Spliced> {
    let Ok((outlet, inlet)) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC) else {
        return Ok(Spliced::Refused);
    };
    loop {
        let filling = from.async_io(Interest::READABLE, || through(from, &inlet, PIPE_BYTES));
        let mut held = match timeout(PIPE_IDLE_MAX, filling).await {
            Err(_) => return Ok(Spliced::Paused),
            Ok(Ok(0)) => return Ok(Spliced::Ended),
            Ok(Ok(held)) => held,
            // The pipe is empty here, so nothing is lost by copying from now on.
            Ok(Err(error)) if is_refusal(&error) => return Ok(Spliced::Refused),
            Ok(Err(error)) => return Err(error),
        };
        bytes.inc_by(held as u64);
        while held > 0 {
            held -= to.async_io(Interest::WRITABLE, || emptied(&outlet, to, held)).await?;
        }
        pulse.beat();
    }
}

fn through(from: &TcpStream, inlet: &OwnedFd, most: usize) -> io::Result<usize> {
    Ok(splice(from.as_fd(), None, inlet, None, most, flags())?)
}

fn emptied(outlet: &OwnedFd, to: &TcpStream, most: usize) -> io::Result<usize> {
    Ok(splice(outlet, None, to.as_fd(), None, most, flags())?)
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE
}

/// seccomp filters, gVisor and old kernels refuse it so.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::EINVAL, Errno::ENOSYS, Errno::EPERM, Errno::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|number| refusals.contains(&Errno::from_raw(number)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    /// Time stands still but where everybody waits: how long it seemed to take.
    async fn ended_after(act: impl AsyncFnOnce(&mut TcpStream, &mut TcpStream)) -> (Duration, io::Result<()>) {
        let ((mut client, near), (far, mut endpoint)) = (pair().await, pair().await);
        let begun = Instant::now();
        let bytes = Bytes::default();
        let (ended, ()) = tokio::join!(pump(&near, &far, &bytes), act(&mut client, &mut endpoint));
        (begun.elapsed(), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_ended_and_one_half_ended_sooner() {
        let (idle, ended) = ended_after(async |_, _| {}).await;
        assert!(idle >= IDLE_MAX && ended.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut), "{idle:?}");
        let (half, ended) = ended_after(async |client, endpoint| {
            client.write_all(b"last words").await.unwrap();
            client.shutdown().await.unwrap();
            let mut heard = Vec::new();
            endpoint.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"last words");
        })
        .await;
        assert!(ended.is_err() && half >= HALF_CLOSED_IDLE_MAX && half < IDLE_MAX, "{half:?}");
    }

    #[tokio::test]
    async fn both_ends_in_order_are_no_error() {
        let (_, ended) = ended_after(async |client, endpoint| {
            client.shutdown().await.unwrap();
            endpoint.write_all(b"answer").await.unwrap();
            endpoint.shutdown().await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"answer");
        })
        .await;
        ended.unwrap();
    }
}
