//! Cluster IPs and node ports against the claims of the snapshot (spec/service.md
//! sections 4.3 and 5). Chosen from a random start above the static band, so that
//! values users ask for by hand are rarely in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::read::{int, list, set, text, texts};
use super::super::{Rejection, Scene};
use super::{has_node_ports, is_external_name, is_headless, key, needs_health_check, set_spec};
use crate::model::{Cause, Claim, IpFamily, ObjectKey};

/// Gives the Service an address of each of its families.
pub(super) fn cluster_ips(scene: &Scene<'_>, old: Option<&Value>, value: &mut Value) -> Result<(), Rejection> {
    if is_external_name(value) || is_headless(value) {
        return Ok(());
    }
    let (owner, held) = (key(value), old.map(super::held_claims).unwrap_or_default());
    let mut ips = texts(value, "/spec/clusterIPs");
    let asked = json!(ips);
    let families = texts(value, "/spec/ipFamilies");
    for ip in &ips {
        let Ok(addr) = ip.parse::<IpAddr>() else { continue };
        if !held.contains(&Claim::ClusterIp(addr)) {
            request(scene, &owner, addr).map_err(|detail| {
                let detail = format!("failed to allocate IP {addr}: {detail}");
                Rejection::Invalid(vec![Cause::invalid("spec.clusterIPs", &asked, &detail)])
            })?;
        }
    }
    for family in families.iter().skip(ips.len()) {
        let range = scene.rules.service_ranges.iter().find(|range| IpFamily::of(range.network()).as_str() == family);
        let Some(range) = range else { continue };
        let addr = pick_addr(scene, *range)
            .ok_or_else(|| Rejection::Internal("failed to allocate a serviceIP: range is full".to_owned()))?;
        ips.push(addr.to_string());
    }
    if let Some(first) = ips.first() {
        set_spec(value, "clusterIP", json!(first));
    }
    set_spec(value, "clusterIPs", json!(ips));
    Ok(())
}

fn request(scene: &Scene<'_>, owner: &ObjectKey, addr: IpAddr) -> Result<(), String> {
    let ranges = &scene.rules.service_ranges;
    if !ranges.iter().any(|range| offset(*range, addr).is_some()) {
        let shown: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
        return Err(format!(
            "the provided IP ({addr}) is not in the valid range. The range of valid IPs is {}",
            shown.join(",")
        ));
    }
    let kubernetes = *owner == ObjectKey::new("default", "kubernetes");
    let dns = *owner == ObjectKey::new("kube-system", "kube-dns");
    let reserved =
        (first_usable(scene) == Some(addr) && !kubernetes) || (scene.rules.cluster_dns.contains(&addr) && !dns);
    if reserved || scene.snapshot.claims().get(&Claim::ClusterIp(addr)).is_some_and(|holder| holder != owner) {
        return Err("provided IP is already allocated".to_owned());
    }
    Ok(())
}

/// The address of `default/kubernetes`, which no other Service may hold.
fn first_usable(scene: &Scene<'_>) -> Option<IpAddr> {
    scene.rules.service_ranges.first().and_then(|range| addr_at(*range, 1))
}

/// A free address: above the static band first, then within it.
fn pick_addr(scene: &Scene<'_>, range: IpNet) -> Option<IpAddr> {
    let (usable, band) = bands(range);
    let free = |offset: u128| {
        let addr = addr_at(range, offset)?;
        let reserved = first_usable(scene) == Some(addr) || scene.rules.cluster_dns.contains(&addr);
        (!reserved && !scene.snapshot.claims().contains_key(&Claim::ClusterIp(addr))).then_some(addr)
    };
    scan(band + 1, usable, free).or_else(|| scan(1, band, free))
}

/// How many addresses are usable, counted from offset 1, and the static band.
fn bands(range: IpNet) -> (u128, u128) {
    let host_bits = u32::from(range.max_prefix_len()) - u32::from(range.prefix_len());
    let size = 1_u128.checked_shl(host_bits).unwrap_or(u128::MAX);
    let ends = if matches!(range, IpNet::V4(_)) { 2 } else { 1 };
    let band = if size <= 16 { 0 } else { (size / 16).clamp(16, 256) };
    (size.saturating_sub(ends), band)
}

fn addr_at(range: IpNet, offset: u128) -> Option<IpAddr> {
    match range.network() {
        IpAddr::V4(base) => Some(Ipv4Addr::from_bits(base.to_bits().checked_add(u32::try_from(offset).ok()?)?).into()),
        IpAddr::V6(base) => Some(Ipv6Addr::from_bits(base.to_bits().checked_add(offset)?).into()),
    }
}

