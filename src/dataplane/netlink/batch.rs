//! nf_tables transactions: messages that take effect together or not at all.

use std::io;

use super::attrs::Attrs;
use super::socket::{Link, frame};

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NLM_F_REQUEST: u16 = 1;
/// `NLM_F_CREATE`
pub(in crate::dataplane) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`
pub(in crate::dataplane) const APPEND: u16 = 0x800;
/// How often a transaction that met another one is begun again.
const TRIES_MAX: u32 = 10;
const ERESTART: i32 = 85;
/// The headers of a message: netlink's and nf_tables'.
const HEADER: usize = 16;
const BODY_HEADER: usize = 4;
/// What begins and ends a transaction.
const FRAME_BYTES: usize = 2 * (HEADER + BODY_HEADER);

/// The messages of nf_tables we use.
pub(in crate::dataplane) mod message {
    pub(in crate::dataplane) const NEWTABLE: u16 = 0;
    pub(in crate::dataplane) const GETTABLE: u16 = 1;
    pub(in crate::dataplane) const DELTABLE: u16 = 2;
    pub(in crate::dataplane) const NEWCHAIN: u16 = 3;
    pub(in crate::dataplane) const GETCHAIN: u16 = 4;
    pub(in crate::dataplane) const DELCHAIN: u16 = 5;
    pub(in crate::dataplane) const NEWRULE: u16 = 6;
    pub(in crate::dataplane) const GETRULE: u16 = 7;
    pub(in crate::dataplane) const DELRULE: u16 = 8;
    pub(in crate::dataplane) const NEWSET: u16 = 9;
    pub(in crate::dataplane) const GETSET: u16 = 10;
    pub(in crate::dataplane) const NEWSETELEM: u16 = 12;
    pub(in crate::dataplane) const GETSETELEM: u16 = 13;
    pub(in crate::dataplane) const DELSETELEM: u16 = 14;
}

/// The kernel refused a transaction; nothing of it took effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {}{}", io::Error::from_raw_os_error(*errno), detail(*offset, text.as_deref()))]
pub struct Refused {
    /// The operation at fault, in nft's words.
    pub what: String,
    /// The error number.
    pub errno: i32,
    /// The attribute at fault, as an offset into the message.
    pub offset: Option<u32>,
    /// What the kernel says of it.
    pub text: Option<String>,
}

fn detail(offset: Option<u32>, text: Option<&str>) -> String {
    let offset = offset.map(|offset| format!(" (attribute at byte {offset})")).unwrap_or_default();
    let text = text.map(|text| format!(": {text}")).unwrap_or_default();
    offset + &text
}

/// A message to be sent, and what to call it when it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Op {
    kind: u16,
    flags: u16,
    family: u8,
    attrs: Attrs,
    what: String,
}

impl Op {
    fn encoded_len(&self) -> usize {
        HEADER + BODY_HEADER + self.attrs.len()
    }

    pub(in crate::dataplane) fn new(kind: u16, flags: u16, family: u8, attrs: Attrs, what: String) -> Op {
        Op { kind, flags, family, attrs, what }
    }
}

/// The body of a request about a family.
pub(in crate::dataplane) fn body(family: u8, attrs: &Attrs) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0];
    body.extend_from_slice(attrs.as_bytes());
    body
}

/// The number of an nf_tables message.
pub(in crate::dataplane) fn kind(message: u16) -> u16 {
    SUBSYSTEM | message
}

/// Sends the operations as one transaction.
pub(in crate::dataplane) fn commit(link: &mut Link, ops: &[Op]) -> Result<(), CommitError> {
    let bytes = encoded_len(ops);
    if !link.fits(bytes) {
        return Err(CommitError::TooLarge { bytes, bytes_max: link.send_bytes_max() });
    }
    if ops.is_empty() { Ok(()) } else { commit_one(link, ops) }
}

/// Operations in the order in which they may take effect apart.
#[derive(Clone, Debug, Default)]
pub(in crate::dataplane) struct Stages {
    /// What no packet meets before `switch` has taken effect.
    pub(in crate::dataplane) ahead: Vec<Op>,
    pub(in crate::dataplane) switch: Vec<Op>,
    /// What no packet meets afterwards.
    pub(in crate::dataplane) after: Vec<Op>,
}

impl Stages {
    pub(in crate::dataplane) fn extend(&mut self, more: Stages) {
        self.ahead.extend(more.ahead);
        self.switch.extend(more.switch);
        self.after.extend(more.after);
    }

    pub(in crate::dataplane) fn len(&self) -> usize {
        self.ahead.len() + self.switch.len() + self.after.len()
    }

    /// One after another.
    pub(in crate::dataplane) fn in_one(self) -> Vec<Op> {
        self.ahead.into_iter().chain(self.switch).chain(self.after).collect()
    }
}

/// Sends stages as one transaction if they fit into one. Otherwise only `switch` is:
/// packets see the whole, or nothing.
pub(in crate::dataplane) fn commit_staged(link: &mut Link, stages: Stages) -> Result<(), CommitError> {
    let parts = [&stages.ahead, &stages.switch, &stages.after];
    if link.fits(parts.map(|part| encoded_len(part)).iter().sum()) {
        return commit(link, &stages.in_one());
    }
    let switch = encoded_len(&stages.switch);
    if !link.fits(switch) {
        return Err(CommitError::TooLarge { bytes: switch, bytes_max: link.send_bytes_max() });
    }
    for piece in pieces(&stages.ahead, link.send_bytes_max()) {
        commit(link, piece)?;
    }
    commit(link, &stages.switch)?;
    for piece in pieces(&stages.after, link.send_bytes_max()) {
        commit(link, piece)?;
    }
    Ok(())
}

/// The operations in order, cut so that each piece fits.
fn pieces(ops: &[Op], bytes_max: usize) -> impl Iterator<Item = &[Op]> {
    let mut bytes = FRAME_BYTES;
    let mut begun = false;
    ops.chunk_by(move |one, next| {
        if !std::mem::replace(&mut begun, true) {
            bytes = FRAME_BYTES + one.encoded_len();
        }
        bytes += next.encoded_len();
        let fits = bytes <= bytes_max;
        if !fits {
            bytes = FRAME_BYTES + next.encoded_len();
        }
        fits
    })
}

fn encoded_len(ops: &[Op]) -> usize {
    FRAME_BYTES + ops.iter().map(Op::encoded_len).sum::<usize>()
}

/// Why a transaction did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The kernel refused it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It does not fit into the socket's send buffer, and cut in pieces it would
    /// not take effect at once.
    #[error(
        "a transaction of {bytes} bytes does not fit into a socket buffer of {bytes_max}: \
         raise net.core.wmem_max to {bytes} or run in the initial user namespace"
    )]
    TooLarge {
        /// The transaction's size.
        bytes: usize,
        /// What the kernel allows.
        bytes_max: usize,
    },
    /// The socket failed.
    #[error("netlink: {0}")]
    Io(#[from] io::Error),
}

impl CommitError {
    /// The error number, if the kernel refused.
    pub(in crate::dataplane) fn errno(&self) -> Option<i32> {
        match self {
            CommitError::Refused(refused) => Some(refused.errno),
            CommitError::TooLarge { .. } => None,
            CommitError::Io(error) => error.raw_os_error(),
        }
    }
}

fn commit_one(link: &mut Link, ops: &[Op]) -> Result<(), CommitError> {
    let mut tries = 0;
    loop {
        let mut bytes = frame(BATCH_BEGIN, NLM_F_REQUEST, link.next_seq(), &[0, 0, 0, 10]);
        let first = link.next_seq();
        let mut seq = first;
        for op in ops {
            bytes.extend(frame(kind(op.kind), NLM_F_REQUEST | op.flags, seq, &body(op.family, &op.attrs)));
            seq = link.next_seq();
        }
        bytes.extend(frame(BATCH_END, NLM_F_REQUEST, seq, &[0, 0, 0, 10]));
        let refusals = link.transact(&bytes)?;
        tries += 1;
        let Some(refusal) = refusals.into_iter().next() else { return Ok(()) };
        if refusal.errno == ERESTART && tries < TRIES_MAX {
            continue;
        }
        let at = usize::try_from(refusal.seq.wrapping_sub(first)).unwrap_or(usize::MAX);
        let what = ops.get(at).map_or_else(|| "the transaction".to_owned(), |op| op.what.clone());
        return Err(Refused { what, errno: refusal.errno, offset: refusal.offset, text: refusal.text }.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(bytes: usize) -> Op {
        let mut attrs = Attrs::new();
        attrs.bytes(1, &vec![0; bytes - 4]);
        Op::new(message::NEWSETELEM, CREATE, 2, attrs, bytes.to_string())
    }

    fn sizes(ops: &[Op], bytes_max: usize) -> Vec<Vec<usize>> {
        pieces(ops, bytes_max).map(|piece| piece.iter().map(|op| op.attrs.len()).collect()).collect()
    }

    #[test]
    fn pieces_keep_the_order_and_fit() {
        let ops = [op(100), op(100), op(200), op(60), op(60)];
        assert_eq!(sizes(&ops, 10_000), [[100, 100, 200, 60, 60]]);
        // Each operation has 20 bytes of headers, a transaction 40.
        assert_eq!(sizes(&ops, 280), [vec![100, 100], vec![200], vec![60, 60]]);
        assert_eq!(sizes(&ops, 279), [vec![100], vec![100], vec![200], vec![60, 60]]);
        assert_eq!(sizes(&ops, 1), [[100], [100], [200], [60], [60]], "what fits nowhere is told by commit");
        assert_eq!(sizes(&[], 1), Vec::<Vec<usize>>::new());
        for bytes_max in 260..600 {
            for piece in pieces(&ops, bytes_max) {
                assert!(encoded_len(piece) <= bytes_max, "{bytes_max}");
            }
        }
    }

    #[test]
    fn the_length_is_what_is_sent() {
        let ops = [op(100), op(8)];
        let sent: usize = ops.iter().map(|op| frame(0, 0, 0, &body(2, &op.attrs)).len()).sum();
        assert_eq!(encoded_len(&ops), sent + 2 * frame(0, 0, 0, &[0; 4]).len());
    }
}
