//! What we asked the kernel to hold, and what a change makes of it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::chain::ChainName;
use super::element::{Data, Slot, octets, of_frontend};
use super::layout::SetName;
use crate::desired::{Change, Contribution, Frontend, FrontendAddr, Verdict};
use crate::model::{IpFamily, ObjectKey, Protocol};

type FrontendId = (FrontendAddr, Protocol, u16);

/// The Services by what they ask of the tables.
#[derive(Clone, Debug, Default)]
pub(in crate::dataplane) struct Book {
    /// Who wants a frontend, in the order of their keys: the first has it.
    holders: BTreeMap<FrontendId, BTreeMap<ObjectKey, Arc<Contribution>>>,
    /// How often an element or chain that Services share is wanted.
    shared: BTreeMap<Slot, u32>,
    chains: BTreeMap<(IpFamily, ChainName), u32>,
    off_box: BTreeMap<IpAddr, bool>,
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
            self.release(cluster_ip(*addr), edit);
        }
        for addr in after.iter().flat_map(|contribution| &contribution.cluster_ips) {
            self.want(cluster_ip(*addr), edit);
        }
        let ids = |side: Option<&Arc<Contribution>>| -> Vec<FrontendId> {
            side.map(|c| c.frontends.iter().map(|f| (f.addr, f.protocol, f.port)).collect()).unwrap_or_default()
        };
        let mut touched = ids(before);
        touched.extend(ids(after));
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let held = self.winner(id);
            let holders = self.holders.entry(id).or_default();
            holders.remove(key);
            if let Some(after) = after.filter(|contribution| frontend_of(contribution, id).is_some()) {
                holders.insert(key.clone(), Arc::clone(after));
            }
            if holders.is_empty() {
                self.holders.remove(&id);
            }
            let holds = self.winner(id);
            if held != holds {
                self.move_frontend(held.as_ref(), holds.as_ref(), off_box, edit);
                edit.frontend(id, held, holds);
            }
        }
    }

    fn winner(&self, id: FrontendId) -> Option<Frontend> {
        let (_, contribution) = self.holders.get(&id)?.first_key_value()?;
        frontend_of(contribution, id).cloned()
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

    fn want(&mut self, slot: Slot, edit: &mut Edit) {
        let count = self.shared.entry(slot.clone()).or_insert(0);
        *count += 1;
        let before = (*count > 1).then_some(Data::Nothing);
        edit.element(slot, before, Some(Data::Nothing));
    }

    fn release(&mut self, slot: Slot, edit: &mut Edit) {
        let Some(count) = self.shared.get_mut(&slot) else { return };
        *count -= 1;
        let after = (*count > 0).then_some(Data::Nothing);
        if *count == 0 {
            self.shared.remove(&slot);
        }
        edit.element(slot, Some(Data::Nothing), after);
    }

    fn want_endpoint(&mut self, addr: IpAddr, off_box: &mut dyn FnMut(IpAddr) -> bool, edit: &mut Edit) {
        let away = *self.off_box.entry(addr).or_insert_with(|| off_box(addr));
        for slot in endpoint_slots(addr, away) {
            self.want(slot, edit);
        }
    }

    fn release_endpoint(&mut self, addr: IpAddr, edit: &mut Edit) {
        let away = self.off_box.get(&addr).copied().unwrap_or_default();
        for slot in endpoint_slots(addr, away) {
            self.release(slot, edit);
        }
        if !self.shared.contains_key(&Slot::new(IpFamily::of(addr), SetName::EndpointIps, octets(addr))) {
            self.off_box.remove(&addr);
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
        for (addr, away) in &mut self.off_box {
            let slot = Slot::new(IpFamily::of(*addr), SetName::OffBox, octets(*addr));
            let count = self.shared.get(&Slot { set: SetName::EndpointIps, ..slot.clone() }).copied();
            let now = off_box(*addr);
            if now == *away {
                continue;
            }
            *away = now;
            let side = |present: bool| present.then_some(Data::Nothing);
            edit.element(slot.clone(), side(!now), side(now));
            match count.filter(|_| now) {
                Some(count) => drop(self.shared.insert(slot, count)),
                None => drop(self.shared.remove(&slot)),
            }
        }
    }

    /// The endpoints that a change may want, and whether those in use are off the
    /// box: besides its own those of Services that may take over a frontend.
    pub(in crate::dataplane) fn endpoints_touched(&self, changes: &[Change]) -> BTreeMap<IpAddr, Option<bool>> {
        let mut found = BTreeMap::new();
        let sides = changes.iter().flat_map(|change| [&change.before, &change.after]).flatten();
        for frontend in sides.flat_map(|side| &side.frontends) {
            let id = (frontend.addr, frontend.protocol, frontend.port);
            let holders = self.holders.get(&id).into_iter().flat_map(BTreeMap::values);
            let others = holders.filter_map(|holder| frontend_of(holder, id));
            for addr in others.chain([frontend]).flat_map(endpoint_ips) {
                found.entry(addr).or_insert_with(|| self.off_box.get(&addr).copied());
            }
        }
        found
    }

    /// The endpoints in use.
    pub(in crate::dataplane) fn endpoints(&self) -> impl Iterator<Item = IpAddr> {
        self.off_box.keys().copied()
    }

    /// The families in which there is something to forward to.
    pub(in crate::dataplane) fn families_with_endpoints(&self) -> Vec<IpFamily> {
        let has = |family: &IpFamily| self.off_box.keys().any(|addr| IpFamily::of(*addr) == *family);
        IpFamily::BOTH.into_iter().filter(has).collect()
    }

    /// The chains wanted.
    pub(in crate::dataplane) fn chains(&self) -> impl Iterator<Item = (IpFamily, ChainName)> {
        self.chains.keys().copied()
    }

    /// Every element wanted.
    pub(in crate::dataplane) fn elements(&self) -> BTreeMap<Slot, Data> {
        let shared = self.shared.keys().map(|slot| (slot.clone(), Data::Nothing));
        let own = self.frontends().flat_map(|frontend| of_frontend(&frontend).0);
        shared.chain(own).collect()
    }

    /// Every frontend in effect.
    pub(in crate::dataplane) fn frontends(&self) -> impl Iterator<Item = Frontend> {
        self.holders.keys().filter_map(|id| self.winner(*id))
    }
}

fn frontend_of(contribution: &Contribution, id: FrontendId) -> Option<&Frontend> {
    contribution.frontends.iter().find(|f| (f.addr, f.protocol, f.port) == id)
}

/// The addresses of its endpoints.
pub(in crate::dataplane) fn endpoint_ips(frontend: &Frontend) -> Vec<IpAddr> {
    match &frontend.verdict {
        Verdict::Balance(balance) => balance.endpoints.iter().map(std::net::SocketAddr::ip).collect(),
        Verdict::Refuse | Verdict::Drop => Vec::new(),
    }
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
