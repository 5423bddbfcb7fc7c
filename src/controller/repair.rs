//! Reports Services that show addresses or ports they do not hold (spec/service.md
//! section 9): outside every range after a change of configuration, or held by an
//! older Service. Claims live and die with their objects in one transaction, so
//! unlike in Kubernetes nothing leaks while we run; what the audit of the file
//! found at the start is reported here too.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use time::Duration;

use super::event::{self, Report};
use super::trigger::Triggers;
use super::worker::Truth;
use super::{Decision, Facts, Scene};
use crate::clock;
use crate::model::object::ParseError;
use crate::model::{Claim, IpFamily, Kind, Object, ObjectKey};
use crate::store::{Durability, Fault, Problem, Write};

const IPS: &str = "ipallocator-repair-controller";
const PORTS: &str = "portallocator-repair-controller";
/// How often a Service that is not well is looked at again, as in Kubernetes.
const RESYNC: Duration = Duration::minutes(3);

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Decision, ParseError> {
    let Some(object) = scene.snapshot.get(Kind::Service, key) else { return Ok(Decision::default()) };
    let Some(service) = object.as_service() else { return Ok(Decision::default()) };
    let reports: Vec<Report<'static>> =
        service.claims().into_iter().filter_map(|claim| wrong(scene, key, claim)).collect();
    if reports.is_empty() {
        return Ok(Decision::default());
    }
    let mut ops = Vec::new();
    for report in &reports {
        if !is_told(scene, object, report) {
            ops.push(event::warning(scene, object, report)?);
        }
    }
    Ok(Decision { ops, again: Some(scene.now + RESYNC), ..Decision::default() })
}

/// What is wrong with a claim that a Service shows.
fn wrong(scene: &Scene<'_>, key: &ObjectKey, claim: Claim) -> Option<Report<'static>> {
    let another = scene.snapshot.claims().get(&claim).is_some_and(|holder| holder != key);
    match claim {
        Claim::ClusterIp(addr) if !in_range(scene, addr) => Some(of_ip(
            "ClusterIPOutOfRange",
            format!(
                "Cluster IP [{}]: {addr} is not within any configured Service CIDR; please recreate service",
                family(addr)
            ),
        )),
        Claim::ClusterIp(_) if another => Some(held_by_another(claim)),
        Claim::NodePort(port) => {
            let range = scene.facts.node_ports.as_ref().filter(|range| !range.contains(&port));
            if let Some(range) = range {
                let (first, last) = (range.start(), range.end());
                let note = format!("Port {port} is not within the port range {first}-{last}; please recreate service");
                return Some(of_port("PortOutOfRange", note));
            }
            another.then(|| held_by_another(claim))
        }
        Claim::ClusterIp(_) => None,
    }
}

/// What the younger of two Services hears that show one address or port.
fn held_by_another(claim: Claim) -> Report<'static> {
    match claim {
        Claim::ClusterIp(addr) => of_ip(
            "ClusterIPAlreadyAllocated",
            format!("Cluster IP [{}]:{addr} was assigned to multiple services; please recreate service", family(addr)),
        ),
        Claim::NodePort(port) => of_port(
            "PortAlreadyAllocated",
            format!("Port {port} was assigned to multiple services; please recreate service"),
        ),
    }
}

fn of_ip(reason: &'static str, note: String) -> Report<'static> {
    Report { controller: IPS, action: "ClusterIPAllocation", reason, note }
}

fn of_port(reason: &'static str, note: String) -> Report<'static> {
    Report { controller: PORTS, action: "PortAllocation", reason, note }
}

fn family(addr: IpAddr) -> &'static str {
    IpFamily::of(addr).as_str()
}

fn in_range(scene: &Scene<'_>, addr: IpAddr) -> bool {
    // One that is going too: it waits for just this Service.
    let further = scene.snapshot.list(Kind::ServiceCidr, None);
    scene.facts.service_ranges.iter().any(|range| range.contains(&addr))
        || further.flat_map(|range| crate::model::service_cidr::ranges(range)).any(|range| range.contains(&addr))
}

/// Whether an event of the last hour says so already.
pub(super) fn is_told(scene: &Scene<'_>, about: &Object, report: &Report<'_>) -> bool {
    let says = |event: &Arc<Object>| {
        let value = event.value();
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        text("/reason") == report.reason
            && text("/involvedObject/uid") == *about.meta.uid
            && text("/message") == report.note
    };
    scene.snapshot.list(Kind::Event, Some(&about.key.namespace)).any(says)
}

/// Reports what the audit of the file found and put right, at the start and when it
/// is asked for. A store that refuses leaves it to the log, which has it too.
pub async fn report<T: Truth>(truth: &T, facts: &Facts, faults: &[Fault]) {
    if faults.is_empty() {
        return;
    }
    let snapshot = Arc::clone(&truth.subscribe().borrow());
    let (now, random, triggers) = (clock::now(), fastrand::Rng::new(), &mut Triggers::default());
    let mut scene = Scene { snapshot: &snapshot, facts, now, random, triggers };
    let ops: Vec<_> = faults.iter().filter_map(|fault| told(&mut scene, fault)).collect();
    if let Err(error) = truth.submit(Write { ops, durability: Durability::Memory }).await {
        tracing::warn!(%error, "mended claims could not be reported");
    }
}

fn told(scene: &mut Scene<'_>, fault: &Fault) -> Option<crate::store::Op> {
    let (namespace, name) = fault.owner.strip_prefix("services/")?.split_once('/')?;
    let object = Arc::clone(scene.snapshot.get(Kind::Service, &ObjectKey::new(namespace, name))?);
    let (kind, value) = fault.claim.split_once('/')?;
    let report = match (kind, &fault.problem) {
        ("ip", Problem::NotRecorded) => {
            let family = family(value.parse().ok()?);
            of_ip("ClusterIPNotAllocated", format!("Cluster IP [{family}]: {value} is not allocated; repairing"))
        }
        ("ip", Problem::RecordedFor(_)) => {
            let family = family(value.parse().ok()?);
            let note = format!(
                "the ClusterIP [{family}]: {value} for Service {namespace}/{name} has a wrong reference; repairing"
            );
            of_ip("ClusterIPNotAllocated", note)
        }
        ("port", Problem::NotRecorded | Problem::RecordedFor(_)) => {
            of_port("PortNotAllocated", format!("Port {value} is not allocated; repairing"))
        }
        // The younger of two holders is reported as long as it is there, too.
        ("ip", Problem::HeldByOther(_)) => held_by_another(Claim::ClusterIp(value.parse().ok()?)),
        ("port", Problem::HeldByOther(_)) => held_by_another(Claim::NodePort(value.parse().ok()?)),
        // A row without an object concerns nobody.
        (_, Problem::Leaked) | (_, _) => return None,
    };
    if matches!(fault.problem, Problem::HeldByOther(_)) && is_told(scene, &object, &report) {
        return None;
    }
    match event::warning(scene, &object, &report) {
        Ok(op) => Some(op),
        Err(error) => {
            tracing::error!(%error, "a report is malformed");
            None
        }
    }
}
