//! The kinds edgesvc serves, as one table. Adding a kind begins with a row here.

use std::fmt;

/// A kind of object the API serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1` Namespace, cluster scoped.
    Namespace,
    /// `v1` Node, cluster scoped: this box.
    Node,
    /// `v1` Service.
    Service,
    /// `v1` Endpoints.
    Endpoints,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `v1` Pod: where endpoints come from.
    Pod,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret.
    Secret,
    /// `v1` Event, in memory only.
    Event,
    /// `v1` ServiceAccount: a name for whoever runs in a Pod.
    ServiceAccount,
    /// `coordination.k8s.io/v1` Lease, in memory only: renewed every few seconds.
    Lease,
    /// `events.k8s.io/v1` Event: the objects of [`Kind::Event`] under other names.
    EventsEvent,
    /// `networking.k8s.io/v1` IPAddress: a cluster IP that is held.
    IpAddress,
    /// `networking.k8s.io/v1` ServiceCIDR: a range cluster IPs come from.
    ServiceCidr,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `networking.k8s.io/v1` IngressClass, cluster scoped.
    IngressClass,
    /// `rbac.authorization.k8s.io/v1` ClusterRole: a fixed set, read only.
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1` ClusterRoleBinding: a fixed set, read only.
    ClusterRoleBinding,
    /// `rbac.authorization.k8s.io/v1` Role: there are none.
    Role,
    /// `rbac.authorization.k8s.io/v1` RoleBinding: there are none.
    RoleBinding,
}

/// What discovery says of one kind (spec/api.md section 1).
#[derive(Debug)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// The kind's name, for instance `EndpointSlice`.
    pub kind: &'static str,
    /// The plural in paths, for instance `endpointslices`.
    pub plural: &'static str,
    /// The singular.
    pub singular: &'static str,
    /// Short names kubectl accepts.
    pub short_names: &'static [&'static str],
    /// Categories such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Subresources served, for instance `status`.
    pub subresources: &'static [&'static str],
    /// Whether PUT to a missing name creates it.
    pub create_on_put: bool,
    /// Whether DELETE answers with the object instead of a Status.
    pub delete_returns_object: bool,
    /// Whether `metadata.generation` is kept by the server.
    pub generation: bool,
    /// Whether the collection can be deleted.
    pub delete_collection: bool,
    /// Whether objects live in memory only: renewed too often, or derived.
    pub in_memory: bool,
    /// Whether clients can only read objects.
    pub read_only: bool,
    /// Whether PUT must say which version it replaces.
    pub conditional_update: bool,
}

macro_rules! resource {
    ($group:literal, $version:literal, $kind:literal, $plural:literal, $singular:literal, $($k:ident = $v:expr),* $(,)?) => {
        Resource {
            $($k: $v,)*
            ..Resource {
                group: $group, version: $version, kind: $kind, plural: $plural, singular: $singular,
                short_names: &[], categories: &[], namespaced: true, subresources: &[],
                create_on_put: false, delete_returns_object: false, generation: false, delete_collection: true,
                in_memory: false, read_only: false, conditional_update: false,
            }
        }
    };
}

static NAMESPACE: Resource = resource!(
    "",
    "v1",
    "Namespace",
    "namespaces",
    "namespace",
    short_names = &["ns"],
    namespaced = false,
    subresources = &["finalize", "status"],
    delete_returns_object = true,
    delete_collection = false
);
static NODE: Resource =
    resource!("", "v1", "Node", "nodes", "node", short_names = &["no"], namespaced = false, subresources = &["status"]);
static SERVICE: Resource = resource!(
    "",
    "v1",
    "Service",
    "services",
    "service",
    short_names = &["svc"],
    categories = &["all"],
    subresources = &["status"],
    create_on_put = true,
    delete_returns_object = true
);
static ENDPOINTS: Resource =
    resource!("", "v1", "Endpoints", "endpoints", "endpoints", short_names = &["ep"], create_on_put = true);
static ENDPOINT_SLICE: Resource =
    resource!("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", generation = true);
static POD: Resource = resource!(
    "",
    "v1",
    "Pod",
    "pods",
    "pod",
    short_names = &["po"],
    categories = &["all"],
    subresources = &["status"],
    delete_returns_object = true,
    generation = true
);
static CONFIG_MAP: Resource = resource!("", "v1", "ConfigMap", "configmaps", "configmap", short_names = &["cm"],);
static SECRET: Resource = resource!("", "v1", "Secret", "secrets", "secret",);
static EVENT: Resource =
    resource!("", "v1", "Event", "events", "event", short_names = &["ev"], create_on_put = true, in_memory = true);
static SERVICE_ACCOUNT: Resource = resource!(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    "serviceaccount",
    short_names = &["sa"],
    delete_returns_object = true
);

static LEASE: Resource = resource!(
    "coordination.k8s.io",
    "v1",
    "Lease",
    "leases",
    "lease",
    create_on_put = true,
    in_memory = true,
    conditional_update = true
);
static EVENTS_EVENT: Resource = resource!(
    "events.k8s.io",
    "v1",
    "Event",
    "events",
    "event",
    short_names = &["ev"],
    create_on_put = true,
    in_memory = true
);

static IP_ADDRESS: Resource = resource!(
    "networking.k8s.io",
    "v1",
    "IPAddress",
    "ipaddresses",
    "ipaddress",
    short_names = &["ip"],
    namespaced = false
);
static SERVICE_CIDR: Resource = resource!(
    "networking.k8s.io",
    "v1",
    "ServiceCIDR",
    "servicecidrs",
    "servicecidr",
    namespaced = false,
    subresources = &["status"]
);
static INGRESS: Resource = resource!(
    "networking.k8s.io",
    "v1",
    "Ingress",
    "ingresses",
    "ingress",
    short_names = &["ing"],
    subresources = &["status"],
    generation = true
);
static INGRESS_CLASS: Resource = resource!(
    "networking.k8s.io",
    "v1",
    "IngressClass",
    "ingressclasses",
    "ingressclass",
    namespaced = false,
    generation = true
);

macro_rules! rbac {
    ($kind:literal, $plural:literal, $singular:literal, $namespaced:literal) => {
        resource!(
            "rbac.authorization.k8s.io",
            "v1",
            $kind,
            $plural,
            $singular,
            namespaced = $namespaced,
            delete_collection = false,
            in_memory = true,
            read_only = true
        )
    };
}

static CLUSTER_ROLE: Resource = rbac!("ClusterRole", "clusterroles", "clusterrole", false);
static CLUSTER_ROLE_BINDING: Resource = rbac!("ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", false);
static ROLE: Resource = rbac!("Role", "roles", "role", true);
static ROLE_BINDING: Resource = rbac!("RoleBinding", "rolebindings", "rolebinding", true);

impl Kind {
    /// Every kind, in the order used for storage and listings.
    pub const ALL: [Kind; 20] = [
        Kind::Namespace,
        Kind::Node,
        Kind::Service,
        Kind::Endpoints,
        Kind::EndpointSlice,
        Kind::Pod,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Event,
        Kind::ServiceAccount,
        Kind::Lease,
        Kind::EventsEvent,
        Kind::IpAddress,
        Kind::ServiceCidr,
        Kind::Ingress,
        Kind::IngressClass,
        Kind::ClusterRole,
        Kind::ClusterRoleBinding,
        Kind::Role,
        Kind::RoleBinding,
    ];

    /// The kind's row in the table.
    pub fn resource(self) -> &'static Resource {
        match self {
            Kind::Namespace => &NAMESPACE,
            Kind::Node => &NODE,
            Kind::Service => &SERVICE,
            Kind::Endpoints => &ENDPOINTS,
            Kind::EndpointSlice => &ENDPOINT_SLICE,
            Kind::Pod => &POD,
            Kind::ConfigMap => &CONFIG_MAP,
            Kind::Secret => &SECRET,
            Kind::Event => &EVENT,
            Kind::ServiceAccount => &SERVICE_ACCOUNT,
            Kind::Lease => &LEASE,
            Kind::EventsEvent => &EVENTS_EVENT,
            Kind::IpAddress => &IP_ADDRESS,
            Kind::ServiceCidr => &SERVICE_CIDR,
            Kind::Ingress => &INGRESS,
            Kind::IngressClass => &INGRESS_CLASS,
            Kind::ClusterRole => &CLUSTER_ROLE,
            Kind::ClusterRoleBinding => &CLUSTER_ROLE_BINDING,
            Kind::Role => &ROLE,
            Kind::RoleBinding => &ROLE_BINDING,
        }
    }

    /// Position in [`Kind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The stable tag of the kind in the store's keys. Never renumber.
    pub fn tag(self) -> u8 {
        match self {
            Kind::Namespace => 1,
            Kind::Node => 2,
            Kind::Service => 3,
            Kind::Endpoints => 4,
            Kind::EndpointSlice => 5,
            Kind::Pod => 6,
            Kind::ConfigMap => 7,
            Kind::Secret => 8,
            Kind::Event => 9,
            Kind::ServiceAccount => 10,
            Kind::Lease => 11,
            Kind::EventsEvent => 12,
            Kind::IpAddress => 13,
            Kind::ServiceCidr => 14,
            Kind::Ingress => 15,
            Kind::IngressClass => 16,
            Kind::ClusterRole => 17,
            Kind::ClusterRoleBinding => 18,
            Kind::Role => 19,
            Kind::RoleBinding => 20,
        }
    }

    /// The kind the objects are stored as: another one where a group shows them
    /// under names of its own.
    pub fn stored(self) -> Kind {
        if self == Kind::EventsEvent { Kind::Event } else { self }
    }

    /// The kind of a tag.
    pub fn from_tag(tag: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    /// The kind served under a path's group, version and plural.
    pub fn from_path(group: &str, version: &str, plural: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| {
            let row = kind.resource();
            row.group == group && row.version == version && row.plural == plural
        })
    }

    /// The kind of an object's `apiVersion` and `kind`.
    pub fn from_type_meta(api_version: &str, kind: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.resource().kind == kind && k.api_version() == api_version)
    }

    /// `v1` or `discovery.k8s.io/v1`.
    pub fn api_version(self) -> String {
        let row = self.resource();
        if row.group.is_empty() { row.version.to_owned() } else { format!("{}/{}", row.group, row.version) }
    }

    /// `services` or `endpointslices.discovery.k8s.io`, as in error messages.
    pub fn qualified_resource(self) -> String {
        let row = self.resource();
        if row.group.is_empty() { row.plural.to_owned() } else { format!("{}.{}", row.plural, row.group) }
    }

    /// `Service` or `EndpointSlice.discovery.k8s.io`, as in `… is invalid` messages.
    pub fn qualified_kind(self) -> String {
        let row = self.resource();
        if row.group.is_empty() { row.kind.to_owned() } else { format!("{}.{}", row.kind, row.group) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource().kind)
    }
}
