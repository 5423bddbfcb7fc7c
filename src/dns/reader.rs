//! The threads that answer datagrams, and do nothing else.
//!
//! On the runtime's own threads a question waits behind whatever else is at work
//! there: one API request takes as long as dozens of answers. A thread that mostly
//! sleeps is let in by the kernel instead, and sooner the less it asks for at a time.

use std::convert::Infallible;
use std::{io, thread};

use nix::libc;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// More than one thread only where several cores can read.
const THREADS_MAX: usize = 4;

/// What such a thread asks to work at a time while others want to, in nanoseconds: the
/// least the kernel grants, and time for several answers.
const SLICE_NANOS: u64 = 100_000;

/// Such threads; they end when this is dropped, and with them all they work at.
#[derive(Debug)]
pub(crate) struct Readers(Vec<Reader>);

#[derive(Debug)]
struct Reader {
    handle: Handle,
    /// Only ever dropped.
    _stop: oneshot::Sender<Infallible>,
}

impl Readers {
    /// As many as there are sockets of an address ([`sockets`]).
    pub(crate) fn start() -> io::Result<Readers> {
        (0..sockets()).map(|_| Reader::start()).collect::<io::Result<_>>().map(Readers)
    }

    /// Where the tasks of each socket of an address run.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter().map(|reader| &reader.handle).cycle()
    }
}

impl Reader {
    fn start() -> io::Result<Reader> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new().name("dns".to_owned()).spawn(move || {
            if let Err(error) = ask_for_short_slices() {
                tracing::debug!(%error, "DNS waits its turn like any other thread");
            }
            runtime.block_on(stopped)
        })?;
        Ok(Reader { handle, _stop: stop })
    }
}

/// This thread goes before those that want longer turns (Linux 6.12; older kernels
/// take no notice), unless whoever started us chose another way to schedule.
#[allow(unsafe_code, reason = "the two system calls have no safe wrapper")]
fn ask_for_short_slices() -> io::Result<()> {
    let mut wanted = libc::sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = size_of_val(&wanted);
    // SAFETY: thread 0 is this one; the kernel writes no more than `size` bytes of a
    // value that is all integers, and reads as many as it wrote.
    let done = unsafe {
        libc::syscall(libc::SYS_sched_getattr, 0, &raw mut wanted, size, 0) == 0
            && (wanted.sched_policy != libc::SCHED_OTHER.unsigned_abs() || {
                wanted.sched_runtime = SLICE_NANOS;
                libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) == 0
            })
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// UDP sockets of one address.
pub(crate) fn sockets() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX))
}
