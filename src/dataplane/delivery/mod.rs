//! How connections reach endpoints, and whom these see as the client, as the kernel
//! holds it at this moment. Reads, and changes nothing.

mod decide;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use netlink_packet_route::route::{RouteMessage, RouteType};

use super::firewalls::{self, Passage, Site};
use super::links::{self, BoxLinks};
use super::netlink::batch::{body, kind, message};
use super::netlink::{Attrs, Link, attrs};
use super::table::{ANCHOR, Data, SetName, Slot, TABLE, octets};
use super::{DataplaneError, Options, hairpin, kernel};
use crate::model::IpFamily;
pub use decide::{Delivery, Path, Sight};
use decide::{Next, Reached, decide};

/// `NF_INET_POST_ROUTING`
const POSTROUTING: u32 = 4;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// By the endpoint's address.
    pub endpoints: BTreeMap<IpAddr, Delivery>,
    /// Chains of somebody else that may change the client's address too.
    pub foreign: Vec<String>,
}

/// Looks at the way to these endpoints.
///
/// # Errors
/// The kernel cannot be read.
pub fn deliveries(options: &Options, endpoints: BTreeSet<IpAddr>) -> Result<Deliveries, DataplaneError> {
    let mut nft = Link::open(netlink_sys::protocols::NETLINK_NETFILTER).map_err(DataplaneError::Socket)?;
    let held = Held::read(&mut nft).map_err(DataplaneError::Socket)?;
    let sites = firewalls::read(&mut nft).map_err(DataplaneError::Socket)?;
    let mut found =
        Deliveries { foreign: translators(&mut nft).map_err(DataplaneError::Socket)?, ..Default::default() };
    links::on_a_thread(Box::pin(async {
        let route = links::connect()?;
        let box_links = links::read_links(&route).await?;
        for addr in endpoints {
            let next = links::route_to(&route, addr).await.and_then(|answer| next(&answer, &box_links));
            let reached = held.reached(addr, next, &sites);
            found.endpoints.insert(addr, decide(addr, &reached, &options.cluster_cidrs));
        }
        Ok(())
    }))?;
    Ok(found)
}

/// The sets that decide about sources, as packets meet them.
struct Held(BTreeMap<Slot, Data>);

impl Held {
    fn read(nft: &mut Link) -> io::Result<Held> {
        let mut all = BTreeMap::new();
        for family in IpFamily::BOTH {
            for set in [SetName::Hairpin, SetName::OffBox, SetName::SameLink] {
                match kernel::read_set(nft, family, set) {
                    // No tables yet, or none any more.
                    Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
                    found => all.extend(found?),
                }
            }
        }
        Ok(Held(all))
    }

    fn has(&self, family: IpFamily, set: SetName, key: Vec<u8>) -> bool {
        self.0.contains_key(&Slot::new(family, set, key))
    }

    fn reached(&self, addr: IpAddr, next: Option<Next>, sites: &[Site]) -> Reached {
        let (family, bytes) = (IpFamily::of(addr), octets(addr));
        let chains = |wanted: Passage| -> Vec<String> {
            let met = sites.iter().filter(|site| site.is_met_by(family) && site.passage() == Some(wanted));
            met.map(Site::at).collect()
        };
        let pair = |index: u32| [index.to_ne_bytes(), index.to_ne_bytes()].concat();
        Reached {
            held: self.has(family, SetName::Hairpin, [bytes.clone(), bytes.clone()].concat()),
            off_box: self.has(family, SetName::OffBox, bytes),
            bridged: next.as_ref().is_some_and(|next| next.bridge) && hairpin::translates_bridged(family),
            same_link: next.as_ref().is_some_and(|next| self.has(family, SetName::SameLink, pair(next.index))),
            by_mark: chains(Passage::ByMark),
            closed: chains(Passage::Closed),
            next,
        }
    }
}

/// Where packets to an endpoint go next; nothing where they go nowhere.
fn next(answer: &RouteMessage, links: &BoxLinks) -> Option<Next> {
    let index = links::out(answer)?;
    let link = links.get(&index)?;
    let bridge = link.kind.as_deref() == Some("bridge");
    let wired = bridge.then(|| links::wired_port(links, index)).flatten();
    Some(Next {
        index,
        bridge,
        link: link.name.clone(),
        local: answer.header.kind == RouteType::Local,
        gateway: links::gateway(answer),
        wire: wired.map(|port| port.name.clone()),
    })
}

/// The chains of others that translate sources, as far as they have rules at all.
fn translators(nft: &mut Link) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for answer in nft.dump(kind(message::GETCHAIN), &body(0, &Attrs::new()))? {
        let content = answer.body.get(4..).unwrap_or_default();
        let (table, chain) = (attrs::text(content, 1).unwrap_or_default(), attrs::text(content, 3).unwrap_or_default());
        let hook = attrs::find(content, 4).and_then(|hook| attrs::be32(hook, 1));
        let translates = hook == Some(POSTROUTING) && attrs::text(content, 7) == Some("nat");
        let family = firewalls::family_word(answer.body.first().copied().unwrap_or_default());
        if let Some(family) = family.filter(|_| translates && ![TABLE, ANCHOR].contains(&table))
            && attrs::be32(content, 6).is_none_or(|uses| uses > 0)
        {
            found.push(format!("{family} {table} {chain}"));
        }
    }
    Ok(found)
}
