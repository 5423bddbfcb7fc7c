//! A netlink socket and its framing: requests, dumps and batches.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};

use super::attrs;

/// What we ask for as send buffer where no transactions are sent.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// What we ask for as receive buffer: the errors of a whole batch, notifications.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// The largest datagram we take; the kernel's dumps use at most 32 KiB.
const DATAGRAM_BYTES_MAX: usize = 128 << 10;
/// The header of a netlink message.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_CAPPED: u16 = 0x100;
/// Extended acknowledgement: the text, and the offset of the attribute at fault.
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
/// How often a dump that was interrupted by a change is begun again.
const DUMPS_MAX: u32 = 20;

/// A message as it came.
#[derive(Clone, Debug)]
pub(in crate::dataplane) struct Message {
    pub(in crate::dataplane) kind: u16,
    pub(in crate::dataplane) flags: u16,
    pub(in crate::dataplane) seq: u32,
    /// The port of the socket that caused it.
    pub(in crate::dataplane) port: u32,
    pub(in crate::dataplane) body: Vec<u8>,
}

/// What the kernel found wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Refusal {
    /// The sequence number of the message.
    pub(in crate::dataplane) seq: u32,
    /// The error number, positive; 0 is an acknowledgement.
    pub(in crate::dataplane) errno: i32,
    /// The offset of the attribute at fault, from the message's start.
    pub(in crate::dataplane) offset: Option<u32>,
    /// What the kernel says.
    pub(in crate::dataplane) text: Option<String>,
}

/// A bound socket of one protocol.
pub(in crate::dataplane) struct Link {
    socket: Socket,
    seq: u32,
    port: u32,
    /// What we would like as send buffer, and what the kernel gave, less its own part.
    send_buffer_bytes: usize,
    send_bytes_max: usize,
}

/// How many bytes a message may have when the kernel has been asked for a buffer.
fn ask_for_send_buffer(socket: &Socket, bytes: usize) -> io::Result<usize> {
    // The forced form needs privilege over the whole machine; a container falls back.
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::SndBuf, &bytes)?;
    }
    Ok(nix::sys::socket::getsockopt(&socket.as_fd(), sockopt::SndBuf)?.saturating_sub(4096))
}

