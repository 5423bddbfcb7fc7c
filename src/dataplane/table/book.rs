//! What we asked the kernel to hold, and what a change makes of it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;

use super::chain::ChainName;
use super::element::{Data, Slot, octets, of_frontend};
use super::set::SetName;
use super::turns;
use crate::desired::{Change, Contribution, Frontend, FrontendAddr};
use crate::model::{IpFamily, ObjectKey, Protocol};

pub(in crate::dataplane) type FrontendId = (FrontendAddr, Protocol, u16);

/// The frontends in effect at one moment. A clone is a pointer copy.
#[derive(Clone, Debug, Default)]
pub(in crate::dataplane) struct Frontends {
    /// Who wants a frontend, in the order of their keys: the first has it. Nearly
    /// always one: a list of pointers, because there may be tens of thousands.
    holders: OrdMap<FrontendId, Arc<[Arc<Contribution>]>>,
}

impl Frontends {
    /// Who has the frontend.
    pub(in crate::dataplane) fn get(&self, id: FrontendId) -> Option<&Frontend> {
        frontend_of(self.holders.get(&id)?.first()?, id)
    }

    pub(in crate::dataplane) fn iter(&self) -> impl Iterator<Item = &Frontend> {
        self.holders.iter().filter_map(|(id, holders)| frontend_of(holders.first()?, *id))
    }

    /// Takes `key`'s wish for a frontend out, and puts in what it wishes now.
    fn replace(&mut self, id: FrontendId, key: &ObjectKey, after: Option<&Arc<Contribution>>) {
        let others = self.holders.get(&id).into_iter().flat_map(|holders| holders.iter());
        let mut holders: Vec<Arc<Contribution>> = others.filter(|holder| holder.key != *key).cloned().collect();
        if let Some(after) = after.filter(|contribution| frontend_of(contribution, id).is_some()) {
            let place = holders.partition_point(|holder| holder.key < *key);
            holders.insert(place, Arc::clone(after));
        }
        match holders.is_empty() {
            true => self.holders.remove(&id),
            false => self.holders.insert(id, holders.into()),
        };
    }
}

/// The Services by what they ask of the tables.
#[derive(Clone, Debug, Default)]
pub(in crate::dataplane) struct Book {
    frontends: Frontends,
    /// How often a cluster IP, an endpoint or a chain is wanted.
    cluster_ips: BTreeMap<IpAddr, u32>,
    endpoints: BTreeMap<IpAddr, Held>,
    chains: BTreeMap<(IpFamily, ChainName), u32>,
}

/// An endpoint in use.
#[derive(Clone, Copy, Debug)]
struct Held {
    count: u32,
    off_box: bool,
}

/// A change of the tables: where it ends is what counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dataplane) struct Edit {
    /// Before and after of every element touched.
    elements: BTreeMap<Slot, (Option<Data>, Option<Data>)>,
    /// Before and after of every chain touched.
    chains: BTreeMap<(IpFamily, ChainName), (bool, bool)>,
    /// Before and after of every frontend in effect that moved.
    frontends: BTreeMap<FrontendId, (Option<Frontend>, Option<Frontend>)>,
}

impl Edit {
    pub(in crate::dataplane) fn element(&mut self, slot: Slot, before: Option<Data>, after: Option<Data>) {
        self.elements.entry(slot).and_modify(|pair| pair.1 = after.clone()).or_insert((before, after));
    }

    pub(in crate::dataplane) fn chain(&mut self, family: IpFamily, name: ChainName, before: bool, after: bool) {
        self.chains.entry((family, name)).and_modify(|pair| pair.1 = after).or_insert((before, after));
    }

    /// Leaves a chain that is to be removed, or made, as it is.
    pub(in crate::dataplane) fn leave_chain(&mut self, chain: (IpFamily, ChainName)) {
        self.chains.remove(&chain);
    }

    /// Adds an edit of other elements and chains, or a later one of the same.
    pub(in crate::dataplane) fn extend(&mut self, later: Edit) {
        for (slot, (before, after)) in later.elements {
            self.element(slot, before, after);
        }
        for ((family, name), (before, after)) in later.chains {
            self.chain(family, name, before, after);
        }
        for (id, (before, after)) in later.frontends {
            self.frontend(id, before, after);
        }
    }

