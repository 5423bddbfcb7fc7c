//! Objects and changes as the controllers write them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Scene;
use crate::clock::rfc3339;
use crate::model::object::ParseError;
use crate::model::{Claim, Draft, Kind, Object, ObjectKey};
use crate::store::{Expect, Op};

pub(super) type Labels = BTreeMap<String, String>;

/// Longest base a generated name keeps (spec/api.md section 4).
const GENERATE_BASE_MAX: usize = 58;
const SUFFIX_CHARS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Scene<'_> {
    /// Metadata of a new object: uid and creation time, nothing optional.
    pub(super) fn metadata(&mut self, key: &ObjectKey) -> Value {
        let uid = uuid::Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid();
        let mut metadata = json!({"name": &*key.name, "uid": uid.to_string(), "creationTimestamp": rfc3339(self.now)});
        if !key.namespace.is_empty() {
            set(&mut metadata, "namespace", Value::from(&*key.namespace));
        }
        metadata
    }

    /// A free slice name below `<base>-`.
    pub(super) fn slice_name(&mut self, namespace: &str, base: &str) -> ObjectKey {
        let base: String = format!("{base}-").chars().take(GENERATE_BASE_MAX).collect();
        loop {
            let suffix: String =
                (0..5).filter_map(|_| self.random.choice(SUFFIX_CHARS)).map(|b| char::from(*b)).collect();
            let key = ObjectKey::new(namespace, &format!("{base}{suffix}"));
            if self.snapshot.get(Kind::EndpointSlice, &key).is_none() {
                return key;
            }
        }
    }
}

/// Sets a member; `Null` and empty maps remove it, as absent means the same.
pub(super) fn set(object: &mut Value, member: &str, content: Value) {
    let Some(map) = object.as_object_mut() else { return };
    if content.is_null() || content.as_object().is_some_and(Map::is_empty) {
        map.remove(member);
    } else {
        map.insert(member.to_owned(), content);
    }
}

pub(super) fn create(kind: Kind, value: &Value, claims: Vec<Claim>) -> Result<Op, ParseError> {
    Ok(Op::Put { draft: Box::new(Draft::new(kind, value)?), expect: Expect::Absent, claims })
}

/// Replaces `old`, which keeps the claims it holds.
pub(super) fn replace(old: &Object, value: &Value) -> Result<Op, ParseError> {
    Ok(Op::Put {
        draft: Box::new(Draft::new(old.kind, value)?),
        expect: Expect::At(old.revision),
        claims: old.claims(),
    })
}

pub(super) fn delete(old: &Object) -> Op {
    Op::Delete { kind: old.kind, key: old.key.clone(), expect: Expect::At(old.revision) }
}
