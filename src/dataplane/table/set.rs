//! The sets and maps of our tables: names and shapes. Pure.

use super::owner::OwnerKey;
use crate::model::IpFamily;

/// Entries of one family that packets may make; more are neither remembered nor counted.
const DYNAMIC_ENTRIES_MAX: u32 = 65_536;

/// The sets and maps, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum SetName {
    Endpoints,
    NodePortEndpoints,
    LiveEndpoints,
    NodePortLiveEndpoints,
    Sources,
    ClusterIps,
    ServiceRanges,
    Hairpin,
    EndpointIps,
    OffBox,
    SameLink,
    HairpinPorts,
    NodePortIps,
    LocalIps,
    LocalOnLink,
    ReservedPorts,
    OnLo,
    AffinityServices,
    AffinityNodePorts,
    Services,
    NodePorts,
    Affinity,
    SharedAffinity,
    Traffic,
}

impl SetName {
    pub(in crate::dataplane) const ALL: [SetName; 24] = [
        SetName::Endpoints,
        SetName::NodePortEndpoints,
        SetName::LiveEndpoints,
        SetName::NodePortLiveEndpoints,
        SetName::Sources,
        SetName::ClusterIps,
        SetName::ServiceRanges,
        SetName::Hairpin,
        SetName::EndpointIps,
        SetName::OffBox,
        SetName::SameLink,
        SetName::HairpinPorts,
        SetName::NodePortIps,
        SetName::LocalIps,
        SetName::LocalOnLink,
        SetName::ReservedPorts,
        SetName::OnLo,
        SetName::AffinityServices,
        SetName::AffinityNodePorts,
        SetName::Services,
        SetName::NodePorts,
        SetName::Affinity,
        SetName::SharedAffinity,
        SetName::Traffic,
    ];

    pub(in crate::dataplane) fn as_str(self) -> &'static str {
        match self {
            SetName::Endpoints => "endpoints",
            SetName::NodePortEndpoints => "nodeport-endpoints",
            SetName::LiveEndpoints => "live-endpoints",
            SetName::NodePortLiveEndpoints => "nodeport-live-endpoints",
            SetName::Sources => "sources",
            SetName::ClusterIps => "cluster-ips",
            SetName::ServiceRanges => "service-ranges",
            SetName::Hairpin => "hairpin",
            SetName::EndpointIps => "endpoint-ips",
            SetName::OffBox => "off-box",
            SetName::SameLink => "same-link",
            SetName::HairpinPorts => "hairpin-ports",
            SetName::NodePortIps => "nodeport-ips",
            SetName::LocalIps => "local-ips",
            SetName::LocalOnLink => "local-on-link",
            SetName::ReservedPorts => "reserved-ports",
            SetName::OnLo => "on-lo",
            SetName::AffinityServices => "affinity-services",
            SetName::AffinityNodePorts => "affinity-nodeports",
            SetName::Services => "services",
            SetName::NodePorts => "nodeports",
            SetName::Affinity => "affinity",
            SetName::SharedAffinity => "shared-affinity",
            SetName::Traffic => "traffic",
        }
    }

    pub(in crate::dataplane) fn parse(text: &str) -> Option<SetName> {
        SetName::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// Whether its elements move in one transaction, whatever the size: those that
    /// packets meet first, and ranges, where a new one may not overlap an old one.
    pub(in crate::dataplane) fn moves_at_once(self) -> bool {
        match self {
            SetName::Services | SetName::NodePorts | SetName::AffinityServices | SetName::AffinityNodePorts => true,
            other => shape(other, IpFamily::V4).interval,
        }
    }

    /// Slots whose endpoints change with the connections that are open.
    pub(in crate::dataplane) fn is_live(self) -> bool {
        matches!(self, SetName::LiveEndpoints | SetName::NodePortLiveEndpoints)
    }

    /// Filled by packets, not by us.
    pub(in crate::dataplane) fn is_dynamic(self) -> bool {
        matches!(self, SetName::Affinity | SetName::SharedAffinity | SetName::Traffic)
    }
}

/// A field of a key or of a map's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Field {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    /// nft has no plain 32-bit number: the slot of an endpoint and the words of an owner are
    /// typed as marks.
    Mark,
    Link,
}

