//! The thread that owns the sockets and the book.

mod adopt;
mod apply;
mod passage;
mod stand_in;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rtnetlink::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::addresses;
use super::conntrack::{self, Observer, Reconciler};
use super::firewalls;
use super::hairpin;
use super::kernel;
use super::links::{self, BoxLinks, Way};
use super::live::Follower;
use super::netlink::Link;
use super::netlink::batch::{CommitError, commit};
use super::notes;
use super::on_lo;
use super::preflight::preflight_error;
use super::ranges;
use super::reserved;
use super::retire::Retired;
use super::routes::{Routes, Said};
use super::sift::SetAside;
use super::table::{Book, ChainName, Data, Edit, SetName, Slot, endpoint_ips, range_slots};
use super::{Ceiling, DataplaneError, Options, Refusals, Report};
use crate::desired::Contribution;
use crate::model::{BoxAddresses, IpFamily, Protocol};
use stand_in::StoodIn;

/// So many endpoints are looked up by asking the kernel for each, 50 microseconds a
/// question; for more its tables are read.
const ASKED_MAX: usize = 16;

/// The kernel's tables and what we asked them to hold.
#[derive(Debug)]
pub(super) struct Worker {
    nft: Link,
    route: Handle,
    options: Options,
    owned: bool,
    book: Book,
    links: BoxLinks,
    /// The routes as the last change of links or routes left them.
    routes: Routes,
    /// Whether we have a link of our own; where none can be made, lo stands in.
    has_link: bool,
    /// Links in `same-link`.
    shared: BTreeSet<u32>,
    /// Bridges with endpoints behind them.
    bridges: BTreeSet<u32>,
    /// Bridge ports we switched to hairpin mode: those in `hairpin-ports`.
    bent: BTreeSet<u32>,
    forwarding: BTreeSet<IpFamily>,
    /// The box's addresses, and those of the tables.
    addresses: watch::Receiver<BoxAddresses>,
    local: BTreeSet<Slot>,
    /// The note of the node ports we keep from the box's own connections.
    reserved: BTreeSet<Slot>,
    flows: Reconciler,
    /// Who says whose turn it is, where open connections decide.
    live: Follower,
    /// The chains that mark packets of Services for firewalls of others.
    marking: BTreeSet<(IpFamily, ChainName)>,
    /// Foreign chains that drop packets of Services and cannot be changed.
    closed: BTreeSet<String>,
    /// Chains in the kernel that nothing leads to any more.
    retired: Retired,
    /// Tables that stood in for ours while those were replaced.
    stood_in: Option<StoodIn>,
    /// The kernel may not hold what the book says.
    unsettled: bool,
    /// Services that the kernel refuses: the book has what it holds of them.
    set_aside: SetAside,
    refused: watch::Sender<Refusals>,
    /// Conntrack knows SCTP.
    pub(super) tracks_sctp: bool,
    pub(super) warnings: Vec<String>,
}

impl Worker {
    pub(super) async fn open(mut options: Options, ceiling: Ceiling) -> Result<Worker, DataplaneError> {
        let protocol = netlink_sys::protocols::NETLINK_NETFILTER;
        let mut nft = Link::open_below(protocol, ceiling.send_buffer_bytes).map_err(DataplaneError::Socket)?;
        let route = links::connect().map_err(DataplaneError::Link)?;
        let mut owned = ceiling.owned_tables;
        let mut warnings = Vec::new();
        if !options.address_sets && !kernel::has_fib(&mut nft, &options) {
            options.address_sets = true;
            let fib = "the kernel cannot look addresses up in rules (CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6); \
                       sets of the box's addresses are kept instead";
            warnings.push(fib.to_owned());
        }
        if !kernel::has_hash(&mut nft) {
            options.hashless = true;
            let hash = "the kernel cannot hash addresses in rules (CONFIG_NFT_HASH); \
                        Services balanced by sh or dh are balanced at random";
            warnings.push(hash.to_owned());
        }
        for family in IpFamily::BOTH {
            owned &= kernel::preflight(&mut nft, family, &options).map_err(preflight_error)?;
        }
        warnings.extend(options.forward_mark.and_then(firewalls::hidden));
        if !conntrack::can_be_read(&mut nft) {
            let flows = "conntrack cannot be read (CONFIG_NF_CT_NETLINK); flows to endpoints that are gone stay until \
                         they time out";
            warnings.push(flows.to_owned());
        }
        let tracks_sctp = conntrack::knows(&mut nft, Protocol::Sctp);
        if !owned {
            warnings.push("the kernel (before 6.9) cannot guard our tables; foreign changes are repaired".to_owned());
        }
        let found = links::set_up(&route, &options.cluster_dns).await;
        warnings.extend(found.map_err(DataplaneError::Link)?);
        Ok(Worker {
            nft,
            route,
            flows: Reconciler::start(&options)?,
            live: Follower::new(ceiling.hear_buffer_bytes),
            options,
            owned,
            book: Book::default(),
            links: BoxLinks::new(),
            routes: Routes::default(),
            has_link: false,
            shared: BTreeSet::new(),
            bridges: BTreeSet::new(),
            bent: BTreeSet::new(),
            forwarding: BTreeSet::new(),
            addresses: addresses::follow().map_err(DataplaneError::Link)?,
            local: BTreeSet::new(),
            reserved: BTreeSet::new(),
            marking: BTreeSet::new(),
            closed: BTreeSet::new(),
            retired: Retired::default(),
            stood_in: None,
            unsettled: true,
            set_aside: SetAside::default(),
            refused: watch::Sender::default(),
            tracks_sctp,
            warnings,
        })
    }

