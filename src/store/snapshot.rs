//! Every object at one revision, with the events that led there. A snapshot is
//! a handful of pointers: persistent maps share what did not change.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::model::{Claim, Kind, Object, ObjectKey, Revision};

/// Every object at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    revision: Revision,
    kinds: [KindState; Kind::ALL.len()],
    claims: OrdMap<Claim, ObjectKey>,
}

#[derive(Clone, Debug, Default)]
struct KindState {
    objects: OrdMap<ObjectKey, Arc<Object>>,
    /// Newest last; each event is newer than `floor`.
    history: Vector<Arc<Event>>,
    /// Events at or before this revision are gone.
    floor: Revision,
}

/// What happened to one object.
#[derive(Debug)]
pub struct Event {
    /// Added, modified or deleted.
    pub r#type: EventType,
    /// The state after the change; for a deletion the last state, carrying the
    /// revision of the deletion.
    pub object: Arc<Object>,
    /// The state before, absent for an addition. Selector watches need it to
    /// tell an object that came into view from one that changed in view.
    pub previous: Option<Arc<Object>>,
}

/// The type of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// The object was created.
    Added,
    /// The object was changed.
    Modified,
    /// The object was removed.
    Deleted,
}

/// The history no longer reaches back to the revision asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    /// The revision asked for.
    pub asked: Revision,
    /// The oldest revision a watch can resume from.
    pub oldest: Revision,
}

impl Snapshot {
    /// The revision of the newest change of any kind.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// One object.
    pub fn get(&self, kind: Kind, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.kind(kind).objects.get(key)
    }

    /// The objects of a kind in key order; of one namespace if it is given.
    pub fn list<'a>(&'a self, kind: Kind, namespace: Option<&str>) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let namespace: Option<Arc<str>> = namespace.map(Into::into);
        let start = ObjectKey { namespace: namespace.clone().unwrap_or_default(), name: "".into() };
        self.kind(kind)
            .objects
            .range(start..)
            .take_while(move |(key, _)| namespace.as_ref().is_none_or(|ns| *ns == key.namespace))
            .map(|(_, object)| object)
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.kind(kind).objects.len()
    }

    /// The events of a kind after `since`, oldest first.
    pub fn events_since(&self, kind: Kind, since: Revision) -> Result<Vec<Arc<Event>>, Expired> {
        let state = self.kind(kind);
        if since < state.floor {
            return Err(Expired { asked: since, oldest: state.floor });
        }
        // History is ordered by revision: skip what the caller has seen.
        let start = partition_point(&state.history, |event| event.object.revision <= since);
        Ok(state.history.iter().skip(start).cloned().collect())
    }

    /// The claims, in order: cluster IPs (IPv4 before IPv6), then node ports.
    pub fn claims(&self) -> &OrdMap<Claim, ObjectKey> {
        &self.claims
    }

    fn kind(&self, kind: Kind) -> &KindState {
        #[expect(
            clippy::indexing_slicing,
            reason = "Kind::index is below the length of Kind::ALL, which is the array's length"
        )]
        &self.kinds[kind.index()]
    }
}

fn partition_point<T: Clone>(vector: &Vector<T>, before: impl Fn(&T) -> bool) -> usize {
    let (mut low, mut high) = (0, vector.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if vector.get(middle).is_some_and(&before) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Snapshots for the tests of rooms behind the store, without a database.
#[cfg(test)]
impl Snapshot {
    /// A snapshot that holds these objects, added in turn from revision 1 on.
    pub(crate) fn for_tests(drafts: impl IntoIterator<Item = crate::model::Draft>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for draft in drafts {
            snapshot.put_for_tests(&draft);
        }
        snapshot
    }

    /// This snapshot after `ops`, with their expectations checked as the store does.
    pub(crate) fn after_for_tests(&self, ops: &[super::Op]) -> Result<Snapshot, super::WriteError> {
        use super::{Expect, Op, WriteError};
        let mut next = self.clone();
        for op in ops {
            let (kind, key, expect) = match op {
                Op::Put { draft, expect, .. } => (draft.kind, draft.key.clone(), *expect),
                Op::Delete { kind, key, expect } => (*kind, key.clone(), *expect),
            };
            let found = next.get(kind, &key).map(|object| object.revision);
            match (expect, found) {
                (Expect::Absent, Some(_)) => return Err(WriteError::Exists { kind, key }),
                (Expect::At(_), None) => return Err(WriteError::NotFound { kind, key }),
                (Expect::At(wanted), Some(at)) if wanted != at => return Err(WriteError::Conflict { kind, key }),
                (Expect::Absent, None) | (Expect::At(_) | Expect::Any, _) => {}
            }
            match op {
                Op::Put { draft, .. } => next.put_for_tests(draft),
                Op::Delete { .. } if found.is_none() => return Err(WriteError::NotFound { kind, key }),
                Op::Delete { .. } => next.delete_for_tests(kind, &key),
            }
        }
        Ok(next)
    }

    /// This snapshot without any history, as after a restart.
    pub(crate) fn without_history_for_tests(&self) -> Snapshot {
        let mut next = self.clone();
        for state in &mut next.kinds {
            state.history = Vector::new();
            state.floor = next.revision;
        }
        next
    }

    fn put_for_tests(&mut self, draft: &crate::model::Draft) {
        self.revision.0 += 1;
        let object = Arc::new(draft.commit(self.revision));
        let state = &mut self.kinds[draft.kind.index()];
        let previous = state.objects.insert(draft.key.clone(), Arc::clone(&object));
        let r#type = if previous.is_some() { EventType::Modified } else { EventType::Added };
        state.history.push_back(Arc::new(Event { r#type, object, previous }));
    }

    fn delete_for_tests(&mut self, kind: Kind, key: &ObjectKey) {
        self.revision.0 += 1;
        let state = &mut self.kinds[kind.index()];
        if let Some(previous) = state.objects.remove(key) {
            let mut last = Object::clone(&previous);
            last.revision = self.revision;
            let object = Arc::new(last);
            state.history.push_back(Arc::new(Event { r#type: EventType::Deleted, object, previous: Some(previous) }));
        }
    }
}
