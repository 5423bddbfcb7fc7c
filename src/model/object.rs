//! Stored objects: encoded once, shared as bytes, with the parsed form beside
//! them. LIST and WATCH copy bytes and never re-encode (design section 3).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{EndpointSlice, Endpoints, Kind, Labels, Node, Pod, Service, ip_address};

/// The store's global counter: the `resourceVersion` of every object. Only ever
/// grows, across crashes too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Namespace and name. The namespace of cluster-scoped objects is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// A key of a namespaced object, or of a cluster-scoped one with `""`.
    pub fn new(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A value that only one object may hold. Rows of claims are committed with the
/// object that holds them, so neither a leak nor a double can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// A cluster IP of a Service.
    ClusterIp(IpAddr),
    /// A node port (or health-check node port), for all protocols at once.
    NodePort(u16),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claim::ClusterIp(addr) => write!(f, "cluster IP {addr}"),
            Claim::NodePort(port) => write!(f, "node port {port}"),
        }
    }
}

/// The parsed form of kinds that rooms behind the store read.
#[derive(Clone, Debug)]
pub enum Body {
    /// A Service.
    Service(Box<Service>),
    /// An Endpoints object.
    Endpoints(Box<Endpoints>),
    /// An EndpointSlice.
    EndpointSlice(Box<EndpointSlice>),
    /// A Pod.
    Pod(Box<Pod>),
    /// A Node.
    Node(Node),
    /// A kind nobody behind the store looks into.
    Opaque,
}

/// Metadata that rooms behind the store read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.uid`
    pub uid: Arc<str>,
    /// `metadata.labels`
    pub labels: Labels,
    /// `metadata.annotations`, without the two large ones kubectl and managers keep.
    pub annotations: Labels,
    /// `metadata.ownerReferences[].uid`
    pub owners: Vec<String>,
    /// `metadata.creationTimestamp`
    pub created: String,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `metadata.finalizers` is not empty.
    pub finalizers: bool,
    /// `metadata.generation`, 0 when absent.
    pub generation: u64,
}

/// An object on its way into the store: everything but its revision.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: ObjectKey,
    /// Parsed metadata.
    pub meta: Meta,
    /// Parsed content.
    pub body: Body,
    head: Vec<u8>,
    tail: Vec<u8>,
    item_at: usize,
}

/// An object as stored: immutable, shared behind `Arc`.
#[derive(Clone, Debug)]
pub struct Object {
    /// The kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: ObjectKey,
    /// The revision of its last change.
    pub revision: Revision,
    /// Parsed metadata.
    pub meta: Meta,
    /// Parsed content.
    pub body: Body,
    json: Bytes,
    item_at: usize,
}

/// Why bytes or a value are not an object of a kind.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or a member has the wrong type.
    #[error("not a {kind}: {source}")]
    Json {
        /// The kind expected.
        kind: Kind,
        /// Position and cause.
        source: serde_json::Error,
    },
    /// A member every stored object has is absent.
    #[error("not a {kind}: {member} is missing")]
    Missing {
        /// The kind expected.
        kind: Kind,
        /// The member.
        member: &'static str,
    },
}