    /// Sees what becomes of flows.
    pub(super) fn observer(&self) -> Observer {
        self.flows.observer()
    }

    /// Tells which Services the kernel refuses.
    pub(super) fn refused(&self) -> watch::Receiver<Refusals> {
        self.refused.subscribe()
    }

    /// Tells when the box's addresses change.
    pub(super) fn addresses(&self) -> watch::Receiver<BoxAddresses> {
        self.addresses.clone()
    }

    /// The port our own notifications carry.
    pub(super) fn port(&self) -> u32 {
        self.nft.port()
    }

    /// The receive buffer to ask for where the kernel tells of changes.
    pub(super) fn hear_buffer_bytes(&self) -> usize {
        self.live.hear_buffer_bytes()
    }

    /// Whether nobody else can change our tables.
    pub(super) fn is_guarded(&self) -> bool {
        self.owned
    }

    pub(super) async fn converge(&mut self, contributions: &[Arc<Contribution>]) -> Result<Report, DataplaneError> {
        self.links = self.read_links().await.map_err(DataplaneError::Link)?;
        self.has_link = links::has_own(&self.links);
        if self.has_link {
            let left = notes::on_lo(&mut self.nft).map_err(DataplaneError::Socket)?;
            on_lo::take_back(&left).map_err(DataplaneError::Link)?;
        }
        let mut book = Book::default();
        let frontends = contributions.iter().flat_map(|contribution| &contribution.frontends);
        let ways = self.ways(frontends.flat_map(endpoint_ips).collect()).await;
        for contribution in contributions {
            // Adopting finds the difference; all edits together would hold every element once more.
            let (off_box, ignored) = (&mut |addr| is_off_box(&ways, addr), &mut Edit::default());
            book.change(&contribution.key, None, Some(contribution), off_box, ignored);
        }
        self.book = book;
        self.bridges = bridges(&ways);
        self.bent = self.bent_before()?;
        self.reserve_ports()?;
        self.foresee_marks();
        self.unsettled = true;
        self.forget_refused();
        let report = match self.restore() {
            Err(error) if self.may_sift(&error)? => {
                tracing::warn!(%error, "the kernel refused the Services together; those it takes are put in");
                self.take_all(contributions, &ways)
            }
            done => done,
        }?;
        self.tell_refused();
        self.follow_firewalls();
        self.route_ranges().await?;
        self.forward();
        self.bend().await?;
        Ok(report)
    }

    /// Cluster IPs come from other ranges now. The tables know them before the routes
    /// do: a connection between the two would lose its first packet.
    pub(super) async fn follow_ranges(
        &mut self,
        ranges: Vec<IpNet>,
        converged: bool,
    ) -> Result<Report, DataplaneError> {
        let before = range_slots(&std::mem::replace(&mut self.options.service_ranges, ranges));
        if !converged {
            return Ok(Report::default());
        }
        let after = range_slots(&self.options.service_ranges);
        let mut edit = Edit::default();
        for slot in before.union(&after) {
            let side = |held: bool| held.then_some(Data::Nothing);
            edit.element(slot.clone(), side(before.contains(slot)), side(after.contains(slot)));
        }
        let operations = self.settle(&mut edit)?;
        self.route_ranges().await?;
        self.flows.follow_ranges(&self.options.service_ranges, self.book.frontends());
        Ok(Report { operations })
    }

