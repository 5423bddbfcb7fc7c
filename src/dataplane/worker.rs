//! The thread that owns the sockets and the book.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::conntrack::UdpFrontends;
use super::hairpin;
use super::kernel;
use super::links::{self, BoxLinks};
use super::netlink::Link;
use super::netlink::batch::{CommitError, Op, commit};
use super::table::{Book, Data, Edit, SetName, Slot, endpoint_data, octets};
use super::{DataplaneError, Options, Report};
use crate::desired::{Change, Contribution, Frontend, Verdict};
use crate::model::IpFamily;

/// The kernel's tables and what we asked them to hold.
#[derive(Debug)]
pub(super) struct Worker {
    nft: Link,
    route: Link,
    options: Options,
    owned: bool,
    book: Book,
    links: BoxLinks,
    /// Links in `same-link`.
    shared: BTreeSet<u32>,
    /// Bridges with endpoints behind them.
    bridges: BTreeSet<u32>,
    /// Bridge ports we switched to hairpin mode: those in `hairpin-ports`.
    bent: BTreeSet<u32>,
    forwarding: BTreeSet<IpFamily>,
    /// The book is ahead of the kernel.
    unsettled: bool,
    pub(super) warnings: Vec<String>,
}

impl Worker {
    pub(super) fn open(options: Options) -> Result<Worker, DataplaneError> {
        let mut nft = Link::open(netlink_sys::protocols::NETLINK_NETFILTER).map_err(DataplaneError::Socket)?;
        let mut route = Link::open(netlink_sys::protocols::NETLINK_ROUTE).map_err(DataplaneError::Socket)?;
        let mut owned = true;
        for family in IpFamily::BOTH {
            owned &= kernel::preflight(&mut nft, family, &options).map_err(preflight_error)?;
        }
        let mut warnings = Vec::new();
        if !owned {
            warnings.push("the kernel (before 6.9) cannot guard our tables; foreign changes are repaired".to_owned());
        }
        let found = links::set_up(&mut route, &options.cluster_dns, &options.service_ranges);
        warnings.extend(found.map_err(DataplaneError::Link)?);
        Ok(Worker {
            nft,
            route,
            options,
            owned,
            book: Book::default(),
            links: BoxLinks::new(),
            shared: BTreeSet::new(),
            bridges: BTreeSet::new(),
            bent: BTreeSet::new(),
            forwarding: BTreeSet::new(),
            unsettled: true,
            warnings,
        })
    }

    /// The port our own notifications carry.
    pub(super) fn port(&self) -> u32 {
        self.nft.port()
    }

    /// Whether nobody else can change our tables.
    pub(super) fn is_guarded(&self) -> bool {
        self.owned
    }

    pub(super) fn converge(&mut self, contributions: &[Arc<Contribution>]) -> Result<Report, DataplaneError> {
        self.links = links::read_links(&mut self.route).map_err(DataplaneError::Link)?;
        let mut book = Book::default();
        let mut ignored = Edit::default();
        let mut bridges = BTreeSet::new();
        let (route, box_links) = (&mut self.route, &self.links);
        let mut off_box = |addr: IpAddr| off_box(route, box_links, addr, &mut bridges);
        for contribution in contributions {
            book.change(&contribution.key, None, Some(contribution), &mut off_box, &mut ignored);
        }
        self.book = book;
        self.bridges = bridges;
        self.bent = self.bent_before()?;
        let operations = self.adopt()?;
        self.forward();
        self.bend()?;
        let mut udp = UdpFrontends::default();
        for frontend in self.book.frontends() {
            udp.note(&frontend, Some(&frontend));
        }
        let flows_deleted = self.sweep_udp(&udp);
        self.sweep_affinity()?;
        Ok(Report { operations, flows_deleted })
    }

