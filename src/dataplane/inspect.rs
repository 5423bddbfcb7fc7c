//! Reading and removing what is in the kernel, without a daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use super::DataplaneError;
use super::firewalls;
use super::kernel;
use super::links;
use super::netlink::Link;
use super::netlink::batch::commit;
use super::notes;
use super::ranges;
use super::table::{ANCHOR, ChainName, Data, STAND_IN, SetName, Slot, TABLE, Verdict, address, frontend_at};
use super::{on_lo as lo, reserved};
use crate::desired::FrontendAddr;
use crate::model::IpFamily;

fn nft() -> Result<Link, DataplaneError> {
    Link::open(netlink_sys::protocols::NETLINK_NETFILTER).map_err(DataplaneError::Socket)
}

/// What the kernel holds, a line per frontend with its endpoints. Needs no daemon.
pub fn show() -> Result<String, DataplaneError> {
    let mut link = nft()?;
    let mut text = String::new();
    for family in IpFamily::BOTH {
        if !kernel::read_held(&mut link, family).map_err(DataplaneError::Socket)?.present {
            continue;
        }
        for (entries, endpoints) in [
            (SetName::Services, [SetName::Endpoints, SetName::LiveEndpoints]),
            (SetName::NodePorts, [SetName::NodePortEndpoints, SetName::NodePortLiveEndpoints]),
        ] {
            let found = kernel::read_set(&mut link, family, entries).map_err(DataplaneError::Socket)?;
            let mut slots = BTreeMap::new();
            for set in endpoints {
                match kernel::read_set(&mut link, family, set) {
                    // A table of another version may not have it.
                    Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
                    read => slots.extend(read.map_err(DataplaneError::Socket)?),
                }
            }
            for (slot, data) in &found {
                // Writing to a String cannot fail.
                if writeln!(text, "{}", line(family, slot, data, &slots)).is_err() {
                    break;
                }
            }
        }
    }
    Ok(text)
}

fn line(family: IpFamily, slot: &Slot, data: &Data, slots: &BTreeMap<Slot, Data>) -> String {
    let Some((addr, protocol, port)) = frontend_at(slot) else { return format!("{slot:?}") };
    let at = match addr {
        FrontendAddr::Virtual(addr) => SocketAddr::new(addr, port).to_string(),
        FrontendAddr::NodePort(_) => format!("nodeport/{}:{port}", kernel::word(family)),
    };
    let key = &slot.key.start;
    let Data::Verdict(verdict) = data else { return format!("{protocol} {at}") };
    match verdict {
        Verdict::Drop => format!("{protocol} {at} drop"),
        Verdict::Goto(chain) if ChainName::parse(chain).is_none() => format!("{protocol} {at} refuse"),
        Verdict::Goto(chain) | Verdict::Jump(chain) => {
            let own = |slot: &Slot| slot.key.start.starts_with(key) && slot.key.start.len() == key.len() + 4;
            let own: Vec<_> = slots.iter().filter(|(slot, _)| own(slot)).collect();
            let mut endpoints: Vec<SocketAddr> = own.iter().filter_map(|(_, data)| endpoint(data)).collect();
            // The turns of a moment tell nobody anything.
            if own.iter().any(|(slot, _)| slot.set.is_live()) {
                endpoints.sort_unstable();
                endpoints.dedup();
            }
            let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            format!("{protocol} {at} -> {} ({chain})", endpoints.join(" "))
        }
        Verdict::Return => format!("{protocol} {at} return"),
    }
}

fn endpoint(data: &Data) -> Option<SocketAddr> {
    let Data::Bytes(bytes) = data else { return None };
    let (addr, port) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    Some(SocketAddr::new(address(addr)?, u16::from_be_bytes(port.get(..2)?.try_into().ok()?)))
}

/// Removes everything we made from the kernel and answers what that was. Needs
/// no daemon; a running one owns the tables, and the kernel refuses.
pub fn cleanup() -> Result<Vec<String>, DataplaneError> {
    let mut link = nft()?;
    let mut ops = Vec::new();
    let mut removed = Vec::new();
    for site in firewalls::read(&mut link).map_err(DataplaneError::Socket)? {
        let steps = site.steps(None);
        if !steps.is_empty() {
            ops.extend(site.ops(&steps, 0));
            removed.push(format!("our rule in {}", site.at()));
        }
    }
    let bent = notes::hairpin_ports(&mut link).map_err(DataplaneError::Socket)?;
    let on_lo = notes::on_lo(&mut link).map_err(DataplaneError::Socket)?;
    let reserved = notes::reserved_ports(&mut link).map_err(DataplaneError::Socket)?;
    for family in IpFamily::BOTH {
        let held = kernel::read_held(&mut link, family).map_err(DataplaneError::Socket)?;
        for (table, there) in [(TABLE, held.present), (STAND_IN, held.stood_in), (ANCHOR, held.anchored)] {
            if there {
                ops.push(kernel::delete_table(table, family));
                removed.push(format!("table {} {table}", kernel::word(family)));
            }
        }
    }
    commit(&mut link, &ops).map_err(|error| match error.errno() {
        Some(nix::libc::EPERM) => DataplaneError::Denied(error),
        Some(_) | None => DataplaneError::Commit(error),
    })?;
    removed.extend(remove_links(&bent)?);
    removed.extend(lo::take_back(&on_lo).map_err(DataplaneError::Link)?);
    if !reserved.is_empty() {
        reserved::reserve(None, &reserved).map_err(DataplaneError::Link)?;
        removed.push("the reservation of node ports".to_owned());
    }
    Ok(removed)
}

fn remove_links(bent: &BTreeSet<u32>) -> Result<Vec<String>, DataplaneError> {
    let mut removed = Vec::new();
    links::on_a_thread(Box::pin(async {
        removed = unmake_links(bent).await?;
        Ok(())
    }))?;
    Ok(removed)
}

async fn unmake_links(bent: &BTreeSet<u32>) -> io::Result<Vec<String>> {
    let route = links::connect()?;
    let mut removed = Vec::new();
    let ports = links::read_links(&route).await?;
    for (index, port) in ports.iter().filter(|(index, port)| port.hairpin && bent.contains(index)) {
        links::set_hairpin(&route, *index, false).await?;
        removed.push(format!("hairpin mode of bridge port {}", port.name));
    }
    removed.extend(links::remove(&route).await?);
    removed.extend(ranges::remove(&route).await?);
    Ok(removed)
}
