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

/// Sends the operations in as few transactions as fit, in order. `Err(Ok(..))`
/// is not used: an I/O error and a refusal are both errors of [`CommitError`].
pub(in crate::dataplane) fn commit(link: &mut Link, ops: &[Op]) -> Result<(), CommitError> {
    let mut rest = ops;
    while !rest.is_empty() {
        let fitting = fitting(rest, link.send_bytes_max());
        let (now, later) = rest.split_at_checked(fitting).unwrap_or((rest, &[]));
        commit_one(link, now)?;
        rest = later;
    }
    Ok(())
}

/// Why a transaction did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The kernel refused it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The socket failed.
    #[error("netlink: {0}")]
    Io(#[from] io::Error),
}

impl CommitError {
    /// The error number, if the kernel refused.
    pub(in crate::dataplane) fn errno(&self) -> Option<i32> {
        match self {
            CommitError::Refused(refused) => Some(refused.errno),
            CommitError::Io(error) => error.raw_os_error(),
        }
    }
}

fn fitting(ops: &[Op], bytes_max: usize) -> usize {
    let mut bytes = 64;
    let full = |op: &Op| {
        bytes += op.attrs.len() + 24;
        bytes > bytes_max
    };
    ops.iter().position(full).unwrap_or(ops.len()).max(1)
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