    async fn route_ranges(&self) -> Result<(), DataplaneError> {
        let warnings = ranges::follow(&self.route, &self.options.service_ranges).await;
        for warning in warnings.map_err(DataplaneError::Link)? {
            tracing::warn!(warning, "the box itself may not reach the cluster IPs");
        }
        Ok(())
    }

    /// Makes our link again when somebody removed it.
    async fn restore_own_link(&mut self) -> Result<(), DataplaneError> {
        if !self.has_link || links::has_own(&self.links) {
            return Ok(());
        }
        let warnings = links::set_up(&self.route, &self.options.cluster_dns).await.map_err(DataplaneError::Link)?;
        for warning in warnings {
            tracing::warn!(warning, "our link is gone and could not be made again whole");
        }
        self.route_ranges().await?;
        self.links = self.read_links().await.map_err(DataplaneError::Link)?;
        Ok(())
    }

    /// A socket that broke is opened again: nothing else would ever mend it.
    async fn read_links(&mut self) -> io::Result<BoxLinks> {
        match links::read_links(&self.route).await {
            Ok(links) => Ok(links),
            Err(error) => {
                tracing::debug!(%error, "links could not be read, with a new socket once more");
                self.route = links::connect()?;
                links::read_links(&self.route).await
            }
        }
    }

    /// The ways to these endpoints: a few are asked for one by one, many are found
    /// in the routing tables.
    async fn ways(&self, endpoints: BTreeSet<IpAddr>) -> BTreeMap<IpAddr, Way> {
        let routes = if endpoints.len() > ASKED_MAX { Routes::now() } else { Routes::default() };
        self.ways_by(&routes, endpoints).await
    }

    async fn ways_by(&self, routes: &Routes, endpoints: BTreeSet<IpAddr>) -> BTreeMap<IpAddr, Way> {
        let mut ways = BTreeMap::new();
        for addr in endpoints {
            let way = match routes.to(addr) {
                Said::Route(route) => links::way_of(&route, &self.links),
                Said::Nothing => Way::default(),
                Said::Unknown => links::way(&self.route, &self.links, addr).await,
            };
            ways.insert(addr, way);
        }
        ways
    }

    /// Follows the box's links and routes.
    pub(super) async fn follow_links(&mut self) -> Result<(), DataplaneError> {
        let links = self.read_links().await.map_err(DataplaneError::Link)?;
        let routes = Routes::now();
        // Most notices are of counters and flags that concern nobody here.
        if links == self.links && routes == self.routes && routes.is_known() {
            return Ok(());
        }
        self.links = links;
        // Rules of iptables-legacy come without a notice.
        if !firewalls::marking(&[], &self.options).is_subset(&self.marking) {
            self.follow_firewalls();
        }
        self.restore_own_link().await?;
        let now: BTreeSet<u32> = links::shared_links(&self.links).collect();
        let mut edit = Edit::default();
        for index in self.shared.difference(&now) {
            same_link(*index).into_iter().for_each(|slot| edit.element(slot, Some(Data::Nothing), None));
        }
        for index in now.difference(&self.shared) {
            same_link(*index).into_iter().for_each(|slot| edit.element(slot, None, Some(Data::Nothing)));
        }
        let ways = self.ways_by(&routes, self.book.endpoints().collect()).await;
        self.routes = routes;
        self.book.reroute(&mut |addr| is_off_box(&ways, addr), &mut edit);
        self.bridges = bridges(&ways);
        self.shared = now;
        for gone in self.bent.iter().filter(|index| !self.links.contains_key(index)) {
            edit.element(hairpin::note(*gone), Some(Data::Nothing), None);
        }
        self.bent.retain(|index| self.links.contains_key(index));
        self.settle(&mut edit)?;
        self.bend().await
    }

    /// Keeps node ports from the box's own connections. They are noted with the tables:
    /// should that fail, they are taken for somebody else's and stay reserved.
    fn reserve_ports(&mut self) -> Result<(), DataplaneError> {
        let before = notes::reserved_ports(&mut self.nft).map_err(DataplaneError::Socket)?;
        match reserved::reserve(self.options.node_ports.as_ref(), &before) {
            Ok(ours) => self.reserved = reserved::notes(&ours),
            Err(error) => {
                self.reserved = reserved::notes(&before);
                tracing::warn!(%error, "node ports cannot be reserved: a connection of the box may hide one");
            }
        }
        Ok(())
    }