    /// Makes the kernel hold what the book says, by the difference.
    pub(super) fn adopt(&mut self) -> Result<usize, DataplaneError> {
        let mut ops = Vec::new();
        let mut edit = Edit::default();
        let mut desired = self.book.elements();
        self.shared = links::shared_links(&self.links).collect();
        desired.extend(self.shared.iter().flat_map(|index| same_link(*index)).map(|slot| (slot, Data::Nothing)));
        desired.extend(self.bent.iter().map(|index| (hairpin_port(*index), Data::Nothing)));
        let wanted: BTreeSet<_> = self.book.chains().collect();
        for family in IpFamily::BOTH {
            let held = kernel::read_held(&mut self.nft, family).map_err(DataplaneError::Socket)?;
            let ours = held.is_ours(family, &self.options, self.owned);
            ops.extend(kernel::table_ops(&held, family, &self.options, self.owned));
            if !ours {
                continue;
            }
            for name in &held.chains {
                edit.chain(family, *name, true, wanted.contains(&(family, *name)));
            }
            for set in SetName::ALL.into_iter().filter(|set| !set.is_dynamic()) {
                let found = kernel::read_set(&mut self.nft, family, set).map_err(DataplaneError::Socket)?;
                for (slot, data) in found {
                    let after = desired.remove(&slot);
                    edit.element(slot, Some(data), after);
                }
            }
        }
        for (family, name) in wanted {
            edit.chain(family, name, false, true);
        }
        for (slot, data) in desired {
            edit.element(slot, None, Some(data));
        }
        let changes = kernel::edit_ops(&edit);
        let operations = ops.len() - 2 + changes.len();
        ops.extend(changes);
        self.commit(&ops)?;
        self.unsettled = false;
        Ok(operations)
    }

    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<Report, DataplaneError> {
        let mut edit = Edit::default();
        let mut udp = UdpFrontends::default();
        let mut forget = false;
        let (route, box_links, bridges) = (&mut self.route, &self.links, &mut self.bridges);
        let bridges_before = bridges.len();
        let mut off_box = |addr: IpAddr| off_box(route, box_links, addr, bridges);
        for change in changes {
            self.book.change(&change.key, change.before.as_ref(), change.after.as_ref(), &mut off_box, &mut edit);
            let sides = [&change.before, &change.after];
            for frontend in sides.into_iter().flatten().flat_map(|contribution| &contribution.frontends) {
                let after = change.after.as_ref().and_then(|after| same_frontend(after, frontend));
                udp.note(frontend, after);
                forget |= has_affinity(frontend);
            }
        }
        let operations = self.settle(&edit)?;
        self.forward();
        if self.bridges.len() > bridges_before {
            self.bend()?;
        }
        if forget {
            self.sweep_affinity()?;
        }
        Ok(Report { operations, flows_deleted: self.sweep_udp(&udp) })
    }

    /// Follows the box's links.
    pub(super) fn follow_links(&mut self) -> Result<(), DataplaneError> {
        self.links = links::read_links(&mut self.route).map_err(DataplaneError::Link)?;
        let now: BTreeSet<u32> = links::shared_links(&self.links).collect();
        let mut edit = Edit::default();
        for index in self.shared.difference(&now) {
            same_link(*index).into_iter().for_each(|slot| edit.element(slot, Some(Data::Nothing), None));
        }
        for index in now.difference(&self.shared) {
            same_link(*index).into_iter().for_each(|slot| edit.element(slot, None, Some(Data::Nothing)));
        }
        let mut bridges = BTreeSet::new();
        let (route, box_links) = (&mut self.route, &self.links);
        self.book.reroute(&mut |addr| off_box(route, box_links, addr, &mut bridges), &mut edit);
        self.bridges = bridges;
        self.shared = now;
        for gone in self.bent.iter().filter(|index| !self.links.contains_key(index)) {
            edit.element(hairpin_port(*gone), Some(Data::Nothing), None);
        }
        self.bent.retain(|index| self.links.contains_key(index));
        self.settle(&edit)?;
        self.bend()
    }

