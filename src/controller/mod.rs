//! Level-triggered reconcilers that write back to the store: Endpoints,
//! EndpointSlices, mirroring, Pods without a runtime, accounts, addresses,
//! ranges, namespaces, garbage.
//!
//! In: the newest [`Snapshot`] and [`Facts`]. Out: [`Op`]s that the worker
//! submits in memory, because everything decided here can be derived again.
//! Deciding is pure ([`decide`]); only [`run`] waits, writes and reads clocks.

mod bootstrap;
mod condition;
mod dirty;
mod draft;
mod endpoints;
mod event;
mod foresee;
mod garbage;
mod ip_address;
mod mirror;
mod namespace;
mod pack;
mod pods;
mod repair;
mod roles;
mod selected;
mod service_account;
mod service_cidr;
mod slices;
mod trigger;
mod worker;

#[cfg(test)]
mod tests;

pub use bootstrap::bootstrap;
pub use condition::{Cause, Trouble, Troubles};
pub use event::{Report, warn};
pub use foresee::foresee;
pub use repair::report;
pub use worker::{Truth, run, settle};

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use time::OffsetDateTime;

use crate::model::object::ParseError;
use crate::model::{Kind, ObjectKey};
use crate::store::{Durability, Op, Snapshot};

/// What the controllers know of the box.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The Node's name: the hostname.
    pub node_name: String,
    /// Addresses of the box, primary first.
    pub node_addrs: Vec<IpAddr>,
    /// `amd64`, `arm64` or `arm`.
    pub architecture: String,
    /// Cores.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel_version: String,
    /// Cluster IP ranges, primary first.
    pub service_ranges: Vec<IpNet>,
    /// Where node ports come from, if anybody said so.
    pub node_ports: Option<RangeInclusive<u16>>,
    /// Where the API listens with TLS.
    pub api_listen: Option<SocketAddr>,
    /// The Services that are not served as they ask.
    pub troubles: Arc<Troubles>,
}

impl Facts {
    /// The address Endpoints may name for the API. Loopback is not allowed in
    /// Endpoints: an API on loopback only has a Service without endpoints.
    fn api_addr(&self) -> Option<SocketAddr> {
        let listen = self.api_listen?;
        let addr = match listen.ip() {
            any if any.is_unspecified() => *self.node_addrs.first()?,
            loopback if loopback.is_loopback() => return None,
            addr => addr,
        };
        Some(SocketAddr::new(addr, listen.port()))
    }
}

/// One thing to bring to its desired state. The order is the order of work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// The objects that are always there.
    Permanent,
    /// A Pod's binding, status and end.
    Pod(ObjectKey),
    /// The addresses and ports a Service shows.
    Repair(ObjectKey),
    /// What a Service shows of its troubles.
    Condition(ObjectKey),
    /// The Endpoints of a Service.
    Endpoints(ObjectKey),
    /// The slices of a Service with a selector.
    Slices(ObjectKey),
    /// The mirrored slices of Endpoints.
    Mirror(ObjectKey),
    /// The object of a cluster IP.
    IpAddress(ObjectKey),
    /// The end of an event.
    Event(ObjectKey),
    /// The finalizer, conditions and end of a range.
    ServiceCidr(ObjectKey),
    /// The account `default` of a namespace.
    ServiceAccount(ObjectKey),
    /// The roles that groups hold in a namespace.
    RoleBindings(ObjectKey),
    /// A namespace that is going.
    Namespace(ObjectKey),
    /// An object whose owner may be gone, or that waits for its dependents.
    Garbage(Kind, ObjectKey),
}

/// What a decision reads. Names and uids come from a generator the caller
/// seeds, so that the same input gives the same bytes.
struct Scene<'a> {
    snapshot: &'a Snapshot,
    facts: &'a Facts,
    now: OffsetDateTime,
    random: fastrand::Rng,
    /// What the endpoints of Services were changed by last.
    triggers: &'a mut trigger::Triggers,
}

/// What to write, and when to look again although nothing changed.
#[derive(Debug)]
struct Decision {
    ops: Vec<Op>,
    durability: Durability,
    again: Option<OffsetDateTime>,
}

impl Default for Decision {
    fn default() -> Decision {
        Decision { ops: Vec::new(), durability: Durability::Memory, again: None }
    }
}

fn decide(scene: &mut Scene<'_>, task: &Task) -> Result<Decision, ParseError> {
    let ops = match task {
        Task::Permanent => return bootstrap::reconcile(scene),
        Task::Pod(key) => return pods::reconcile(scene, key),
        Task::ServiceAccount(key) => return service_account::reconcile(scene, key),
        Task::IpAddress(key) => return ip_address::reconcile(scene, key),
        Task::Event(key) => return Ok(event::reconcile(scene, key)),
        Task::Repair(key) => return repair::reconcile(scene, key),
        Task::Condition(key) => return condition::reconcile(scene, key),
        Task::ServiceCidr(key) => return service_cidr::reconcile(scene, key),
        Task::Endpoints(key) => endpoints::reconcile(scene, key)?,
        Task::Slices(key) => slices::reconcile(scene, key)?,
        Task::Mirror(key) => mirror::reconcile(scene, key)?,
        Task::RoleBindings(key) => roles::reconcile(scene, key)?,
        Task::Namespace(key) => namespace::reconcile(scene, key)?,
        Task::Garbage(kind, key) => garbage::reconcile(scene, *kind, key)?,
    };
    Ok(Decision { ops, ..Decision::default() })
}
