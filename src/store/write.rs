//! What a caller asks of the store and what it is told.

use std::sync::Arc;

use crate::model::{Claim, Draft, Kind, Object, ObjectKey, Revision};

/// A group of changes that happen together or not at all.
#[derive(Clone, Debug)]
pub struct Write {
    /// The changes, applied in order; at most one for each object.
    pub ops: Vec<Op>,
    /// Whether flash must hold it before it counts.
    pub durability: Durability,
}

/// Where a change lives (design section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Committed with fsync before it is answered: everything a client wrote.
    Flash,
    /// In memory only: what edgesvc observes or derives by itself. It is rebuilt
    /// after a restart and never costs a write. Deleting an object that has a
    /// row on flash deletes the row all the same.
    Memory,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Op {
    /// Create or replace an object.
    Put {
        /// The new content; boxed because it is large beside the others.
        draft: Box<Draft>,
        /// What must hold before.
        expect: Expect,
        /// Every claim the object holds afterwards; others it held are released.
        claims: Vec<Claim>,
    },
    /// Remove an object and release its claims.
    Delete {
        /// The kind.
        kind: Kind,
        /// Namespace and name.
        key: ObjectKey,
        /// What must hold before.
        expect: Expect,
    },
}

impl Op {
    pub(super) fn target(&self) -> (Kind, &ObjectKey, Expect) {
        match self {
            Op::Put { draft, expect, .. } => (draft.kind, &draft.key, *expect),
            Op::Delete { kind, key, expect } => (*kind, key, *expect),
        }
    }
}

/// The state an object must be in for a change to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It must not exist.
    Absent,
    /// It must exist at exactly this revision.
    At(Revision),
    /// It may or may not exist (for Delete: it must exist).
    Any,
}

/// A write that happened.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The objects of the ops, in order; for a delete the last state with the
    /// revision of the deletion.
    pub objects: Vec<Arc<Object>>,
    /// The revision of the last change.
    pub revision: Revision,
}

/// A write that did not happen, named by what the caller does next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// `Expect::Absent`, but it is there.
    #[error("{kind} {key} already exists")]
    Exists {
        /// The kind.
        kind: Kind,
        /// Namespace and name.
        key: ObjectKey,
    },
    /// A delete or `Expect::At` of an object that is not there.
    #[error("{kind} {key} not found")]
    NotFound {
        /// The kind.
        kind: Kind,
        /// Namespace and name.
        key: ObjectKey,
    },
    /// The object moved on: read it again and retry.
    #[error("{kind} {key} has been modified")]
    Conflict {
        /// The kind.
        kind: Kind,
        /// Namespace and name.
        key: ObjectKey,
    },
    /// Another object holds this value: pick another, or refuse the request.
    #[error("{claim} is held by {owner}")]
    ClaimTaken {
        /// The value.
        claim: Claim,
        /// Who holds it.
        owner: ObjectKey,
    },
    /// The disk refuses writes (full, read-only, broken). Reads go on.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
    /// The queue of the writer is full, or the store is closing.
    #[error("the store is busy")]
    Busy,
}