    /// The bridge ports that a process before us switched to hairpin mode.
    fn bent_before(&mut self) -> Result<BTreeSet<u32>, DataplaneError> {
        let ports = kernel::hairpin_ports(&mut self.nft).map_err(DataplaneError::Socket)?;
        Ok(ports.into_iter().filter(|index| self.links.contains_key(index)).collect())
    }

    /// Lets endpoints behind bridges reach themselves. A port is noted first: one
    /// that is noted and not switched does no harm, the other way round nobody
    /// would ever switch it back.
    fn bend(&mut self) -> Result<(), DataplaneError> {
        if self.bridges.is_empty() || !hairpin::bridged_packets_are_translated() {
            return Ok(());
        }
        let ports: BTreeSet<u32> = hairpin::ports(&self.links, &self.bridges).difference(&self.bent).copied().collect();
        if ports.is_empty() {
            return Ok(());
        }
        let mut edit = Edit::default();
        ports.iter().for_each(|index| edit.element(hairpin_port(*index), None, Some(Data::Nothing)));
        self.bent.extend(&ports);
        self.settle(&edit)?;
        for port in ports {
            if let Err(error) = links::set_hairpin(&mut self.route, port, true) {
                let name = self.links.get(&port).map(|link| link.name.as_str()).unwrap_or_default();
                tracing::warn!(%error, port = name, "no hairpin mode: an endpoint there may not reach itself");
            }
        }
        Ok(())
    }

    /// Sends an edit the book already has. If the kernel does not hold what we
    /// think, it is read and made so.
    fn settle(&mut self, edit: &Edit) -> Result<usize, DataplaneError> {
        if self.unsettled {
            return self.adopt();
        }
        let ops = kernel::edit_ops(edit);
        match self.commit(&ops) {
            Ok(()) => Ok(ops.len()),
            Err(error) => {
                tracing::warn!(%error, "the kernel refused a change, its tables are read again");
                self.unsettled = true;
                self.adopt()
            }
        }
    }

    fn commit(&mut self, ops: &[Op]) -> Result<(), DataplaneError> {
        commit(&mut self.nft, ops).map_err(|error| match error.errno() {
            Some(nix::libc::EPERM) => DataplaneError::Denied(error),
            Some(_) | None => DataplaneError::Commit(error),
        })
    }

    fn forward(&mut self) {
        for family in self.book.families_with_endpoints() {
            if self.forwarding.insert(family)
                && let Some(warning) = links::enable_forwarding(family)
            {
                tracing::warn!(warning, "forwarding is off");
            }
        }
    }

    fn sweep_udp(&self, udp: &UdpFrontends) -> usize {
        udp.sweep().unwrap_or_else(|error| {
            tracing::warn!(%error, "stale UDP connections could not be deleted");
            0
        })
    }