    /// Takes what stands in the kernel for what was before.
    pub(in crate::dataplane) fn onto(
        &mut self,
        elements: &BTreeMap<Slot, Data>,
        chains: &BTreeSet<(IpFamily, ChainName)>,
    ) {
        self.elements.iter_mut().for_each(|(slot, pair)| pair.0 = elements.get(slot).cloned());
        self.chains.iter_mut().for_each(|(chain, pair)| pair.0 = chains.contains(chain));
    }

    /// Makes of what stood in the kernel what stands there after the edit.
    pub(in crate::dataplane) fn enter(
        &self,
        elements: &mut BTreeMap<Slot, Data>,
        chains: &mut BTreeSet<(IpFamily, ChainName)>,
    ) {
        self.removed().for_each(|slot| drop(elements.remove(slot)));
        elements.extend(self.added().map(|(slot, data)| (slot.clone(), data.clone())));
        chains.extend(self.chains_added());
    }

    /// The same edit of one Service in three steps, of which packets see the second:
    /// what none meets yet, what they meet, what none meets any more.
    pub(in crate::dataplane) fn stages(&self) -> [Edit; 3] {
        let mut stages = [Edit::default(), Edit::default(), Edit::default()];
        let [ahead, switch, after] = &mut stages;
        for (slot, pair) in &self.elements {
            let stage = match pair {
                (None, Some(_)) if !slot.set.moves_at_once() => &mut *ahead,
                (Some(_), None) if !slot.set.moves_at_once() => &mut *after,
                _ => &mut *switch,
            };
            stage.elements.insert(slot.clone(), pair.clone());
        }
        for (chain, pair) in &self.chains {
            let stage = if pair.1 { &mut *ahead } else { &mut *after };
            stage.chains.insert(*chain, *pair);
        }
        stages
    }

    fn frontend(&mut self, id: FrontendId, before: Option<Frontend>, after: Option<Frontend>) {
        self.frontends.entry(id).and_modify(|pair| pair.1 = after.clone()).or_insert((before, after));
    }

    /// Before and after of every frontend that moved.
    pub(in crate::dataplane) fn moved(&self) -> impl Iterator<Item = (Option<&Frontend>, Option<&Frontend>)> {
        self.frontends.values().map(|(before, after)| (before.as_ref(), after.as_ref()))
    }

    /// Elements to take out; those whose value changes are taken out and put in.
    pub(in crate::dataplane) fn removed(&self) -> impl Iterator<Item = &Slot> {
        self.elements.iter().filter(|(_, (before, after))| before.is_some() && before != after).map(|(slot, _)| slot)
    }

    /// Elements to put in.
    pub(in crate::dataplane) fn added(&self) -> impl Iterator<Item = (&Slot, &Data)> {
        let changed = self.elements.iter().filter(|(_, (before, after))| before != after);
        changed.filter_map(|(slot, (_, after))| Some((slot, after.as_ref()?)))
    }

    /// Chains to make, callees first.
    pub(in crate::dataplane) fn chains_added(&self) -> impl Iterator<Item = (IpFamily, ChainName)> {
        self.chains.iter().filter(|(_, (before, after))| !before && *after).map(|(chain, _)| *chain)
    }

    /// Chains to remove, callers first.
    pub(in crate::dataplane) fn chains_removed(&self) -> impl Iterator<Item = (IpFamily, ChainName)> {
        self.chains.iter().rev().filter(|(_, (before, after))| *before && !after).map(|(chain, _)| *chain)
    }
}