/// The offset of a usable address of the range.
fn offset(range: IpNet, addr: IpAddr) -> Option<u128> {
    let at = match (range.network(), addr) {
        (IpAddr::V4(base), IpAddr::V4(addr)) => u128::from(addr.to_bits().checked_sub(base.to_bits())?),
        (IpAddr::V6(base), IpAddr::V6(addr)) => addr.to_bits().checked_sub(base.to_bits())?,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    (1..=bands(range).0).contains(&at).then_some(at)
}

/// The first hit from a random start between `low` and `high`, around the end.
fn scan<T>(low: u128, high: u128, free: impl Fn(u128) -> Option<T>) -> Option<T> {
    if low > high {
        return None;
    }
    let start = fastrand::u128(low..=high);
    (start..=high).chain(low..start).find_map(free)
}

struct Ports<'s, 'a> {
    scene: &'s Scene<'a>,
    owner: ObjectKey,
    held: Vec<Claim>,
    /// Chosen in this request: node port to the `port` and protocols that use it.
    chosen: BTreeMap<u16, (i64, BTreeSet<String>)>,
}

impl Ports<'_, '_> {
    fn request(&self, number: i64) -> Result<u16, String> {
        let range = &self.scene.rules.node_ports;
        let refuse = || {
            let (low, high) = (range.start(), range.end());
            format!("provided port is not in the valid range. The range of valid ports is {low}-{high}")
        };
        let port = u16::try_from(number).map_err(|_| refuse())?;
        let claim = Claim::NodePort(port);
        if self.held.contains(&claim) {
            return Ok(port);
        }
        if !range.contains(&port) {
            return Err(refuse());
        }
        if self.scene.snapshot.claims().get(&claim).is_some_and(|holder| *holder != self.owner) {
            return Err("provided port is already allocated".to_owned());
        }
        Ok(port)
    }

    fn pick(&self, also: &BTreeSet<u16>) -> Option<u16> {
        let (low, high) = (*self.scene.rules.node_ports.start(), *self.scene.rules.node_ports.end());
        let size = u128::from(high.saturating_sub(low)) + 1;
        let band = if size <= 16 { 0 } else { (size / 32).clamp(16, 128) };
        let free = |at: u128| {
            let port = u16::try_from(u128::from(low) + at).ok()?;
            let claim = Claim::NodePort(port);
            let taken = self.chosen.contains_key(&port) || also.contains(&port) || self.held.contains(&claim);
            (!taken && !self.scene.snapshot.claims().contains_key(&claim)).then_some(port)
        };
        scan(band, size - 1, free).or_else(|| band.checked_sub(1).and_then(|last| scan(0, last, free)))
    }
}

fn port_full() -> Rejection {
    Rejection::Internal("failed to allocate a nodePort: range is full".to_owned())
}

/// Reserves the node ports asked for and gives one to each port without.
pub(super) fn node_ports(scene: &Scene<'_>, old: Option<&Value>, value: &mut Value) -> Result<(), Rejection> {
    if !has_node_ports(value) {
        return Ok(());
    }
    let held = old.map(super::held_claims).unwrap_or_default();
    let mut ports = Ports { scene, owner: key(value), held, chosen: BTreeMap::new() };
    let mut rows: Vec<Value> = list(value, "/spec/ports").to_vec();
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| int(row, "/nodePort") != 0) {
        claim_asked(&mut ports, old.is_some(), i, row)?;
    }
    let manual = text(value, "/spec/type") == "LoadBalancer"
        && value.pointer("/spec/allocateLoadBalancerNodePorts") == Some(&json!(false));
    if manual {
        return Ok(());
    }
    let health: BTreeSet<u16> = u16::try_from(int(value, "/spec/healthCheckNodePort")).into_iter().collect();
    for row in rows.iter_mut().filter(|row| int(row, "/nodePort") == 0) {
        let (port, protocol) = (int(row, "/port"), text(row, "/protocol").to_owned());
        // DNS asks the same number of TCP and UDP: both get one node port.
        let shared =
            ports.chosen.iter().find(|(_, (p, users))| old.is_none() && *p == port && !users.contains(&protocol));
        let number = match shared {
            Some((number, _)) => *number,
            None => ports.pick(&health).ok_or_else(port_full)?,
        };
        ports.chosen.entry(number).or_insert_with(|| (port, BTreeSet::new())).1.insert(protocol);
        set(row, "nodePort", number);
    }
    set_spec(value, "ports", rows.into());
    Ok(())
}

fn claim_asked(ports: &mut Ports<'_, '_>, updating: bool, i: usize, row: &Value) -> Result<(), Rejection> {
    let (port, protocol) = (int(row, "/port"), text(row, "/protocol").to_owned());
    let invalid = |detail: &str| {
        let shown = row.get("nodePort").unwrap_or(&Value::Null);
        Rejection::Invalid(vec![Cause::invalid(format!("spec.ports[{i}].nodePort"), shown, detail)])
    };
    let number = ports.request(int(row, "/nodePort")).map_err(|detail| invalid(&detail))?;
    let taken = "provided port is already allocated";
    let (first, users) = ports.chosen.entry(number).or_insert_with(|| (port, BTreeSet::new()));
    if !updating && *first != port {
        return Err(invalid(taken));
    }
    if !users.insert(protocol) && updating {
        return Err(Rejection::Internal(format!("failed to allocate requested nodePort {number}: {taken}")));
    }
    Ok(())
}

/// Reserves or gives the health-check node port; refusals are 500, as the real server's.
pub(super) fn health_check(scene: &Scene<'_>, old: Option<&Value>, value: &mut Value) -> Result<(), Rejection> {
    if !needs_health_check(value) {
        return Ok(());
    }
    let used: BTreeSet<u16> =
        list(value, "/spec/ports").iter().filter_map(|row| u16::try_from(int(row, "/nodePort")).ok()).collect();
    let held = old.map(super::held_claims).unwrap_or_default();
    let ports = Ports { scene, owner: key(value), held, chosen: BTreeMap::new() };
    let asked = int(value, "/spec/healthCheckNodePort");
    let refuse = |detail: &str| {
        Rejection::Internal(format!("failed to allocate requested HealthCheck NodePort {asked}: {detail}"))
    };
    if asked == 0 {
        let number = ports.pick(&used).ok_or_else(port_full)?;
        set_spec(value, "healthCheckNodePort", number.into());
        return Ok(());
    }
    let number = ports.request(asked).map_err(|detail| refuse(&detail))?;
    if used.contains(&number) { Err(refuse("provided port is already allocated")) } else { Ok(()) }
}