fn ask_for_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    }
    Ok(())
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("port", &self.port).finish_non_exhaustive()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Link {
    pub(in crate::dataplane) fn open(protocol: isize) -> io::Result<Link> {
        Link::open_below(protocol, SEND_BUFFER_BYTES)
    }

    /// A socket whose transactions may be as large as the kernel allows, up to a
    /// buffer of so many bytes (which the kernel doubles).
    pub(in crate::dataplane) fn open_below(protocol: isize, send_buffer_bytes: usize) -> io::Result<Link> {
        let mut socket = Socket::new(protocol)?;
        let send_bytes_max = ask_for_send_buffer(&socket, send_buffer_bytes)?;
        ask_for_receive_buffer(&socket, RECEIVE_BUFFER_BYTES)?;
        let port = socket.bind_auto()?.port_number();
        // Older kernels know neither; errors are then only a number.
        for set in [Socket::set_cap_ack, Socket::set_ext_ack] {
            if let Err(error) = set(&socket, true) {
                tracing::debug!(%error, "netlink socket option refused");
            }
        }
        Ok(Link { socket, seq: 1, port, send_buffer_bytes, send_bytes_max })
    }

    /// How much may wait to be received, as far as the kernel allows.
    pub(in crate::dataplane) fn ask_for_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        ask_for_receive_buffer(&self.socket, bytes)
    }

    pub(in crate::dataplane) fn join(&self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Our port: notifications that carry it were caused by us.
    pub(in crate::dataplane) fn port(&self) -> u32 {
        self.port
    }

    /// How many bytes one transaction may have.
    pub(in crate::dataplane) fn send_bytes_max(&self) -> usize {
        self.send_bytes_max
    }

    /// Whether a transaction of so many bytes can be sent. If not the kernel is asked
    /// again: `wmem_max` may have been raised.
    pub(in crate::dataplane) fn fits(&mut self, bytes: usize) -> bool {
        if bytes > self.send_bytes_max
            && let Ok(now) = ask_for_send_buffer(&self.socket, self.send_buffer_bytes)
        {
            self.send_bytes_max = now;
        }
        bytes <= self.send_bytes_max
    }

    /// The next sequence number.
    pub(in crate::dataplane) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1).max(1);
        self.seq
    }

    /// Sends messages the kernel answers at once, and answers what it refused.
    pub(in crate::dataplane) fn transact(&mut self, bytes: &[u8]) -> io::Result<Vec<Refusal>> {
        self.send(bytes)?;
        // The kernel works inside send: every answer is queued when it returns.
        let mut refusals = Vec::new();
        while let Some(messages) = self.receive(MsgFlags::MSG_DONTWAIT)? {
            let errors = messages.iter().filter(|message| message.kind == NLMSG_ERROR).filter_map(refusal);
            refusals.extend(errors.filter(|refusal| refusal.errno != 0));
        }
        Ok(refusals)
    }

    /// One request with an acknowledgement, for rtnetlink and conntrack.
    pub(in crate::dataplane) fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        let seq = self.next_seq();
        self.send(&frame(kind, flags | NLM_F_REQUEST | 4, seq, body))?;
        let mut answers = Vec::new();
        loop {
            let messages = self.receive(MsgFlags::empty())?.unwrap_or_default();
            for message in messages.into_iter().filter(|message| message.seq == seq) {
                if message.kind != NLMSG_ERROR {
                    answers.push(message);
                    continue;
                }
                return match refusal(&message) {
                    Some(refusal) if refusal.errno != 0 => Err(io::Error::from_raw_os_error(refusal.errno)),
                    Some(_) | None => Ok(answers),
                };
            }
        }
    }

    /// Every message a dump answers. A dump a change ran into is begun again.
    pub(in crate::dataplane) fn dump(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        for _ in 0..DUMPS_MAX {
            if let Some(answers) = self.dump_once(kind, body)? {
                return Ok(answers);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the kernel's tables change faster than they can be read"))
    }

    fn dump_once(&mut self, kind: u16, body: &[u8]) -> io::Result<Option<Vec<Message>>> {
        let mut answers = Vec::new();
        let whole = self.visit(kind, body, &mut |message| answers.push(message));
        match whole {
            Err(error) if error.raw_os_error() == Some(nix::libc::EINTR) => Ok(None),
            whole => Ok(whole?.then_some(answers)),
        }
    }

    /// Tells a dump's messages one by one, for what is too large to be held whole.
    /// Answers whether no change ran into it.
    pub(in crate::dataplane) fn visit(
        &mut self,
        kind: u16,
        body: &[u8],
        each: &mut dyn FnMut(Message),
    ) -> io::Result<bool> {
        let seq = self.next_seq();
        self.send(&frame(kind, NLM_F_REQUEST | NLM_F_DUMP, seq, body))?;
        let mut whole = true;
        loop {
            let messages = self.receive(MsgFlags::empty())?.unwrap_or_default();
            for message in messages.into_iter().filter(|message| message.seq == seq) {
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE => return Ok(whole),
                    NLMSG_ERROR => {
                        return match refusal(&message) {
                            Some(refusal) if refusal.errno != 0 => Err(io::Error::from_raw_os_error(refusal.errno)),
                            Some(_) | None => Ok(true),
                        };
                    }
                    _ => {
                        let last = message.flags & NLM_F_MULTI == 0;
                        each(message);
                        if last {
                            return Ok(whole);
                        }
                    }
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Tells kind, flags and body of each message of one datagram without copying it,
    /// through a buffer that the caller keeps. The error is `WouldBlock` when nothing waits.
    pub(in crate::dataplane) fn receive_each(
        &self,
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(u16, u16, &[u8]),
    ) -> io::Result<()> {
        buffer.clear();
        buffer.reserve(DATAGRAM_BYTES_MAX);
        let (_, from) = self.socket.recv_from(buffer, MsgFlags::MSG_DONTWAIT.bits())?;
        let mut bytes = if from.port_number() == 0 { buffer.as_slice() } else { &[] };
        while let Some((header, body, length)) = peel(bytes) {
            each(header.kind, header.flags, body);
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    /// The messages of one datagram; `None` when nothing waits.
    pub(in crate::dataplane) fn receive(&self, flags: MsgFlags) -> io::Result<Option<Vec<Message>>> {
        let mut buffer: Vec<u8> = Vec::with_capacity(DATAGRAM_BYTES_MAX);
        loop {
            match self.socket.recv_from(&mut buffer, flags.bits()) {
                Ok((_, from)) if from.port_number() != 0 => buffer.clear(),
                Ok(_) => return Ok(Some(split(&buffer))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A message with its header.
pub(in crate::dataplane) fn frame(kind: u16, flags: u16, seq: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    // No message of ours comes near 4 GiB.
    bytes.extend_from_slice(&u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&seq.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
    bytes
}

fn split(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((message, length)) = parse(bytes) {
        messages.push(message);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

fn parse(bytes: &[u8]) -> Option<(Message, usize)> {
    let (Header { kind, flags, seq, port }, body, length) = peel(bytes)?;
    Some((Message { kind, flags, seq, port, body: body.to_vec() }, length))
}

struct Header {
    kind: u16,
    flags: u16,
    seq: u32,
    port: u32,
}

/// The first message: its header, its body, and the length of both.
fn peel(bytes: &[u8]) -> Option<(Header, &[u8], usize)> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let length = usize::try_from(word(0)?).ok()?;
    let body = bytes.get(HEADER..length)?;
    Some((Header { kind: half(4)?, flags: half(6)?, seq: word(8)?, port: word(12)? }, body, length))
}

/// Reads an error message. Its body: errno, the refused header (and its body
/// unless capped), then attributes.
fn refusal(message: &Message) -> Option<Refusal> {
    let errno = i32::from_ne_bytes(message.body.get(..4)?.try_into().ok()?);
    let refused = message.body.get(4..)?;
    let seq = u32::from_ne_bytes(refused.get(8..12)?.try_into().ok()?);
    let mut skip = HEADER;
    if message.flags & NLM_F_CAPPED == 0 {
        skip = usize::try_from(u32::from_ne_bytes(refused.get(..4)?.try_into().ok()?)).ok()?.next_multiple_of(4);
    }
    let extra = if message.flags & NLM_F_ACK_TLVS == 0 { &[] } else { refused.get(skip..).unwrap_or_default() };
    let offset = attrs::find(extra, NLMSGERR_ATTR_OFFS).and_then(|value| value.try_into().ok());
    Some(Refusal {
        seq,
        errno: errno.saturating_neg(),
        offset: offset.map(u32::from_ne_bytes),
        text: attrs::text(extra, NLMSGERR_ATTR_MSG).map(str::to_owned),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]
mod tests {
    use super::*;
    use crate::dataplane::netlink::Attrs;

    /// An error message about a request of `seq`, with its body unless capped.
    fn error(errno: i32, seq: u32, flags: u16, request_body: &[u8], attrs: &Attrs) -> Vec<u8> {
        let request = frame(7, 0, seq, request_body);
        let quoted = if flags & NLM_F_CAPPED == 0 { request.as_slice() } else { request.get(..HEADER).unwrap() };
        let body = [&errno.to_ne_bytes()[..], quoted, attrs.as_bytes()].concat();
        frame(NLMSG_ERROR, flags, 99, &body)
    }

    #[test]
    fn a_datagram_is_cut_at_whole_words_and_a_torn_end_is_dropped() {
        let mut bytes = frame(1, 2, 3, b"abc");
        assert_eq!(bytes.len(), 20, "padded");
        bytes.extend(frame(4, 5, 6, b""));
        let whole = split(&bytes);
        assert_eq!(whole.len(), 2);
        assert_eq!((whole[0].kind, whole[0].flags, whole[0].seq, whole[0].body.as_slice()), (1, 2, 3, &b"abc"[..]));
        assert_eq!((whole[1].kind, whole[1].body.len()), (4, 0));
        for end in 0..bytes.len() {
            assert!(split(bytes.get(..end).unwrap()).len() < 2, "{end}");
        }
        // A length shorter than a header would never end.
        assert!(split(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_empty());
    }

    #[test]
    fn a_refusal_tells_message_attribute_and_reason() {
        let mut extra = Attrs::new();
        extra.bytes(NLMSGERR_ATTR_OFFS, &44u32.to_ne_bytes()).text(NLMSGERR_ATTR_MSG, "no such set");
        let expected = Refusal { seq: 5, errno: 2, offset: Some(44), text: Some("no such set".to_owned()) };
        for flags in [NLM_F_ACK_TLVS, NLM_F_ACK_TLVS | NLM_F_CAPPED] {
            let messages = split(&error(-2, 5, flags, b"a body", &extra));
            assert_eq!(refusal(&messages[0]).as_ref(), Some(&expected), "{flags:x}");
        }
        let plain = split(&error(-17, 6, 0, b"a body", &Attrs::new()));
        assert_eq!(refusal(&plain[0]), Some(Refusal { seq: 6, errno: 17, offset: None, text: None }));
        let ack = split(&error(0, 7, NLM_F_CAPPED, b"", &Attrs::new()));
        assert_eq!(refusal(&ack[0]).map(|refusal| refusal.errno), Some(0));
        let torn = Message { kind: NLMSG_ERROR, flags: 0, seq: 0, port: 0, body: vec![1, 2] };
        assert_eq!(refusal(&torn), None);
    }
}