impl Draft {
    /// Encodes `value`, which the API has defaulted and validated. Its
    /// `apiVersion`, `kind` and `metadata.resourceVersion` are written anew.
    pub fn new(kind: Kind, value: &Value) -> Result<Draft, ParseError> {
        let missing = |member| ParseError::Missing { kind, member };
        let object = value.as_object().ok_or_else(|| missing("the object"))?;
        let metadata = object.get("metadata").and_then(Value::as_object).ok_or_else(|| missing("metadata"))?;
        let name = metadata.get("name").and_then(Value::as_str).ok_or_else(|| missing("metadata.name"))?;
        let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
        let mut head = format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",", kind.api_version(), kind).into_bytes();
        let item_at = head.len();
        head.extend_from_slice(b"\"metadata\":{");
        write_members(&mut head, metadata, &["resourceVersion"]);
        head.extend_from_slice(b"\"resourceVersion\":\"");
        let mut tail = b"\"}".to_vec();
        for (member, content) in object {
            if !matches!(member.as_str(), "apiVersion" | "kind" | "metadata") {
                tail.push(b',');
                write_member(&mut tail, member, content);
            }
        }
        tail.push(b'}');
        Ok(Draft {
            kind,
            key: ObjectKey::new(namespace, name),
            meta: Meta::of(metadata),
            body: Body::of(kind, value)?,
            head,
            tail,
            item_at,
        })
    }

    /// The object this draft becomes at `revision`.
    pub fn commit(&self, revision: Revision) -> Object {
        let digits = revision.to_string();
        let mut json = Vec::with_capacity(self.head.len() + digits.len() + self.tail.len());
        json.extend_from_slice(&self.head);
        json.extend_from_slice(digits.as_bytes());
        json.extend_from_slice(&self.tail);
        Object {
            kind: self.kind,
            key: self.key.clone(),
            revision,
            meta: self.meta.clone(),
            body: self.body.clone(),
            json: Bytes::from(json),
            item_at: self.item_at,
        }
    }
}

impl Object {
    /// Reads an object back from the bytes [`Object::json`] gave.
    pub fn decode(kind: Kind, json: &[u8]) -> Result<Object, ParseError> {
        let value: Value = serde_json::from_slice(json).map_err(|source| ParseError::Json { kind, source })?;
        let revision = value
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
            .ok_or(ParseError::Missing { kind, member: "metadata.resourceVersion" })?;
        Ok(Draft::new(kind, &value)?.commit(Revision(revision)))
    }

    /// The same object at another revision: the last state of a deleted object
    /// carries the revision of its deletion (spec/api.md section 7).
    pub fn at(&self, revision: Revision) -> Object {
        match Draft::new(self.kind, &self.value()) {
            Ok(draft) => draft.commit(revision),
            // Its own bytes made it, so they can be read; if not, it stays as it was.
            Err(_) => Object { revision, ..self.clone() },
        }
    }

    /// The whole object as compact JSON, `apiVersion` and `kind` first.
    pub fn json(&self) -> Bytes {
        self.json.clone()
    }

    /// The object as an item of a List, without `apiVersion` and `kind`. What
    /// comes back follows an opening brace.
    pub fn item_json(&self) -> Bytes {
        self.json.slice(self.item_at..)
    }