impl Field {
    pub(in crate::dataplane) fn addr(family: IpFamily) -> Field {
        match family {
            IpFamily::V4 => Field::Ipv4,
            IpFamily::V6 => Field::Ipv6,
        }
    }

    /// nft's number of the type, by which it prints the bytes.
    pub(in crate::dataplane) fn number(self) -> u32 {
        match self {
            Field::Ipv4 => 7,
            Field::Ipv6 => 8,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::Mark => 19,
            Field::Link => 20,
        }
    }

    /// nft's name of the type.
    pub(in crate::dataplane) fn as_str(self) -> &'static str {
        match self {
            Field::Ipv4 => "ipv4_addr",
            Field::Ipv6 => "ipv6_addr",
            Field::Protocol => "inet_proto",
            Field::Port => "inet_service",
            Field::Mark => "mark",
            Field::Link => "iface_index",
        }
    }

    /// Bytes of a value, before it is filled up to whole words.
    pub(in crate::dataplane) fn len(self) -> usize {
        match self {
            Field::Ipv4 | Field::Mark | Field::Link => 4,
            Field::Ipv6 => 16,
            Field::Protocol => 1,
            Field::Port => 2,
        }
    }
}

/// What a set maps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Maps {
    Nothing,
    Verdict,
    Endpoint,
}

/// The shape of one set.
#[derive(Clone, Debug)]
pub(in crate::dataplane) struct SetShape {
    pub(in crate::dataplane) fields: Vec<Field>,
    pub(in crate::dataplane) maps: Maps,
    pub(in crate::dataplane) interval: bool,
    pub(in crate::dataplane) size: Option<u32>,
    /// Every element counts the packets that found it.
    pub(in crate::dataplane) counted: bool,
}

pub(in crate::dataplane) fn shape(name: SetName, family: IpFamily) -> SetShape {
    let ip = Field::addr(family);
    let (fields, maps) = match name {
        SetName::Services | SetName::AffinityServices => (vec![ip, Field::Protocol, Field::Port], Maps::Verdict),
        SetName::NodePorts | SetName::AffinityNodePorts => (vec![Field::Protocol, Field::Port], Maps::Verdict),
        SetName::Endpoints | SetName::LiveEndpoints => {
            (vec![ip, Field::Protocol, Field::Port, Field::Mark], Maps::Endpoint)
        }
        SetName::NodePortEndpoints | SetName::NodePortLiveEndpoints => {
            (vec![Field::Protocol, Field::Port, Field::Mark], Maps::Endpoint)
        }
        SetName::Affinity => (vec![ip, ip, Field::Protocol, Field::Port], Maps::Endpoint),
        SetName::SharedAffinity => {
            let owner = vec![Field::Mark; OwnerKey::words(family)];
            ([vec![ip], owner].concat(), Maps::Endpoint)
        }
        SetName::Sources => (vec![ip, Field::Protocol, Field::Port, ip], Maps::Nothing),
        SetName::ClusterIps
        | SetName::EndpointIps
        | SetName::OffBox
        | SetName::NodePortIps
        | SetName::LocalIps
        | SetName::OnLo => (vec![ip], Maps::Nothing),
        SetName::LocalOnLink => (vec![ip, Field::Link], Maps::Nothing),
        SetName::ReservedPorts => (vec![Field::Port, Field::Port], Maps::Nothing),
        SetName::Hairpin | SetName::ServiceRanges => (vec![ip, ip], Maps::Nothing),
        SetName::SameLink => (vec![Field::Link, Field::Link], Maps::Nothing),
        SetName::HairpinPorts => (vec![Field::Link], Maps::Nothing),
        SetName::Traffic => (vec![ip, Field::Protocol, Field::Port, ip, Field::Port], Maps::Nothing),
    };
    // Only a set that packets fill needs a ceiling. For the others a size would be a
    // ceiling too (ENFILE above it) and buckets kept for nothing; installing 10,000
    // Services is no faster with one.
    let size = name.is_dynamic().then_some(DYNAMIC_ENTRIES_MAX);
    let interval = matches!(name, SetName::Sources | SetName::ServiceRanges);
    let counted = matches!(
        name,
        SetName::Services | SetName::NodePorts | SetName::Endpoints | SetName::NodePortEndpoints | SetName::Traffic
    );
    SetShape { fields, maps, interval, size, counted }
}
