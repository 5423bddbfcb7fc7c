//! When the change came about that endpoints follow (spec/endpoints.md sections 2 and
//! 3): the earliest of what changed since the Service was looked at last. Only the
//! process remembers that, as in Kubernetes: after a restart the Service's own creation
//! is told. Endpoints and slices are looked at apart, and remember apart.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::selected::Selected;
use crate::clock::rfc3339;
use crate::model::{Object, ObjectKey};

/// The annotation.
pub(super) const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What was seen of the Services, for each of the two controllers.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    pub(super) endpoints: Seen,
    pub(super) slices: Seen,
}

/// What one controller saw of each Service.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<ObjectKey, Times>);

#[derive(Debug)]
struct Times {
    service: Option<OffsetDateTime>,
    /// By a hash of the Pod's name: there may be a hundred thousand.
    pods: Vec<(u64, i64)>,
}

impl Seen {
    /// Takes note of a Service and its Pods, and answers the time of the change.
    pub(super) fn changed(&mut self, service: &Object, pods: &[Selected<'_>]) -> Option<String> {
        let created = OffsetDateTime::parse(&service.meta.created, &Rfc3339).ok();
        let times = Times { service: created, pods: pods.iter().filter_map(pod_time).collect() };
        let before = self.0.remove(&service.key);
        let earliest = match &before {
            None => created,
            Some(before) => {
                let known: BTreeMap<u64, i64> = before.pods.iter().copied().collect();
                let later = times.pods.iter().filter(|(name, at)| known.get(name).is_none_or(|known| at > known));
                let pods = later.filter_map(|(_, at)| OffsetDateTime::from_unix_timestamp(*at).ok());
                pods.chain(created.filter(|created| before.service.is_none_or(|known| *created > known))).min()
            }
        };
        self.0.insert(service.key.clone(), times);
        earliest.map(rfc3339)
    }

    /// Forgets a Service that is gone.
    pub(super) fn forget(&mut self, service: &ObjectKey) {
        self.0.remove(service);
    }
}

/// When the Pod became ready, or ceased to be.
fn pod_time(pod: &Selected<'_>) -> Option<(u64, i64)> {
    let ready = pod.pod.status.conditions.iter().find(|condition| condition.r#type == "Ready")?;
    let at = OffsetDateTime::parse(ready.last_transition_time.as_deref()?, &Rfc3339).ok()?;
    let mut hasher = DefaultHasher::new();
    pod.object.key.name.hash(&mut hasher);
    Some((hasher.finish(), at.unix_timestamp()))
}
