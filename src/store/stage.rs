//! One [`Write`] applied to a [`Snapshot`], or refused. Pure: the writer thread
//! stages a whole batch this way before it touches the disk.

use std::sync::Arc;

use super::snapshot::Snapshot;
use super::write::{Committed, Expect, Op, Write, WriteError};
use crate::model::{Claim, Kind, Object, ObjectKey, Revision};

/// What a staged op means for the rows on flash.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) key: ObjectKey,
    /// The new state; absent for a deletion.
    pub(super) object: Option<Arc<Object>>,
    /// Claims the object held before and no longer does.
    pub(super) released: Vec<Claim>,
    /// Claims it holds now.
    pub(super) claimed: Vec<Claim>,
}

/// Applies every op of `write`, or none. Each op takes the next revision.
pub(super) fn stage(snapshot: &mut Snapshot, write: &Write) -> Result<(Committed, Vec<Step>), WriteError> {
    let mut next = snapshot.clone();
    let mut objects = Vec::with_capacity(write.ops.len());
    let mut steps = Vec::with_capacity(write.ops.len());
    for op in &write.ops {
        let revision = Revision(next.revision().0 + 1);
        let (object, step) = one(&mut next, op, revision)?;
        objects.push(object);
        steps.push(step);
    }
    let revision = next.revision();
    *snapshot = next;
    Ok((Committed { objects, revision }, steps))
}

fn one(next: &mut Snapshot, op: &Op, revision: Revision) -> Result<(Arc<Object>, Step), WriteError> {
    match op {
        Op::Put { draft, expect, claims } => {
            let (kind, key) = (draft.kind, draft.key.clone());
            expected(next, kind, &key, *expect)?;
            for claim in claims {
                if let Some(owner) = next.claims().get(claim).filter(|owner| **owner != key) {
                    return Err(WriteError::ClaimTaken { claim: *claim, owner: owner.clone() });
                }
            }
            let object = Arc::new(draft.commit(revision));
            let released = next.put(Arc::clone(&object), claims);
            let step = Step { kind, key, object: Some(Arc::clone(&object)), released, claimed: claims.clone() };
            Ok((object, step))
        }
        Op::Delete { kind, key, expect } => {
            expected(next, *kind, key, *expect)?;
            let missing = || WriteError::NotFound { kind: *kind, key: key.clone() };
            let (object, released) = next.delete(*kind, key, revision).ok_or_else(missing)?;
            let step = Step { kind: *kind, key: key.clone(), object: None, released, claimed: Vec::new() };
            Ok((object, step))
        }
    }
}

fn expected(snapshot: &Snapshot, kind: Kind, key: &ObjectKey, expect: Expect) -> Result<(), WriteError> {
    let found = snapshot.get(kind, key).map(|object| object.revision);
    let key = || key.clone();
    match (expect, found) {
        (Expect::Absent, Some(_)) => Err(WriteError::Exists { kind, key: key() }),
        (Expect::At(_), None) => Err(WriteError::NotFound { kind, key: key() }),
        (Expect::At(wanted), Some(at)) if wanted != at => Err(WriteError::Conflict { kind, key: key() }),
        (Expect::Absent, None) | (Expect::At(_) | Expect::Any, _) => Ok(()),
    }
}