    /// Forgets which client had an endpoint that is gone.
    fn sweep_affinity(&mut self) -> Result<(), DataplaneError> {
        let mut live: BTreeMap<(IpFamily, SetName, Vec<u8>), BTreeSet<Vec<u8>>> = BTreeMap::new();
        for frontend in self.book.frontends().filter(has_affinity) {
            let (set, key) = frontend_place(&frontend);
            if let Verdict::Balance(balance) = &frontend.verdict {
                let data = balance.endpoints.iter().map(|endpoint| endpoint_data(*endpoint)).collect();
                live.insert((frontend.addr.family(), set, key), data);
            }
        }
        for family in IpFamily::BOTH {
            let skip = if family == IpFamily::V4 { 4 } else { 16 };
            for set in [SetName::Affinity, SetName::NodePortAffinity] {
                let known = kernel::read_set(&mut self.nft, family, set).map_err(DataplaneError::Socket)?;
                let dead = known.iter().filter(|(slot, data)| {
                    let key = slot.key.start.get(skip..).unwrap_or_default().to_vec();
                    let Data::Bytes(bytes) = data else { return true };
                    !live.get(&(family, set, key)).is_some_and(|endpoints| endpoints.contains(bytes))
                });
                // One by one: an entry may time out at any moment, and would take the others with it.
                for (slot, _) in dead {
                    let ops = kernel::element_ops(kernel::messages::DELSETELEM, std::iter::once((slot, None)));
                    match commit(&mut self.nft, &ops) {
                        Err(error) if error.errno() != Some(nix::libc::ENOENT) => return Err(error.into()),
                        Ok(()) | Err(_) => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether an endpoint is off the box; the bridge it sits behind is noted.
fn off_box(route: &mut Link, links: &BoxLinks, addr: IpAddr, bridges: &mut BTreeSet<u32>) -> bool {
    let way = links::way(route, links, addr);
    bridges.extend(way.bridge);
    way.off_box
}

/// Links are of no family; the note stands in the IPv4 table.
fn hairpin_port(index: u32) -> Slot {
    Slot::new(IpFamily::V4, SetName::HairpinPorts, index.to_ne_bytes().to_vec())
}

fn same_link(index: u32) -> [Slot; 2] {
    let key = [index.to_ne_bytes(), index.to_ne_bytes()].concat();
    IpFamily::BOTH.map(|family| Slot::new(family, SetName::SameLink, key.clone()))
}

fn same_frontend<'a>(contribution: &'a Contribution, like: &Frontend) -> Option<&'a Frontend> {
    let id = |frontend: &Frontend| (frontend.addr, frontend.protocol, frontend.port);
    contribution.frontends.iter().find(|frontend| id(frontend) == id(like))
}

fn has_affinity(frontend: &Frontend) -> bool {
    matches!(&frontend.verdict, Verdict::Balance(balance) if balance.affinity_seconds.is_some())
}

fn frontend_place(frontend: &Frontend) -> (SetName, Vec<u8>) {
    use crate::desired::FrontendAddr;
    let mut key = Vec::new();
    let set = match frontend.addr {
        FrontendAddr::Virtual(addr) => {
            key.extend(octets(addr));
            SetName::Affinity
        }
        FrontendAddr::NodePort(_) => SetName::NodePortAffinity,
    };
    key.extend([frontend.protocol.number(), 0, 0, 0]);
    key.extend(frontend.port.to_be_bytes());
    key.extend([0, 0]);
    (set, key)
}

fn preflight_error(error: CommitError) -> DataplaneError {
    match error.errno() {
        Some(nix::libc::EPERM) => DataplaneError::Privilege,
        Some(_) | None => {
            let missing = match &error {
                CommitError::Refused(refused) => missing_option(&refused.what),
                CommitError::Io(_) => "CONFIG_NF_TABLES",
            };
            DataplaneError::Unsupported { missing, source: error }
        }
    }
}

/// The kernel option that the refused operation needs.
fn missing_option(what: &str) -> &'static str {
    let rule = |chain: &str| what.starts_with("add rule") && what.contains(&format!(" {chain}"));
    if what.starts_with("add table") {
        "CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_IPV6"
    } else if what.starts_with("add chain") {
        "CONFIG_NFT_NAT, CONFIG_NF_NAT"
    } else if rule("refuse") {
        "CONFIG_NFT_REJECT, CONFIG_NFT_REJECT_IPV4, CONFIG_NFT_REJECT_IPV6"
    } else if rule("masquerading") {
        "CONFIG_NFT_MASQ, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6"
    } else if rule("dispatch") {
        "CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6"
    } else if rule("n-") {
        "CONFIG_NFT_NUMGEN, CONFIG_NFT_NAT"
    } else if rule("remember") || rule("postrouting") || rule("redirects") {
        "CONFIG_NFT_CT, CONFIG_NF_CONNTRACK"
    } else {
        "CONFIG_NF_TABLES of Linux 5.9 or later"
    }
}
