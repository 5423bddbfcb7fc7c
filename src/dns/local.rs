//! Names that are not ours and yet never leave the box: its hosts file, localhost
//! (RFC 6761), and questions for everything there is, which only forgers and
//! curious people ask (RFC 8482). Pure but for the hosts file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::Query;
use hickory_proto::rr::RecordType;

use super::answer::Reply;
use super::authority::Authority;
use super::hosts::Hosts;
use super::record::{Data, Owner, Record};
use super::reverse::Reverse;

/// The answer to such a question, its records under `owner`; none if the name is
/// an upstream's to answer.
pub(crate) fn local(hosts: &Hosts, authority: &Authority, query: &Query, owner: Owner) -> Option<Reply> {
    let reply = |data: Vec<Data>| {
        let records = data.into_iter().map(|data| Record { owner: owner.clone(), ttl: authority.ttl, data });
        Reply { authoritative: false, ..Reply::found(records.collect(), vec![]) }
    };
    let addresses =
        |all: &[IpAddr]| reply(Data::addresses(query.query_type, all.iter().copied()).into_iter().collect());
    if query.query_type == RecordType::ANY {
        return Some(reply(vec![Data::Minimal]));
    }
    let lower = query.name.to_lowercase();
    if lower.iter().next_back() == Some(b"localhost") {
        return Some(addresses(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
    }
    let entries = hosts.entries();
    if query.query_type == RecordType::PTR
        && let Some(Reverse::Address(addr)) = Reverse::of(&lower)
    {
        return entries.name(addr).map(|name| reply(vec![Data::Ptr(name.into())]));
    }
    entries.addresses(&lower).map(addresses)
}
