//! Resource records as answers hold them: only the types the zone can say, and
//! owners by reference, because an owner name always repeats the question or the
//! target of a record before it. Names are behind pointers: a record with one in
//! place would be five times as large, and an answer holds hundreds. The addresses
//! of one owner are one value, because a headless Service has hundreds. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::rr::{Name, RecordType};

/// One record of class IN; of addresses, one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: Owner,
    /// Seconds.
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

/// The name a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The name asked, in the case it was asked.
    Question,
    /// The target of the SRV record at this place of the answer section.
    TargetOf(usize),
    /// Another name.
    Name(Arc<Name>),
}

/// Type and content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// At least one.
    A(Vec<Ipv4Addr>),
    /// At least one.
    Aaaa(Vec<Ipv6Addr>),
    Cname(Arc<Name>),
    Ptr(Arc<Name>),
    Ns(Arc<Name>),
    Srv(Srv),
    /// One character string, at most 255 bytes.
    Txt(&'static str),
    /// The HINFO record that stands for everything there is (RFC 8482).
    Minimal,
    Soa(Box<Soa>),
}

/// RFC 2782. The priority is always 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Srv {
    pub(crate) weight: u16,
    pub(crate) port: u16,
    /// As it is written: lengths and labels, never compressed, in lower case.
    pub(crate) target: Box<[u8]>,
}

/// RFC 1035 section 3.3.13, with the zone's fixed timers (spec/dns.md section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Soa {
    pub(crate) mname: Arc<Name>,
    pub(crate) rname: Arc<Name>,
    pub(crate) serial: u32,
    /// Seconds a missing name may be remembered.
    pub(crate) minimum: u32,
}

impl Soa {
    /// Seconds between a secondary's checks.
    pub(crate) const REFRESH: u32 = 7200;
    /// Seconds before a failed check is repeated.
    pub(crate) const RETRY: u32 = 1800;
    /// Seconds after which a secondary gives up.
    pub(crate) const EXPIRE: u32 = 86_400;
}

impl Data {
    /// The A or AAAA record of an address.
    pub(crate) fn address(addr: IpAddr) -> Data {
        match addr {
            IpAddr::V4(v4) => Data::A(vec![v4]),
            IpAddr::V6(v6) => Data::Aaaa(vec![v6]),
        }
    }

    /// The records of those addresses that are of the type asked, if any.
    pub(crate) fn addresses(qtype: RecordType, addresses: impl Iterator<Item = IpAddr>) -> Option<Data> {
        let count_max = addresses.size_hint().1.unwrap_or_default();
        match qtype {
            RecordType::A => {
                let mut kept = Vec::with_capacity(count_max);
                kept.extend(addresses.filter_map(|addr| if let IpAddr::V4(v4) = addr { Some(v4) } else { None }));
                (!kept.is_empty()).then_some(Data::A(kept))
            }
            RecordType::AAAA => {
                let mut kept = Vec::with_capacity(count_max);
                kept.extend(addresses.filter_map(|addr| if let IpAddr::V6(v6) = addr { Some(v6) } else { None }));
                (!kept.is_empty()).then_some(Data::Aaaa(kept))
            }
            _ => None,
        }
    }

    /// The record type.
    pub(crate) fn record_type(&self) -> RecordType {
        match self {
            Data::A(_) => RecordType::A,
            Data::Aaaa(_) => RecordType::AAAA,
            Data::Cname(_) => RecordType::CNAME,
            Data::Ptr(_) => RecordType::PTR,
            Data::Ns(_) => RecordType::NS,
            Data::Srv(_) => RecordType::SRV,
            Data::Txt(_) => RecordType::TXT,
            Data::Minimal => RecordType::HINFO,
            Data::Soa(_) => RecordType::SOA,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Record>() <= 56, "{} bytes", size_of::<Record>());
    }
}