impl Book {
    /// Moves one Service from `before` to `after`. `off_box` tells whether the
    /// replies of an endpoint may bypass us.
    pub(in crate::dataplane) fn change(
        &mut self,
        key: &ObjectKey,
        before: Option<&Arc<Contribution>>,
        after: Option<&Arc<Contribution>>,
        off_box: &mut dyn FnMut(IpAddr) -> bool,
        edit: &mut Edit,
    ) {
        for addr in before.iter().flat_map(|contribution| &contribution.cluster_ips) {
            self.release_cluster_ip(*addr, edit);
        }
        for addr in after.iter().flat_map(|contribution| &contribution.cluster_ips) {
            self.want_cluster_ip(*addr, edit);
        }
        let ids = |side: Option<&Arc<Contribution>>| -> Vec<FrontendId> {
            side.map(|c| c.frontends.iter().map(|f| (f.addr, f.protocol, f.port)).collect()).unwrap_or_default()
        };
        let mut touched = ids(before);
        touched.extend(ids(after));
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let held = self.frontends.get(id).cloned();
            self.frontends.replace(id, key, after);
            let holds = self.frontends.get(id).cloned();
            if held != holds {
                self.move_frontend(held.as_ref(), holds.as_ref(), off_box, edit);
                edit.frontend(id, held, holds);
            }
        }
    }

    fn move_frontend(
        &mut self,
        held: Option<&Frontend>,
        holds: Option<&Frontend>,
        off_box: &mut dyn FnMut(IpAddr) -> bool,
        edit: &mut Edit,
    ) {
        let (before, old_chains) = held.map(of_frontend).unwrap_or_default();
        let (after, new_chains) = holds.map(of_frontend).unwrap_or_default();
        let mut pairs: BTreeMap<Slot, (Option<Data>, Option<Data>)> = BTreeMap::new();
        for (slot, data) in before {
            pairs.insert(slot, (Some(data), None));
        }
        for (slot, data) in after {
            pairs.entry(slot).or_default().1 = Some(data);
        }
        for (slot, (before, after)) in pairs {
            // What a live slot holds by now is not known here.
            let before = before.map(|data| if slot.set.is_live() { Data::Nothing } else { data });
            edit.element(slot, before, after);
        }
        // New first: what both need is never released between.
        if let Some(frontend) = holds {
            for chain in new_chains {
                self.want_chain(frontend.addr.family(), chain, edit);
            }
            for addr in endpoint_ips(frontend) {
                self.want_endpoint(addr, off_box, edit);
            }
        }
        if let Some(frontend) = held {
            for chain in old_chains {
                self.release_chain(frontend.addr.family(), chain, edit);
            }
            for addr in endpoint_ips(frontend) {
                self.release_endpoint(addr, edit);
            }
        }
    }

    fn want_cluster_ip(&mut self, addr: IpAddr, edit: &mut Edit) {
        let count = self.cluster_ips.entry(addr).or_insert(0);
        *count += 1;
        let before = (*count > 1).then_some(Data::Nothing);
        edit.element(cluster_ip(addr), before, Some(Data::Nothing));
    }

    fn release_cluster_ip(&mut self, addr: IpAddr, edit: &mut Edit) {
        let Some(count) = self.cluster_ips.get_mut(&addr) else { return };
        *count -= 1;
        let after = (*count > 0).then_some(Data::Nothing);
        if *count == 0 {
            self.cluster_ips.remove(&addr);
        }
        edit.element(cluster_ip(addr), Some(Data::Nothing), after);
    }

    fn want_endpoint(&mut self, addr: IpAddr, off_box: &mut dyn FnMut(IpAddr) -> bool, edit: &mut Edit) {
        let held = self.endpoints.entry(addr).or_insert_with(|| Held { count: 0, off_box: off_box(addr) });
        held.count += 1;
        let before = (held.count > 1).then_some(Data::Nothing);
        for slot in endpoint_slots(addr, held.off_box) {
            edit.element(slot, before.clone(), Some(Data::Nothing));
        }
    }

    fn release_endpoint(&mut self, addr: IpAddr, edit: &mut Edit) {
        let Some(held) = self.endpoints.get_mut(&addr) else { return };
        held.count -= 1;
        let Held { count, off_box } = *held;
        if count == 0 {
            self.endpoints.remove(&addr);
        }
        for slot in endpoint_slots(addr, off_box) {
            edit.element(slot, Some(Data::Nothing), (count > 0).then_some(Data::Nothing));
        }
    }

    fn want_chain(&mut self, family: IpFamily, chain: ChainName, edit: &mut Edit) {
        let count = self.chains.entry((family, chain)).or_insert(0);
        *count += 1;
        edit.chain(family, chain, *count > 1, true);
    }

    fn release_chain(&mut self, family: IpFamily, chain: ChainName, edit: &mut Edit) {
        let Some(count) = self.chains.get_mut(&(family, chain)) else { return };
        *count -= 1;
        let left = *count > 0;
        if !left {
            self.chains.remove(&(family, chain));
        }
        edit.chain(family, chain, true, left);
    }

    /// Asks again which endpoints are off the box: routes have changed.
    pub(in crate::dataplane) fn reroute(&mut self, off_box: &mut dyn FnMut(IpAddr) -> bool, edit: &mut Edit) {
        for (addr, held) in &mut self.endpoints {
            let now = off_box(*addr);
            if now == held.off_box {
                continue;
            }
            held.off_box = now;
            let slot = Slot::new(IpFamily::of(*addr), SetName::OffBox, octets(*addr));
            let side = |present: bool| present.then_some(Data::Nothing);
            edit.element(slot, side(!now), side(now));
        }
    }

    /// The endpoints that a change may want, and whether those in use are off the
    /// box: besides its own those of Services that may take over a frontend.
    pub(in crate::dataplane) fn endpoints_touched(&self, changes: &[Change]) -> BTreeMap<IpAddr, Option<bool>> {
        let mut found = BTreeMap::new();
        let sides = changes.iter().flat_map(|change| [&change.before, &change.after]).flatten();
        for frontend in sides.flat_map(|side| &side.frontends) {
            let id = (frontend.addr, frontend.protocol, frontend.port);
            let holders = self.frontends.holders.get(&id).into_iter().flat_map(|holders| holders.iter());
            let others = holders.filter_map(|holder| frontend_of(holder, id));
            for addr in others.chain([frontend]).flat_map(endpoint_ips) {
                found.entry(addr).or_insert_with(|| self.endpoints.get(&addr).map(|held| held.off_box));
            }
        }
        found
    }

    /// The endpoints in use.
    pub(in crate::dataplane) fn endpoints(&self) -> impl Iterator<Item = IpAddr> {
        self.endpoints.keys().copied()
    }

    /// The families in which there is something to forward to.
    pub(in crate::dataplane) fn families_with_endpoints(&self) -> Vec<IpFamily> {
        // IPv4 addresses sort before IPv6 ones.
        let ends = [self.endpoints.first_key_value(), self.endpoints.last_key_value()];
        let families: BTreeSet<IpFamily> = ends.into_iter().flatten().map(|(addr, _)| IpFamily::of(*addr)).collect();
        families.into_iter().collect()
    }

    /// The chains wanted.
    pub(in crate::dataplane) fn chains(&self) -> impl Iterator<Item = (IpFamily, ChainName)> {
        self.chains.keys().copied()
    }

    /// Whether what stands in a live slot is good for it.
    pub(in crate::dataplane) fn is_a_turn(&self, slot: &Slot, data: &Data) -> bool {
        turns::is_a_turn(&self.frontends, slot, data)
    }

    /// Every element wanted.
    pub(in crate::dataplane) fn elements(&self) -> BTreeMap<Slot, Data> {
        let ips = self.cluster_ips.keys().map(|addr| cluster_ip(*addr));
        let endpoints = self.endpoints.iter().flat_map(|(addr, held)| endpoint_slots(*addr, held.off_box));
        let own = self.frontends.iter().flat_map(|frontend| of_frontend(frontend).0);
        ips.chain(endpoints).map(|slot| (slot, Data::Nothing)).chain(own).collect()
    }

    /// The frontends in effect.
    pub(in crate::dataplane) fn frontends(&self) -> &Frontends {
        &self.frontends
    }
}

fn frontend_of(contribution: &Contribution, id: FrontendId) -> Option<&Frontend> {
    contribution.frontends.iter().find(|f| (f.addr, f.protocol, f.port) == id)
}

/// The addresses of its endpoints, some more than once.
pub(in crate::dataplane) fn endpoint_ips(frontend: &Frontend) -> Vec<IpAddr> {
    frontend.endpoints().map(|endpoint| endpoint.ip()).collect()
}

fn cluster_ip(addr: IpAddr) -> Slot {
    Slot::new(IpFamily::of(addr), SetName::ClusterIps, octets(addr))
}

fn endpoint_slots(addr: IpAddr, off_box: bool) -> Vec<Slot> {
    let family = IpFamily::of(addr);
    let bytes = octets(addr);
    let pair = [bytes.clone(), bytes.clone()].concat();
    let mut slots =
        vec![Slot::new(family, SetName::EndpointIps, bytes.clone()), Slot::new(family, SetName::Hairpin, pair)];
    if off_box {
        slots.push(Slot::new(family, SetName::OffBox, bytes));
    }
    slots
}
