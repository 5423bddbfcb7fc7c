//! Cluster IPs and node ports of a Service, asked of the claims in the snapshot
//! (spec/service.md sections 4.3 and 5). The first fault is answered alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::read::{int, list, set, text, texts};
use super::super::{Rejection, Scene, service_cidr};
use super::{families, has_node_ports, is_external_name, is_headless, key, kind_of, needs_health_check, set_spec};
use crate::allocate::{self, AllocateError, Claims};
use crate::model::{Cause, Claim, IpFamily, Kind, ObjectKey, ip_address, name};

/// Gives the Service an address of each family it has none of.
pub(super) fn cluster_ips(scene: &Scene<'_>, old: Option<&Value>, value: &mut Value) -> Result<(), Rejection> {
    let Some(first) = first_missing(old, value) else { return Ok(()) };
    let owner = key(value);
    let claims = set_aside(scene, &owner);
    let ranges = service_cidr::ready_ranges(scene);
    let mut ips = texts(value, "/spec/clusterIPs");
    let asked = json!(ips);
    let invalid = |ip: &str, error: &dyn std::fmt::Display| {
        let detail = format!("failed to allocate IP {ip}: {error}");
        Rejection::Invalid(vec![Cause::invalid("spec.clusterIPs", &asked, &detail)])
    };
    for (i, family) in texts(value, "/spec/ipFamilies").iter().enumerate().skip(first) {
        if let Some(ip) = ips.get(i) {
            let Ok(addr) = ip.parse::<IpAddr>() else { continue };
            request_ip(scene, &ranges, &claims, addr, &owner).map_err(|error| invalid(ip, &error))?;
            if let Some(fault) = unholdable(scene, &owner, addr) {
                return Err(invalid(ip, &fault));
            }
        } else {
            let of_family = ranges.iter().filter(|range| IpFamily::of(range.network()).as_str() == family);
            let addr = pick_ip(scene, of_family, &claims)
                .map_err(|error| Rejection::Internal(full("a serviceIP", &owner, &error)))?;
            if let Some(fault) = unholdable(scene, &owner, addr) {
                let shown = if ips.is_empty() { json!([""]) } else { asked };
                let detail = format!("failed to allocate IP: {fault}");
                return Err(Rejection::Invalid(vec![Cause::invalid("spec.clusterIPs", &shown, &detail)]));
            }
            ips.push(addr.to_string());
        }
    }
    if let Some(first) = ips.first() {
        set_spec(value, "clusterIP", json!(first));
    }
    set_spec(value, "clusterIPs", json!(ips));
    Ok(())
}

/// The index of the first family whose address is to be allocated; none when all
/// addresses stay as they are.
fn first_missing(old: Option<&Value>, value: &Value) -> Option<usize> {
    if is_external_name(value) || is_headless(value) {
        return None;
    }
    let Some(old) = old else { return Some(0) };
    let families = |value: &Value| texts(value, "/spec/ipFamilies").len();
    match () {
        () if families::prefers_as_before(old, value) => None,
        () if is_external_name(old) => Some(0),
        () if is_headless(old) => None,
        () if families(old) == 1 && families(value) == 2 => Some(1),
        () => None,
    }
}

/// The claims, and what the configuration keeps for Services that may not be there yet.
fn set_aside(scene: &Scene<'_>, owner: &ObjectKey) -> Claims {
    let mut claims = scene.snapshot.claims().clone();
    let kubernetes = ObjectKey::new("default", "kubernetes");
    let dns = ObjectKey::new("kube-system", "kube-dns");
    let first = scene.rules.service_ranges.first().map(|range| (allocate::first_cluster_ip(*range), &kubernetes));
    let kept = scene.rules.cluster_dns.iter().map(|addr| (*addr, &dns));
    for (addr, keeper) in first.into_iter().chain(kept).filter(|(_, keeper)| *keeper != owner) {
        claims.entry(Claim::ClusterIp(addr)).or_insert_with(|| keeper.clone());
    }
    claims
}

