//! Hears from conntrack which connections begin, change and end.

use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::dataplane::conntrack::entry::Word;
use crate::dataplane::netlink::Link;

/// `NFNLGRP_CONNTRACK_NEW`, `_UPDATE`, `_DESTROY`.
const GROUPS: [u32; 3] = [1, 2, 3];
/// Messages of conntrack: an entry is there, or was deleted.
const ENTRY: u16 = 1 << 8;
const DELETED: u16 = 1 << 8 | 2;
/// `NLM_F_CREATE`
const CREATED: u16 = 0x400;
/// Words heard at once: in a storm of them turns are to be written all the same.
const WORDS_AT_ONCE: usize = 4_096;
/// And taken away where some were lost: more than any buffer holds.
const WAITING_MAX: usize = 262_144;
/// Missing where the kernel cannot tell (`CONFIG_NF_CONNTRACK_EVENTS`).
const SETTING: &str = "/proc/sys/net/netfilter/nf_conntrack_events";

/// What the kernel tells, by its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    Nothing,
    /// Of connections that begin while somebody listens.
    OfNew,
    OfAll,
}

impl Telling {
    pub(super) fn now() -> Telling {
        match std::fs::read_to_string(SETTING).as_deref().map(str::trim) {
            Err(_) | Ok("0") => Telling::Nothing,
            Ok("1") => Telling::OfAll,
            Ok(_) => Telling::OfNew,
        }
    }
}

/// What hearing came to.
#[derive(Debug)]
pub(super) enum Heard {
    /// Everything that waited, or a good part of it.
    Words,
    /// The kernel had no room for all it had to tell.
    Overrun,
    Failed(io::Error),
}

/// The socket.
#[derive(Debug)]
pub(super) struct Ear {
    socket: AsyncFd<Link>,
    buffer: Vec<u8>,
}

impl Ear {
    pub(super) fn open(buffer_bytes: usize) -> io::Result<Ear> {
        let link = Link::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
        link.ask_for_receive_buffer(buffer_bytes)?;
        GROUPS.iter().try_for_each(|group| link.join(*group))?;
        #[allow(deprecated, reason = "its successor is unsafe; a Link keeps one descriptor for its life")]
        let socket = AsyncFd::with_interest(link, Interest::READABLE)?;
        Ok(Ear { socket, buffer: Vec::new() })
    }

    /// Waits until there is something to hear.
    pub(super) async fn ready(&self) -> io::Result<()> {
        self.socket.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// Hears what waits.
    pub(super) fn hear(&mut self, each: &mut dyn FnMut(Word, &[u8])) -> Heard {
        let Ear { socket, buffer } = self;
        let (mut left, mut lost) = (WORDS_AT_ONCE, false);
        while left > 0 {
            left -= 1;
            let heard = socket.try_io(Interest::READABLE, |link| {
                link.receive_each(buffer, &mut |kind, flags, body| {
                    let word = match kind {
                        ENTRY if flags & CREATED != 0 => Word::New,
                        ENTRY => Word::Changed,
                        DELETED => Word::Gone,
                        _ => return,
                    };
                    each(word, body.get(4..).unwrap_or_default());
                })
            });
            match heard {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Until all that waits is taken away the kernel drops more without a word.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                    left = if lost { left } else { WAITING_MAX };
                    lost = true;
                }
                Err(error) => return Heard::Failed(error),
            }
        }
        if lost { Heard::Overrun } else { Heard::Words }
    }
}
