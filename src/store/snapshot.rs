//! Every object at one revision, with the events that led there. A snapshot is
//! a handful of pointers: persistent maps share what did not change.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};

use crate::model::endpoints::service_of;
use crate::model::{Claim, Kind, Object, ObjectKey, Revision};

/// Every object at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    revision: Revision,
    kinds: [KindState; Kind::ALL.len()],
    claims: OrdMap<Claim, ObjectKey>,
    /// What each object holds: the reverse of `claims`.
    held: OrdMap<(Kind, ObjectKey), Vec<Claim>>,
    /// Service and name of each of its EndpointSlices, so that a change of one
    /// Service does not read the slices of all.
    slices: OrdSet<(ObjectKey, Arc<str>)>,
}

/// Events of a kind that a watch can resume from: more than a client misses
/// while it reconnects; beyond it clients list again, which they all can.
pub(super) const HISTORY_EVENTS_MAX: usize = 4096;
/// Bytes of the objects those events hold, so that large objects shorten the
/// history instead of filling the memory of a small box.
pub(super) const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Clone, Debug, Default)]
struct KindState {
    objects: OrdMap<ObjectKey, Arc<Object>>,
    /// Newest last; each event is newer than `floor`.
    history: Vector<Arc<Event>>,
    /// Bytes of the objects in `history`.
    history_bytes: usize,
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

    /// The EndpointSlices labelled with a Service, in the order of their names.
    pub fn slices_of(&self, service: &ObjectKey) -> impl Iterator<Item = &Arc<Object>> {
        self.slices.range((service.clone(), "".into())..).take_while(move |(of, _)| of == service).filter_map(
            move |(of, name)| {
                let key = ObjectKey { namespace: Arc::clone(&of.namespace), name: Arc::clone(name) };
                self.get(Kind::EndpointSlice, &key)
            },
        )
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
        // By place: an iterator of this vector walks over what it skips, and every
        // watcher asks after every write.
        Ok((start..state.history.len()).filter_map(|place| state.history.get(place).cloned()).collect())
    }

    /// The claims, in order: cluster IPs (IPv4 before IPv6), then node ports.
    pub fn claims(&self) -> &OrdMap<Claim, ObjectKey> {
        &self.claims
    }

    /// The claims one object holds.
    pub fn held(&self, kind: Kind, key: &ObjectKey) -> &[Claim] {
        self.held.get(&(kind, key.clone())).map_or(&[], Vec::as_slice)
    }

    /// This snapshot after `ops`, as the writer would stage them; nothing is stored.
    ///
    /// # Errors
    /// The ops do not fit what is there.
    pub fn foresee(&self, ops: &[super::Op]) -> Result<Snapshot, super::WriteError> {
        let mut next = self.clone();
        let write = super::Write { ops: ops.to_vec(), durability: super::Durability::Memory };
        super::stage::stage(&mut next, &write)?;
        Ok(next)
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

/// Changes, made by the writer on its way to the next snapshot.
impl Snapshot {
    /// A snapshot read back from flash, without any history.
    pub(super) fn restored(objects: Vec<(Object, Vec<Claim>)>, revision: Revision) -> Snapshot {
        let mut snapshot = Snapshot { revision, ..Snapshot::default() };
        for (object, claims) in objects {
            let (kind, key) = (object.kind, object.key.clone());
            snapshot.hold(kind, &key, &claims);
            snapshot.index(None, Some(&object));
            snapshot.kind_mut(kind).objects.insert(key, Arc::new(object));
        }
        for state in &mut snapshot.kinds {
            state.floor = revision;
        }
        snapshot
    }

    /// Puts an object in place at its own revision and answers the claims it no
    /// longer holds. The caller has checked that nobody else holds `claims`.
    pub(super) fn put(&mut self, object: Arc<Object>, claims: &[Claim]) -> Vec<Claim> {
        self.revision = object.revision;
        let released = self.hold(object.kind, &object.key, claims);
        let state = self.kind_mut(object.kind);
        let previous = state.objects.insert(object.key.clone(), Arc::clone(&object));
        self.index(previous.as_deref(), Some(&object));
        let r#type = if previous.is_some() { EventType::Modified } else { EventType::Added };
        self.kind_mut(object.kind).record(Event { r#type, object, previous });
        released
    }

    /// Removes an object and answers its last state, which carries the revision
    /// of the deletion, and the claims it held.
    pub(super) fn delete(
        &mut self,
        kind: Kind,
        key: &ObjectKey,
        revision: Revision,
    ) -> Option<(Arc<Object>, Vec<Claim>)> {
        let previous = self.kind_mut(kind).objects.remove(key)?;
        self.revision = revision;
        let released = self.hold(kind, key, &[]);
        self.index(Some(&previous), None);
        let object = Arc::new(previous.at(revision));
        let event = Event { r#type: EventType::Deleted, object: Arc::clone(&object), previous: Some(previous) };
        self.kind_mut(kind).record(event);
        Some((object, released))
    }

    fn index(&mut self, before: Option<&Object>, after: Option<&Object>) {
        let row = |object: &Object| service_of(object).map(|service| (service, Arc::clone(&object.key.name)));
        let (before, after) = (before.and_then(row), after.and_then(row));
        if let Some(row) = before.filter(|row| Some(row) != after.as_ref()) {
            self.slices.remove(&row);
        }
        if let Some(row) = after {
            self.slices.insert(row);
        }
    }

    pub(super) fn hold(&mut self, kind: Kind, key: &ObjectKey, claims: &[Claim]) -> Vec<Claim> {
        let owner = (kind, key.clone());
        let before =
            if claims.is_empty() { self.held.remove(&owner) } else { self.held.insert(owner, claims.to_vec()) };
        let released: Vec<Claim> =
            before.unwrap_or_default().into_iter().filter(|claim| !claims.contains(claim)).collect();
        for claim in &released {
            self.claims.remove(claim);
        }
        for claim in claims {
            self.claims.insert(*claim, key.clone());
        }
        released
    }

    fn kind_mut(&mut self, kind: Kind) -> &mut KindState {
        #[expect(
            clippy::indexing_slicing,
            reason = "Kind::index is below the length of Kind::ALL, which is the array's length"
        )]
        &mut self.kinds[kind.index()]
    }
}

impl KindState {
    fn record(&mut self, event: Event) {
        self.history_bytes += event.bytes();
        self.history.push_back(Arc::new(event));
        while self.history.len() > HISTORY_EVENTS_MAX || self.history_bytes > HISTORY_BYTES_MAX {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.bytes();
            self.floor = oldest.object.revision;
        }
    }
}

impl Event {
    /// What the event keeps alive, about.
    fn bytes(&self) -> usize {
        self.object.json().len() + self.previous.as_ref().map_or(0, |object| object.json().len())
    }
}

/// Snapshots for the tests of rooms behind the store, without a database.
#[cfg(test)]
impl Snapshot {
    /// A snapshot that holds these objects, added in turn from revision 1 on.
    pub(crate) fn for_tests(drafts: impl IntoIterator<Item = crate::model::Draft>) -> Snapshot {
        let put = |draft| super::Op::Put { draft: Box::new(draft), expect: super::Expect::Any, claims: vec![] };
        let ops: Vec<super::Op> = drafts.into_iter().map(put).collect();
        Snapshot::default().foresee(&ops).unwrap()
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
