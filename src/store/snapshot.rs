//! Every object at one revision, with the events that led there. A snapshot is
//! a handful of pointers: persistent maps share what did not change.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use super::write::{Expect, Op, WriteError};
use crate::model::{Claim, Draft, Kind, Object, ObjectKey, Revision};

/// Events a kind's history holds at most.
pub const HISTORY_EVENTS_MAX: usize = 8192;
/// Bytes of JSON a kind's history keeps alive at most, beyond [`HISTORY_EVENTS_MIN`] events.
pub const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events kept however large they are, so that one big object cannot expire every watch.
pub const HISTORY_EVENTS_MIN: usize = 64;

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
    /// The claims of the objects that hold any.
    held: OrdMap<ObjectKey, Arc<[Claim]>>,
    history_bytes: usize,
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

    /// The claims one object holds.
    pub fn held(&self, kind: Kind, key: &ObjectKey) -> &[Claim] {
        self.kind(kind).held.get(key).map(|held| &**held).unwrap_or_default()
    }

    /// A snapshot as it stands after a start: these objects, no history, and
    /// nothing older than `revision` to resume from.
    pub(super) fn restored<'a>(
        revision: Revision,
        objects: impl IntoIterator<Item = (&'a Arc<Object>, &'a Arc<[Claim]>)>,
    ) -> Snapshot {
        let mut snapshot = Snapshot { revision, ..Snapshot::default() };
        for state in &mut snapshot.kinds {
            state.floor = revision;
        }
        for (object, claims) in objects {
            snapshot.hold(object.kind, &object.key, claims);
            snapshot.kind_mut(object.kind).objects.insert(object.key.clone(), Arc::clone(object));
        }
        snapshot
    }

    /// This snapshot after `ops`, all or none, with the object of each.
    pub(super) fn apply(&self, ops: &[Op]) -> Result<(Snapshot, Vec<Arc<Object>>), WriteError> {
        let mut next = self.clone();
        let mut objects = Vec::with_capacity(ops.len());
        let mut seen = std::collections::BTreeSet::new();
        for op in ops {
            let (kind, key, expect) = op.target();
            if !seen.insert((kind, key)) {
                return Err(WriteError::Conflict { kind, key: key.clone() });
            }
            next.check(kind, key, expect)?;
            objects.push(match op {
                Op::Put { draft, claims, .. } => next.put(draft, claims)?,
                Op::Delete { .. } => next.delete(kind, key)?,
            });
        }
        Ok((next, objects))
    }

    fn check(&self, kind: Kind, key: &ObjectKey, expect: Expect) -> Result<(), WriteError> {
        let found = self.get(kind, key).map(|object| object.revision);
        let key = || key.clone();
        match (expect, found) {
            (Expect::Absent, Some(_)) => Err(WriteError::Exists { kind, key: key() }),
            (Expect::At(_), None) => Err(WriteError::NotFound { kind, key: key() }),
            (Expect::At(wanted), Some(at)) if wanted != at => Err(WriteError::Conflict { kind, key: key() }),
            (Expect::Absent, None) | (Expect::At(_) | Expect::Any, _) => Ok(()),
        }
    }

    fn put(&mut self, draft: &Draft, claims: &[Claim]) -> Result<Arc<Object>, WriteError> {
        let held = self.held(draft.kind, &draft.key);
        for claim in claims {
            if let Some(owner) = self.claims.get(claim).filter(|_| !held.contains(claim)) {
                return Err(WriteError::ClaimTaken { claim: *claim, owner: owner.clone() });
            }
        }
        self.revision.0 += 1;
        let object = Arc::new(draft.commit(self.revision));
        self.hold(draft.kind, &draft.key, &claims.into());
        let previous = self.kind_mut(draft.kind).objects.insert(draft.key.clone(), Arc::clone(&object));
        let r#type = if previous.is_some() { EventType::Modified } else { EventType::Added };
        self.record(Event { r#type, object: Arc::clone(&object), previous });
        Ok(object)
    }

    fn delete(&mut self, kind: Kind, key: &ObjectKey) -> Result<Arc<Object>, WriteError> {
        let Some(previous) = self.kind_mut(kind).objects.remove(key) else {
            return Err(WriteError::NotFound { kind, key: key.clone() });
        };
        self.revision.0 += 1;
        self.hold(kind, key, &[].into());
        // The last state is told with the revision of its deletion, in its JSON too.
        let object = Arc::new(match Draft::new(kind, &previous.value()) {
            Ok(draft) => draft.commit(self.revision),
            Err(_) => {
                let mut last = Object::clone(&previous);
                last.revision = self.revision;
                last
            }
        });
        self.record(Event { r#type: EventType::Deleted, object: Arc::clone(&object), previous: Some(previous) });
        Ok(object)
    }

    fn hold(&mut self, kind: Kind, key: &ObjectKey, claims: &Arc<[Claim]>) {
        for claim in self.kind_mut(kind).held.remove(key).iter().flat_map(|held| held.iter()) {
            self.claims.remove(claim);
        }
        for claim in claims.iter() {
            self.claims.insert(*claim, key.clone());
        }
        if !claims.is_empty() {
            self.kind_mut(kind).held.insert(key.clone(), Arc::clone(claims));
        }
    }

    fn record(&mut self, event: Event) {
        let state = self.kind_mut(event.object.kind);
        state.history_bytes += event.object.json().len();
        state.history.push_back(Arc::new(event));
        while state.history.len() > HISTORY_EVENTS_MAX
            || (state.history_bytes > HISTORY_BYTES_MAX && state.history.len() > HISTORY_EVENTS_MIN)
        {
            let Some(oldest) = state.history.pop_front() else { break };
            state.history_bytes -= oldest.object.json().len();
            state.floor = oldest.object.revision;
        }
    }

    fn kind_mut(&mut self, kind: Kind) -> &mut KindState {
        #[expect(
            clippy::indexing_slicing,
            reason = "Kind::index is below the length of Kind::ALL, which is the array's length"
        )]
        &mut self.kinds[kind.index()]
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
    pub(crate) fn for_tests(drafts: impl IntoIterator<Item = Draft>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for draft in drafts {
            snapshot.put(&draft, &[]).expect("no claims, no conflict");
        }
        snapshot
    }

    /// This snapshot after `ops`, exactly as the store applies them.
    pub(crate) fn after_for_tests(&self, ops: &[Op]) -> Result<Snapshot, WriteError> {
        self.apply(ops).map(|(next, _)| next)
    }

    /// This snapshot without any history, as after a restart.
    pub(crate) fn without_history_for_tests(&self) -> Snapshot {
        let mut next = self.clone();
        for state in &mut next.kinds {
            state.history = Vector::new();
            state.history_bytes = 0;
            state.floor = next.revision;
        }
        next
    }
}
