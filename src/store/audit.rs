//! Compares the claims on flash with what the objects say they hold. Pure.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use super::disk::{claim_key, row_key};
use crate::model::{Claim, Object};

/// A claim that is not as the objects say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The value: `ip/10.43.0.10` or `port/30080`.
    pub claim: String,
    /// Who holds it, or is recorded to: `services/default/web`.
    pub owner: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Its owner has it, and it was not recorded.
    NotRecorded,
    /// Its owner has it, and it was recorded for another.
    RecordedFor(String),
    /// Another, older object has it too and keeps it.
    HeldByOther(String),
    /// Recorded for an owner that is gone or has it not.
    Leaked,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { claim, owner, problem } = self;
        match problem {
            Problem::NotRecorded => write!(f, "{claim} of {owner} was not recorded"),
            Problem::RecordedFor(other) => write!(f, "{claim} of {owner} was recorded for {other}"),
            Problem::HeldByOther(other) => write!(f, "{claim} of {owner} is also held by {other}"),
            Problem::Leaked => write!(f, "{claim} was recorded for {owner}, which has it not"),
        }
    }
}

/// Gives every object the claims it says it holds. A row that says otherwise is a
/// fault; so is a value that two objects say they hold: the older one keeps it.
pub(super) fn audit<O: Borrow<Object>>(
    mut objects: Vec<O>,
    mut rows: BTreeMap<String, String>,
) -> (Vec<(O, Vec<Claim>)>, Vec<Fault>) {
    objects.sort_by(|a, b| {
        let (a, b): (&Object, &Object) = (a.borrow(), b.borrow());
        a.meta.created.cmp(&b.meta.created).then(a.revision.cmp(&b.revision))
    });
    let mut faults = Vec::new();
    let mut holders: BTreeMap<Claim, String> = BTreeMap::new();
    let mut out = Vec::with_capacity(objects.len());
    for object in objects {
        let (owner, claims) = {
            let object: &Object = object.borrow();
            (row_key(object.kind, &object.key), object.claims())
        };
        let mut held = Vec::new();
        for claim in claims {
            let key = claim_key(claim);
            let fault = |problem| Fault { claim: key.clone(), owner: owner.clone(), problem };
            if let Some(other) = holders.get(&claim) {
                faults.push(fault(Problem::HeldByOther(other.clone())));
                continue;
            }
            match rows.remove(&key) {
                Some(row) if row == owner => {}
                Some(row) => faults.push(fault(Problem::RecordedFor(row))),
                None => faults.push(fault(Problem::NotRecorded)),
            }
            holders.insert(claim, owner.clone());
            held.push(claim);
        }
        out.push((object, held));
    }
    faults.extend(rows.into_iter().map(|(claim, owner)| Fault { claim, owner, problem: Problem::Leaked }));
    (out, faults)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Draft, Kind, Revision};

    fn service(name: &str, ip: &str, created: &str) -> Object {
        let value = json!({"metadata": {"name": name, "namespace": "default", "uid": name, "creationTimestamp": created},
            "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]}});
        Draft::new(Kind::Service, &value).unwrap().commit(Revision(1))
    }

    #[test]
    fn every_kind_of_fault_is_found_and_the_older_object_keeps_its_value() {
        let objects = vec![
            service("young", "10.0.0.1", "2026-01-02T00:00:00Z"),
            service("old", "10.0.0.1", "2026-01-01T00:00:00Z"),
            service("lost", "10.0.0.2", "2026-01-01T00:00:00Z"),
            service("swapped", "10.0.0.3", "2026-01-01T00:00:00Z"),
        ];
        let rows = [("ip/10.0.0.1", "old"), ("ip/10.0.0.3", "gone"), ("port/30080", "gone")];
        let rows = rows.map(|(claim, owner)| (claim.to_owned(), format!("services/default/{owner}")));
        let (held, faults) = audit(objects, BTreeMap::from(rows));
        let mut told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        told.sort();
        let expected = [
            "ip/10.0.0.1 of services/default/young is also held by services/default/old",
            "ip/10.0.0.2 of services/default/lost was not recorded",
            "ip/10.0.0.3 of services/default/swapped was recorded for services/default/gone",
            "port/30080 was recorded for services/default/gone, which has it not",
        ];
        assert_eq!(told, expected);
        let holders = held.iter().filter(|(_, claims)| !claims.is_empty()).map(|(object, _)| &*object.key.name);
        assert_eq!(holders.collect::<Vec<_>>(), ["old", "lost", "swapped"]);
    }
}