    /// The object as a value to change.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or(Value::Null)
    }

    /// Whether it lives in memory only: its kind does, or it follows from claims.
    pub fn is_in_memory(&self) -> bool {
        self.kind.resource().in_memory || ip_address::is_derived(self)
    }

    /// The values only this object may hold, by what it says.
    pub fn claims(&self) -> Vec<Claim> {
        match &self.body {
            Body::Service(service) => service.claims(),
            _ if self.kind == Kind::IpAddress && !ip_address::is_derived(self) => {
                self.key.name.parse().map(Claim::ClusterIp).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The Service inside, if it is one.
    pub fn as_service(&self) -> Option<&Service> {
        if let Body::Service(service) = &self.body { Some(service) } else { None }
    }

    /// The EndpointSlice inside, if it is one.
    pub fn as_endpoint_slice(&self) -> Option<&EndpointSlice> {
        if let Body::EndpointSlice(slice) = &self.body { Some(slice) } else { None }
    }

    /// The Endpoints inside, if it is one.
    pub fn as_endpoints(&self) -> Option<&Endpoints> {
        if let Body::Endpoints(endpoints) = &self.body { Some(endpoints) } else { None }
    }

    /// The Pod inside, if it is one.
    pub fn as_pod(&self) -> Option<&Pod> {
        if let Body::Pod(pod) = &self.body { Some(pod) } else { None }
    }
}

impl Body {
    fn of(kind: Kind, value: &Value) -> Result<Body, ParseError> {
        fn parse<T: serde::de::DeserializeOwned>(kind: Kind, value: &Value) -> Result<Box<T>, ParseError> {
            T::deserialize(value).map(Box::new).map_err(|source| ParseError::Json { kind, source })
        }
        Ok(match kind {
            Kind::Service => Body::Service(parse(kind, value)?),
            Kind::Endpoints => Body::Endpoints(parse(kind, value)?),
            Kind::EndpointSlice => Body::EndpointSlice(parse(kind, value)?),
            Kind::Pod => Body::Pod(parse(kind, value)?),
            Kind::Node => Body::Node(Node {}),
            _ => Body::Opaque,
        })
    }
}

/// Annotations nobody behind the store reads and that are as large as the object.
const LARGE_ANNOTATIONS: [&str; 1] = ["kubectl.kubernetes.io/last-applied-configuration"];

impl Meta {
    fn of(metadata: &serde_json::Map<String, Value>) -> Meta {
        let text = |member: &str| metadata.get(member).and_then(Value::as_str).unwrap_or_default();
        let pairs = |member: &str| {
            let entries = metadata.get(member).and_then(Value::as_object).into_iter().flatten();
            entries.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        };
        let list = |member: &str| metadata.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Meta {
            uid: text("uid").into(),
            labels: pairs("labels").collect(),
            annotations: pairs("annotations").filter(|(name, _)| !LARGE_ANNOTATIONS.contains(name)).collect(),
            owners: list("ownerReferences")
                .iter()
                .filter_map(|owner| Some(owner.get("uid")?.as_str()?.to_owned()))
                .collect(),
            created: text("creationTimestamp").to_owned(),
            deleting: metadata.contains_key("deletionTimestamp"),
            finalizers: !list("finalizers").is_empty(),
            generation: metadata.get("generation").and_then(Value::as_u64).unwrap_or_default(),
        }
    }
}

fn write_members(out: &mut Vec<u8>, members: &serde_json::Map<String, Value>, skip: &[&str]) {
    for (member, content) in members.iter().filter(|(member, _)| !skip.contains(&member.as_str())) {
        write_member(out, member, content);
        out.push(b',');
    }
}

fn write_member(out: &mut Vec<u8>, member: &str, content: &Value) {
    // `Value`'s Display is compact JSON and writing it to memory cannot fail.
    out.extend_from_slice(Value::from(member).to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(content.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        serde_json::json!({
            "kind": "wrong", "metadata": {"name": "a", "namespace": "n", "resourceVersion": "7", "uid": "u",
                "labels": {"k": "v\"q"}, "finalizers": ["x.y/z"]},
            "spec": {"clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "targetPort": "web"}]}, "status": {"loadBalancer": {}}
        })
    }

    #[test]
    fn a_committed_draft_carries_its_revision_and_reads_back() {
        let object = Draft::new(Kind::Service, &service()).unwrap().commit(Revision(42));
        let again = Object::decode(Kind::Service, &object.json()).unwrap();
        assert_eq!(again.revision, Revision(42));
        assert_eq!(again.json(), object.json());
        assert_eq!(again.key, ObjectKey::new("n", "a"));
        assert!(again.meta.finalizers);
        assert_eq!(again.meta.labels.get("k"), Some("v\"q"));
        assert_eq!(again.value()["metadata"]["resourceVersion"], "42");
        assert_eq!(again.value()["kind"], "Service");
    }

    #[test]
    fn a_list_item_has_no_type() {
        let object = Draft::new(Kind::Service, &service()).unwrap().commit(Revision(1));
        let item: Value =
            serde_json::from_str(&format!("{{{}", std::str::from_utf8(&object.item_json()).unwrap())).unwrap();
        assert!(item.get("kind").is_none());
        assert_eq!(item["spec"]["ports"][0]["targetPort"], "web");
    }
}
