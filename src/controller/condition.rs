//! Conditions of a Service that is not served as it asks: there while the trouble is,
//! whoever takes them away, and gone after it. Like every condition they are observed,
//! so they are written in memory alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::draft::set;
use super::{Decision, Scene};
use crate::clock::rfc3339;
use crate::model::object::ParseError;
use crate::model::{Draft, Kind, ObjectKey};
use crate::store::{Expect, Op};

/// The types that are ours: what stands there and is no trouble is taken away.
const TYPES: [&str; 3] = ["edgesvc.io/EndpointsNotServed", "edgesvc.io/NotProgrammed", "edgesvc.io/PortsNotServed"];

/// What of a Service is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Endpoints are left out.
    Endpoints,
    /// The kernel does not hold it as it is wanted.
    Kernel,
    /// Ports are left out.
    Ports,
}

impl Trouble {
    /// The type of its condition.
    fn condition(self) -> &'static str {
        let [endpoints, kernel, ports] = TYPES;
        match self {
            Trouble::Endpoints => endpoints,
            Trouble::Kernel => kernel,
            Trouble::Ports => ports,
        }
    }
}

/// Why, in one word and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The word.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
}

/// The Services that have trouble.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles(BTreeMap<ObjectKey, BTreeMap<Trouble, Cause>>);

impl Troubles {
    /// Takes these Services, and no others, to have a trouble. Answers whether that is news.
    pub fn replace(&mut self, trouble: Trouble, causes: impl IntoIterator<Item = (ObjectKey, Cause)>) -> bool {
        let before = self.0.clone();
        for causes in self.0.values_mut() {
            causes.remove(&trouble);
        }
        for (service, cause) in causes {
            self.0.entry(service).or_default().insert(trouble, cause);
        }
        self.0.retain(|_, causes| !causes.is_empty());
        before != self.0
    }

    /// The Services of which other things are known here and there.
    pub(super) fn differing<'a>(&'a self, other: &'a Troubles) -> impl Iterator<Item = &'a ObjectKey> {
        let unlike = |(key, causes): &(&'a ObjectKey, _), than: &Troubles| than.0.get(*key) != Some(*causes);
        let here = self.0.iter().filter(move |entry| unlike(entry, other));
        here.chain(other.0.iter().filter(move |entry| unlike(entry, self))).map(|(key, _)| key)
    }
}

pub(super) fn reconcile(scene: &Scene<'_>, key: &ObjectKey) -> Result<Decision, ParseError> {
    let Some(object) = scene.snapshot.get(Kind::Service, key) else { return Ok(Decision::default()) };
    let causes = scene.facts.troubles.0.get(key);
    let shown = object.as_service().map(|service| service.status.conditions.as_slice()).unwrap_or_default();
    // Nearly every Service: nothing to show, and nothing shown.
    if causes.is_none() && !shown.iter().any(|condition| TYPES.contains(&condition.r#type.as_str())) {
        return Ok(Decision::default());
    }
    let before = object.value();
    let text = |row: &Value, member: &str| row.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let all = before.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let (ours, mut conditions): (Vec<Value>, Vec<Value>) =
        all.into_iter().partition(|row| TYPES.contains(&text(row, "type").as_str()));
    for (trouble, cause) in causes.into_iter().flatten() {
        let r#type = trouble.condition();
        let old = ours.iter().find(|row| text(row, "type") == r#type && text(row, "status") == "True");
        let since = old.map(|row| text(row, "lastTransitionTime")).unwrap_or_else(|| rfc3339(scene.now));
        conditions.push(json!({"type": r#type, "status": "True", "reason": cause.reason, "message": cause.message,
            "lastTransitionTime": since}));
    }
    let mut value = before.clone();
    let mut status = value.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    set(&mut status, "conditions", if conditions.is_empty() { Value::Null } else { conditions.into() });
    set(&mut value, "status", status);
    if value == before {
        return Ok(Decision::default());
    }
    // What it holds and not what it shows, which may be another's (`repair`).
    let claims = scene.snapshot.held(Kind::Service, key).to_vec();
    let draft = Box::new(Draft::new(Kind::Service, &value)?);
    let ops = vec![Op::Put { draft, expect: Expect::At(object.revision), claims }];
    Ok(Decision { ops, ..Decision::default() })
}