/// Why no IPAddress can name the Service as its holder: the real server finds out
/// here that the Service has no name, or one that breaks paths.
fn unholdable(scene: &Scene<'_>, owner: &ObjectKey, addr: IpAddr) -> Option<String> {
    if scene.dry_run {
        return None;
    }
    let fault = match &*owner.name {
        "" => "Required value".to_owned(),
        own => format!("Invalid value: {}: {}", json!(own), name::path_segment(own).first()?),
    };
    Some(format!("IPAddress.networking.k8s.io \"{addr}\" is invalid: spec.parentRef.name: {fault}"))
}

/// An address of the first range that has one.
fn pick_ip<'a>(
    scene: &Scene<'_>,
    ranges: impl Iterator<Item = &'a IpNet>,
    claims: &Claims,
) -> Result<IpAddr, AllocateError> {
    let (mut rng, mut claims) = (fastrand::Rng::new(), claims.clone());
    for range in ranges {
        while let Ok(addr) = allocate::cluster_ip(&claims, *range, &mut rng) {
            if !is_shown(scene, addr) {
                return Ok(addr);
            }
            claims.insert(Claim::ClusterIp(addr), ip_address::key(addr));
        }
    }
    Err(AllocateError::Full)
}

/// Whether there is an object of this address: a client may have made it for a
/// Service that is still to come, and nobody else gets it meanwhile.
fn is_shown(scene: &Scene<'_>, addr: IpAddr) -> bool {
    scene.snapshot.get(Kind::IpAddress, &ip_address::key(addr)).is_some()
}

fn request_ip(
    scene: &Scene<'_>,
    ranges: &[IpNet],
    claims: &Claims,
    addr: IpAddr,
    owner: &ObjectKey,
) -> Result<(), AllocateError> {
    // Held by this very Service is taken too: it asks for what it does not have yet.
    if claims.contains_key(&Claim::ClusterIp(addr)) || is_shown(scene, addr) {
        return Err(AllocateError::Taken(Claim::ClusterIp(addr)));
    }
    allocate::requested_cluster_ip(claims, ranges, addr, owner)
}

fn full(what: &str, owner: &ObjectKey, error: &AllocateError) -> String {
    format!("failed to allocate {what} for Service \"{}\": {error}", owner.name)
}

/// Reserves the node ports asked for, gives one to each port without, and the
/// same for the health check.
pub(super) fn ports(scene: &Scene<'_>, old: Option<&Value>, value: &mut Value) -> Result<(), Rejection> {
    let mut pool = Pool::new(scene, value);
    if has_node_ports(value) {
        let mut rows: Vec<Value> = list(value, "/spec/ports").to_vec();
        match old {
            None => pool.fill_new(&mut rows)?,
            Some(old) => pool.fill_changed(old, &mut rows)?,
        }
        set_spec(value, "ports", rows.into());
    }
    if needs_health_check(value) && !old.is_some_and(needs_health_check) {
        let number = pool.health_check(int(value, "/spec/healthCheckNodePort"))?;
        set_spec(value, "healthCheckNodePort", number.into());
    }
    Ok(())
}

/// The node ports free for one Service in one request.
struct Pool<'s, 'a> {
    scene: &'s Scene<'a>,
    owner: ObjectKey,
    claims: Claims,
    /// The same with all numbers in the request: those are never picked for another port of it.
    kept: Claims,
    /// Ports without a number get one.
    gives: bool,
}

impl Pool<'_, '_> {
    fn new<'s, 'a>(scene: &'s Scene<'a>, value: &Value) -> Pool<'s, 'a> {
        let manual = value.pointer("/spec/allocateLoadBalancerNodePorts") == Some(&json!(false));
        let numbers = list(value, "/spec/ports").iter().map(|row| int(row, "/nodePort"));
        let numbers = numbers.chain(Some(int(value, "/spec/healthCheckNodePort")));
        let (owner, claims) = (key(value), scene.snapshot.claims().clone());
        let mut kept = claims.clone();
        for number in numbers.filter_map(|number| u16::try_from(number).ok()) {
            kept.entry(Claim::NodePort(number)).or_insert_with(|| owner.clone());
        }
        Pool { scene, owner, claims, kept, gives: !(manual && kind_of(value) == "LoadBalancer") }
    }

