//! What the kernel holds beside what Services ask for, and what a change would
//! make of it. Reads, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::links::{self, BoxLinks, Way};
use super::netlink::Link;
use super::table::{Book, Data, Edit, SetName, Slot, endpoint_ips, range_slots};
use super::{DataplaneError, Options, firewalls, kernel, words};
use crate::desired::{Change, Contribution};
use crate::model::IpFamily;

/// What is there too much (`-`) and what is missing (`+`), a line each; nothing
/// when the kernel holds what these contributions ask for.
///
/// # Errors
/// The kernel cannot be read.
pub fn differences(options: &Options, contributions: &[Arc<Contribution>]) -> Result<Vec<String>, DataplaneError> {
    let (book, box_links) = book(contributions, &[])?;
    let mut desired = book.elements();
    for index in links::shared_links(&box_links) {
        let key = [index.to_ne_bytes(), index.to_ne_bytes()].concat();
        desired.extend(IpFamily::BOTH.map(|family| (Slot::new(family, SetName::SameLink, key.clone()), Data::Nothing)));
    }
    desired.extend(range_slots(&options.service_ranges).into_iter().map(|slot| (slot, Data::Nothing)));
    let mut nft = Link::open(netlink_sys::protocols::NETLINK_NETFILTER).map_err(DataplaneError::Socket)?;
    let (mut lines, mut edit) = (Vec::new(), Edit::default());
    let sites = firewalls::read(&mut nft).map_err(DataplaneError::Socket)?;
    let wanted: BTreeSet<_> = book.chains().chain(firewalls::marking(&sites, options)).collect();
    for family in IpFamily::BOTH {
        let held = kernel::read_held(&mut nft, family).map_err(DataplaneError::Socket)?;
        let table = format!("table {} {}", kernel::word(family), super::table::TABLE);
        if !held.present {
            lines.push(format!("+{table}"));
            continue;
        }
        // Whether it is guarded depends on the kernel, not on Services.
        if !held.is_ours(family, options, held.persist) {
            lines.push(format!("-{table}: rules or sets that this edgesvc, as it is configured, would not make"));
        }
        if !held.anchored {
            lines.push(format!("+table {} {}", kernel::word(family), super::table::ANCHOR));
        }
        for name in &held.chains {
            edit.chain(family, *name, true, wanted.contains(&(family, *name)));
        }
        for set in SetName::ALL.into_iter().filter(|set| !set.is_dynamic() && !is_of_the_box(*set)) {
            let found = match kernel::read_set(&mut nft, family, set) {
                // Another layout, told above.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => continue,
                found => found.map_err(DataplaneError::Socket)?,
            };
            for (slot, data) in found {
                let after = desired.remove(&slot);
                if after.as_ref() != Some(&data) && !(after.is_some() && book.is_a_turn(&slot, &data)) {
                    edit.element(slot, Some(data), after);
                }
            }
        }
        for (_, name) in wanted.iter().filter(|(of, name)| *of == family && !held.chains.contains(name)) {
            edit.chain(family, *name, false, true);
        }
        for (slot, data) in desired.extract_if(.., |slot, _| slot.family == family) {
            edit.element(slot, None, Some(data));
        }
    }
    lines.extend(words::differences(&edit, &super::link_name));
    Ok(lines)
}

/// What the daemon did to the box, or found there, is known to it alone.
fn is_of_the_box(set: SetName) -> bool {
    matches!(
        set,
        SetName::HairpinPorts
            | SetName::NodePortIps
            | SetName::LocalIps
            | SetName::LocalOnLink
            | SetName::ReservedPorts
            | SetName::OnLo
    )
}

/// The transaction that changes would be, as nft text.
///
/// # Errors
/// The routes of endpoints cannot be read.
pub fn preview(
    options: &Options,
    contributions: &[Arc<Contribution>],
    changes: &[Change],
) -> Result<String, DataplaneError> {
    let after: Vec<Arc<Contribution>> = changes.iter().filter_map(|change| change.after.clone()).collect();
    let (mut book, ways) = {
        let (ways, _) = ways(contributions.iter().chain(&after))?;
        (filled(contributions, &ways), ways)
    };
    let mut edit = Edit::default();
    for change in changes {
        let off_box = &mut |addr: IpAddr| is_off_box(&ways, addr);
        book.change(&change.key, change.before.as_ref(), change.after.as_ref(), off_box, &mut edit);
    }
    Ok(words::script(&edit, options, &super::link_name))
}

fn book(contributions: &[Arc<Contribution>], more: &[Arc<Contribution>]) -> Result<(Book, BoxLinks), DataplaneError> {
    let (ways, links) = ways(contributions.iter().chain(more))?;
    Ok((filled(contributions, &ways), links))
}

fn filled(contributions: &[Arc<Contribution>], ways: &BTreeMap<IpAddr, Way>) -> Book {
    let mut book = Book::default();
    for contribution in contributions {
        let off_box = &mut |addr: IpAddr| is_off_box(ways, addr);
        book.change(&contribution.key, None, Some(contribution), off_box, &mut Edit::default());
    }
    book
}

fn is_off_box(ways: &BTreeMap<IpAddr, Way>, addr: IpAddr) -> bool {
    ways.get(&addr).is_some_and(|way| way.off_box)
}

type Ways = (BTreeMap<IpAddr, Way>, BoxLinks);

/// The ways to all endpoints.
fn ways<'a>(contributions: impl Iterator<Item = &'a Arc<Contribution>>) -> Result<Ways, DataplaneError> {
    let frontends = contributions.flat_map(|contribution| &contribution.frontends);
    let addrs: BTreeSet<IpAddr> = frontends.flat_map(endpoint_ips).collect();
    let mut found = Ways::default();
    links::on_a_thread(Box::pin(async {
        let route = links::connect()?;
        found.1 = links::read_links(&route).await?;
        for addr in addrs {
            found.0.insert(addr, links::way(&route, &found.1, addr).await);
        }
        Ok(())
    }))?;
    Ok(found)
}
