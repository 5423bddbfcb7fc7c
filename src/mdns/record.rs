//! Resource records, and which of them one Service has on one link. Pure.

use std::net::IpAddr;

use hickory_proto::rr::Name;

use super::link::Link;
use crate::desired::{Advertised, Instance, Reach};
use crate::model::IpFamily;
use crate::model::mdns::protocol_label;
use crate::model::name::LABEL_MAX;

pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const TXT: u16 = 16;
pub(super) const AAAA: u16 = 28;
pub(super) const SRV: u16 = 33;
pub(super) const NSEC: u16 = 47;
/// Every type.
pub(super) const ANY: u16 = 255;

/// Seconds of records that hold a host's name or address, and of all others (RFC 6762
/// section 10).
const HOST_TTL: u32 = 120;
const OTHER_TTL: u32 = 4500;
/// Addresses of one name: so many fit one probe beside it.
const ADDRESSES_MAX: usize = 32;
/// Bytes of ` 65535`, which tells ports of one kind apart.
const AMONG_BYTES_MAX: usize = 6;

/// One record of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) owner: Name,
    pub(super) kind: u16,
    /// Seconds.
    pub(super) ttl: u32,
    /// Nobody else has records of this owner and type: the cache-flush bit.
    pub(super) unique: bool,
    /// As it stands in packets, names without compression.
    pub(super) data: Box<[u8]>,
}

impl Record {
    /// Whether it says the same; for how long does not matter.
    pub(super) fn says_the_same(&self, other: &Record) -> bool {
        self.kind == other.kind && self.data == other.data && self.owner == other.owner
    }

    /// Bytes in a packet, at most.
    pub(super) fn bytes_max(&self) -> usize {
        self.owner.len() + 1 + 10 + self.data.len()
    }
}

/// A name that is ours alone, and the records that come and go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: Name,
    /// The host its SRV record names; absent where it is a host itself.
    pub(super) host: Option<Name>,
    /// Its own, the one that denies all others (NSEC), and those that lead to it.
    pub(super) records: Vec<Record>,
}

/// What a Service under a label is on a link; nothing where it cannot be reached.
pub(super) fn names(advertised: &Advertised, label: &str, link: &Link) -> Vec<Named> {
    let Some(host) = name(&[label, "local"]) else { return Vec::new() };
    let mut addrs: Vec<IpAddr> = match &advertised.reach {
        Reach::Box(families) => {
            let reached = |addr: &&IpAddr| families.contains(&IpFamily::of(**addr));
            link.node_port_addrs.iter().filter(reached).copied().collect()
        }
        Reach::Addresses(addrs) => addrs.clone(),
    };
    addrs.truncate(ADDRESSES_MAX);
    if addrs.is_empty() {
        return Vec::new();
    }
    let mut records: Vec<Record> = addrs.iter().map(|addr| address(&host, *addr)).collect();
    let mut kinds: Vec<u16> = records.iter().map(|record| record.kind).collect();
    kinds.dedup();
    records.push(denial(&host, &kinds));
    let host = Named { name: host, host: None, records };
    let instances: Vec<Named> =
        advertised.instances.iter().filter_map(|one| instance(one, label, &host.name, &advertised.txt)).collect();
    std::iter::once(host).chain(instances).collect()
}

fn instance(one: &Instance, label: &str, host: &Name, txt: &[u8]) -> Option<Named> {
    let (kind, protocol) = (format!("_{}", one.kind), protocol_label(one.protocol));
    let own = match one.among {
        None => label.to_owned(),
        // Labels of hosts have no spaces: no other Service can have this one.
        Some(port) => format!("{} {port}", shortened(label, AMONG_BYTES_MAX)),
    };
    let kind = name(&[&kind, protocol, "local"])?;
    let instance = name(&[&own]).and_then(|own| own.append_domain(&kind).ok())?;
    let kinds = name(&["_services", "_dns-sd", "_udp", "local"])?;
    let srv: Vec<u8> = [0, 0, 0, 0].into_iter().chain(one.port.to_be_bytes()).chain(wire(host)).collect();
    let unique =
        |kind: u16, ttl: u32, data: Box<[u8]>| Record { owner: instance.clone(), kind, ttl, unique: true, data };
    let shared = |owner: &Name, target: &Name| Record {
        owner: owner.clone(),
        kind: PTR,
        ttl: OTHER_TTL,
        unique: false,
        data: wire(target).into(),
    };
    let records = vec![
        unique(SRV, HOST_TTL, srv.into()),
        unique(TXT, OTHER_TTL, txt.into()),
        denial(&instance, &[TXT, SRV]),
        shared(&kind, &instance),
        shared(&kinds, &kind),
    ];
    Some(Named { name: instance, host: Some(host.clone()), records })
}

fn address(host: &Name, addr: IpAddr) -> Record {
    let (kind, data): (u16, Box<[u8]>) = match addr {
        IpAddr::V4(addr) => (A, addr.octets().into()),
        IpAddr::V6(addr) => (AAAA, addr.octets().into()),
    };
    Record { owner: host.clone(), kind, ttl: HOST_TTL, unique: true, data }
}

/// That the name has these types, in order, and no others (RFC 6762 section 6.1).
fn denial(owner: &Name, kinds: &[u16]) -> Record {
    let mut bits = [0_u8; 32];
    for kind in kinds {
        if let Some(byte) = bits.get_mut(usize::from(kind / 8)) {
            *byte |= 0x80 >> (kind % 8);
        }
    }
    let length = bits.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let mut data = wire(owner);
    data.extend([0, u8::try_from(length).unwrap_or_default()]);
    data.extend(bits.iter().take(length));
    Record { owner: owner.clone(), kind: NSEC, ttl: HOST_TTL, unique: true, data: data.into() }
}

/// A label with room for so many bytes more.
pub(super) fn shortened(label: &str, room: usize) -> &str {
    // Names of Services on the LAN are ASCII.
    label.get(..LABEL_MAX - room).map_or(label, |short| short.trim_end_matches('-'))
}

/// A name of these labels, which may hold anything.
pub(super) fn name(labels: &[&str]) -> Option<Name> {
    Name::from_labels(labels.iter().map(|label| label.as_bytes())).ok()
}

/// A name as it stands in packets, without compression.
pub(super) fn wire(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 1);
    for label in name.iter() {
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}