    /// Follows the box's addresses.
    pub(super) fn follow_addresses(&mut self) -> Result<(), DataplaneError> {
        let now = addresses::slots(&self.options, &self.addresses.borrow());
        let mut edit = Edit::default();
        self.local.difference(&now).for_each(|slot| edit.element(slot.clone(), Some(Data::Nothing), None));
        now.difference(&self.local).for_each(|slot| edit.element(slot.clone(), None, Some(Data::Nothing)));
        self.local = now;
        self.settle(&mut edit).map(drop)
    }

    /// The bridge ports that a process before us switched to hairpin mode.
    fn bent_before(&mut self) -> Result<BTreeSet<u32>, DataplaneError> {
        let ports = notes::hairpin_ports(&mut self.nft).map_err(DataplaneError::Socket)?;
        Ok(ports.into_iter().filter(|index| self.links.contains_key(index)).collect())
    }

    /// Lets endpoints behind bridges reach themselves. A port is noted first: one
    /// that is noted and not switched does no harm, the other way round nobody
    /// would ever switch it back.
    async fn bend(&mut self) -> Result<(), DataplaneError> {
        if self.bridges.is_empty() || !hairpin::bridged_packets_are_translated() {
            return Ok(());
        }
        let ports: BTreeSet<u32> = hairpin::ports(&self.links, &self.bridges).difference(&self.bent).copied().collect();
        if ports.is_empty() {
            return Ok(());
        }
        let mut edit = Edit::default();
        ports.iter().for_each(|index| edit.element(hairpin::note(*index), None, Some(Data::Nothing)));
        self.bent.extend(&ports);
        self.settle(&mut edit)?;
        for port in ports {
            if let Err(error) = links::set_hairpin(&self.route, port, true).await {
                let name = self.links.get(&port).map(|link| link.name.as_str()).unwrap_or_default();
                tracing::warn!(%error, port = name, "no hairpin mode: an endpoint there may not reach itself");
            }
        }
        Ok(())
    }

    /// When the next chain or table is to go.
    pub(super) fn next_removal(&self) -> Option<Instant> {
        self.retired.next().into_iter().chain(self.stood_in.as_ref().map(StoodIn::ends)).min()
    }

    /// Removes chains and tables that no packet has met for long enough.
    pub(super) fn remove_retired(&mut self) -> Result<(), DataplaneError> {
        self.remove_stood_in();
        let edit = self.retired.due(Instant::now());
        if edit == Edit::default() { Ok(()) } else { self.send(&edit).map(drop) }
    }

    /// Sends an edit the book already has.
    fn settle(&mut self, edit: &mut Edit) -> Result<usize, DataplaneError> {
        self.retired.retire(edit, Instant::now());
        self.send(edit)
    }

    /// If the kernel does not hold what we think, it is read and made so.
    fn send(&mut self, edit: &Edit) -> Result<usize, DataplaneError> {
        if self.unsettled {
            return Ok(self.restore()?.operations);
        }
        let ops = kernel::edit_ops(edit, &self.options);
        match self.commit(|nft| commit(nft, &ops)) {
            Ok(()) => Ok(ops.len()),
            Err(error) => {
                tracing::warn!(%error, "the kernel refused a change, its tables are read again");
                self.unsettled = true;
                Ok(self.restore()?.operations)
            }
        }
    }

    fn commit(&mut self, send: impl FnOnce(&mut Link) -> Result<(), CommitError>) -> Result<(), DataplaneError> {
        let begun = Instant::now();
        let sent = send(&mut self.nft);
        // Read by scripts/bench-dataplane.
        tracing::debug!(micros = begun.elapsed().as_micros(), taken = sent.is_ok(), "transaction");
        sent.map_err(|error| match error.errno() {
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
}

fn is_off_box(ways: &BTreeMap<IpAddr, Way>, addr: IpAddr) -> bool {
    ways.get(&addr).is_some_and(|way| way.off_box)
}

/// The bridges that endpoints sit behind.
fn bridges(ways: &BTreeMap<IpAddr, Way>) -> BTreeSet<u32> {
    ways.values().filter_map(|way| way.bridge).collect()
}

fn same_link(index: u32) -> [Slot; 2] {
    let key = [index.to_ne_bytes(), index.to_ne_bytes()].concat();
    IpFamily::BOTH.map(|family| Slot::new(family, SetName::SameLink, key.clone()))
}
