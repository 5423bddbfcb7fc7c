//! IPAddress objects that show which Service holds a cluster IP. The claims are the
//! truth; these objects follow from them and live in memory.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Claim, IpFamily, Kind, Object, ObjectKey};

/// The label that says who keeps an IPAddress.
pub const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
/// The keeper of cluster IPs.
pub const MANAGER: &str = "ipallocator.k8s.io";
/// The label that says the family of an address.
pub const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";

/// What is to be done so that the objects follow the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object of this address is missing, or says something else.
    Make(IpAddr),
    /// Nobody holds the address of this object any more.
    Drop(ObjectKey),
}

/// The object of an address a Service holds, without uid and creation time.
pub fn content(addr: IpAddr, owner: &ObjectKey) -> Value {
    json!({
        "metadata": {"name": addr.to_string(), "labels": {FAMILY: IpFamily::of(addr).as_str(), MANAGED_BY: MANAGER}},
        "spec": {"parentRef": {"resource": "services", "namespace": &*owner.namespace, "name": &*owner.name}},
    })
}

/// The key of an address's object.
pub fn key(addr: IpAddr) -> ObjectKey {
    ObjectKey::new("", &addr.to_string())
}

/// Whether an object follows from claims: one made by hand stands for itself.
pub fn is_derived(object: &Object) -> bool {
    object.kind == Kind::IpAddress && object.meta.labels.get(MANAGED_BY) == Some(MANAGER)
}

/// Whether an object says that `owner` holds `addr`.
pub fn shows(object: &Object, addr: IpAddr, owner: &ObjectKey) -> bool {
    let (value, wanted) = (object.value(), content(addr, owner));
    let family = object.meta.labels.get(FAMILY);
    is_derived(object) && family == Some(IpFamily::of(addr).as_str()) && value.get("spec") == wanted.get("spec")
}

/// What changes when a Service that held `before` holds `after`.
pub fn changes<'a>(
    owner: &ObjectKey,
    before: &[Claim],
    after: &[Claim],
    find: impl Fn(&ObjectKey) -> Option<&'a Object>,
) -> Vec<Change> {
    let addrs = |claims: &[Claim]| -> Vec<IpAddr> {
        let addr = |claim: &Claim| if let Claim::ClusterIp(addr) = claim { Some(*addr) } else { None };
        claims.iter().filter_map(addr).collect()
    };
    let held = addrs(after);
    let missing = |addr: &IpAddr| find(&key(*addr)).is_none_or(|object| !shows(object, *addr, owner));
    let made = held.iter().copied().filter(missing).map(Change::Make);
    let released = addrs(before).into_iter().filter(|addr| !held.contains(addr)).map(key);
    let dropped = released.filter(|key| find(key).is_some_and(is_derived)).map(Change::Drop);
    made.chain(dropped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Draft, Revision};

    #[test]
    fn objects_follow_the_claims() {
        let (owner, other) = (ObjectKey::new("n", "a"), ObjectKey::new("n", "b"));
        let (one, two): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let (of_one, of_two) = (Claim::ClusterIp(one), Claim::ClusterIp(two));
        let nothing = |_: &ObjectKey| None;
        assert_eq!(changes(&owner, &[], &[of_one, Claim::NodePort(1)], nothing), [Change::Make(one)]);
        let object = Draft::new(Kind::IpAddress, &content(one, &owner)).unwrap().commit(Revision(1));
        let found = |wanted: &ObjectKey| (*wanted == key(one)).then_some(&object);
        assert_eq!(changes(&owner, &[of_one], &[of_one], found), []);
        assert_eq!(changes(&other, &[], &[of_one], found), [Change::Make(one)], "it names another Service");
        assert_eq!(changes(&owner, &[of_one], &[of_two], found), [Change::Make(two), Change::Drop(key(one))]);
    }
}