    /// Takes a number that was asked for.
    fn take(&mut self, number: i64) -> Result<u16, AllocateError> {
        let range = &self.scene.rules.node_ports;
        let shown = || format!("{}-{}", range.start(), range.end());
        let outside = |port| AllocateError::OutOfRange { claim: Claim::NodePort(port), pool: shown() };
        let port = u16::try_from(number).map_err(|_| outside(0))?;
        let claim = Claim::NodePort(port);
        if self.claims.contains_key(&claim) {
            return Err(AllocateError::Taken(claim));
        }
        allocate::requested_node_port(&self.claims, range, port, &self.owner)?;
        self.claims.insert(claim, self.owner.clone());
        Ok(port)
    }

    fn pick(&mut self, what: &str) -> Result<u16, Rejection> {
        let picked = allocate::node_port(&self.kept, &self.scene.rules.node_ports, &mut fastrand::Rng::new());
        let port = picked.map_err(|error| Rejection::Internal(format!("failed to allocate a {what}: {error}")))?;
        for claims in [&mut self.claims, &mut self.kept] {
            claims.insert(Claim::NodePort(port), self.owner.clone());
        }
        Ok(port)
    }

    fn take_for(&mut self, i: usize, number: i64) -> Result<u16, Rejection> {
        self.take(number).map_err(|error| {
            let field = format!("spec.ports[{i}].nodePort");
            Rejection::Invalid(vec![Cause::invalid(field, &number.into(), &error.to_string())])
        })
    }

    /// A new Service: ports of one number, as DNS has on TCP and UDP, share a node port.
    fn fill_new(&mut self, rows: &mut [Value]) -> Result<(), Rejection> {
        let asked: Vec<(i64, i64)> = rows.iter().map(|row| (int(row, "/port"), int(row, "/nodePort"))).collect();
        let mut shared: BTreeMap<i64, i64> = BTreeMap::new();
        for (i, row) in rows.iter_mut().enumerate() {
            let (port, own) = (int(row, "/port"), int(row, "/nodePort"));
            if own == 0 && !self.gives {
                continue;
            }
            match shared.get(&port).copied() {
                None => {
                    let wanted = asked.iter().find(|(of, number)| *of == port && *number != 0);
                    let number = match wanted {
                        Some((_, number)) => self.take_for(i, *number)?,
                        None => self.pick("nodePort")?,
                    };
                    set(row, "nodePort", number);
                    shared.insert(port, number.into());
                }
                Some(number) if own == 0 => set(row, "nodePort", number),
                Some(number) if own != number => {
                    self.take_for(i, own)?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A changed Service keeps what it has; each port without gets a number of its own.
    fn fill_changed(&mut self, old: &Value, rows: &mut [Value]) -> Result<(), Rejection> {
        let mut held: BTreeSet<i64> = BTreeSet::new();
        if has_node_ports(old) {
            held.extend(list(old, "/spec/ports").iter().map(|row| int(row, "/nodePort")));
        }
        let mut seen = BTreeSet::new();
        for (i, row) in rows.iter_mut().enumerate() {
            let (protocol, mut number) = (text(row, "/protocol").to_owned(), int(row, "/nodePort"));
            if number == 0 && !self.gives {
                continue;
            }
            if number == 0 {
                number = self.pick("nodePort")?.into();
                set(row, "nodePort", number);
            } else if held.insert(number) {
                self.take_for(i, number)?;
            }
            if !seen.insert((protocol.clone(), number)) {
                return Err(Rejection::Internal(format!("duplicate nodePort: {{{protocol} {number}}}")));
            }
        }
        Ok(())
    }

    /// Refusals are 500, as the real server's.
    fn health_check(&mut self, asked: i64) -> Result<u16, Rejection> {
        if asked == 0 {
            return self.pick("HealthCheck NodePort 0");
        }
        self.take(asked).map_err(|error| {
            Rejection::Internal(format!("failed to allocate requested HealthCheck NodePort {asked}: {error}"))
        })
    }
}
