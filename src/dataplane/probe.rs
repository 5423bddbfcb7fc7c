//! What the kernel can do of what we need, expression by expression, in
//! transactions that leave nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::conntrack;
use super::kernel::{delete_table, new_chain, new_table};
use super::netlink::Link;
use super::netlink::batch::commit;
use super::table::{Chain, Expr, Hook, Verdict, octets};
use crate::model::{IpFamily, Protocol};

/// The table of the probes; never committed for longer than its transaction.
const PROBE: &str = "edgesvc-doctor";

/// Something we need of the kernel, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What it is for.
    pub name: &'static str,
    /// The lines of the kernel's configuration that bring it.
    pub config: &'static str,
    /// Why it is not there.
    pub missing: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// All that could be asked.
    Features(Vec<Feature>),
    /// The kernel does not let us ask, and why.
    Denied(String),
}

/// Asks the kernel. Needs CAP_NET_ADMIN over this network namespace, or the right
/// to make one of its own: then it moves this process there, and nothing that
/// comes later sees the box. A process with threads cannot move.
pub fn probe() -> Probed {
    match probe_here() {
        Probed::Denied(_) => {
            use nix::sched::CloneFlags;
            match nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) {
                Ok(()) => probe_here(),
                Err(error) => Probed::Denied(format!("no CAP_NET_ADMIN, and no namespace of our own: {error}")),
            }
        }
        found => found,
    }
}

fn probe_here() -> Probed {
    let mut link = match Link::open(netlink_sys::protocols::NETLINK_NETFILTER) {
        Ok(link) => link,
        Err(error) => return Probed::Denied(error.to_string()),
    };
    let mut found: Vec<Feature> = Vec::new();
    // A module may be there for one family and not for the other.
    for (family, (name, config, chains, flags)) in
        IpFamily::BOTH.into_iter().flat_map(|family| cases(family).into_iter().map(move |case| (family, case)))
    {
        let mut ops = vec![new_table(PROBE, family, flags)];
        ops.extend(chains.iter().flat_map(|chain| new_chain(PROBE, family, chain)));
        ops.push(delete_table(PROBE, family));
        let missing = match commit(&mut link, &ops) {
            Ok(()) => None,
            Err(error) if error.errno() == Some(nix::libc::EPERM) => return Probed::Denied(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let nothing_works = missing.is_some() && found.is_empty();
        match found.iter_mut().find(|feature| feature.name == name) {
            Some(feature) => feature.missing = feature.missing.take().or(missing),
            None => found.push(Feature { name, config, missing }),
        }
        if nothing_works {
            return Probed::Features(found);
        }
    }
    let follows = conntrack::knows(&mut link, Protocol::Sctp);
    let missing = (!follows).then(|| "ports cannot be translated".to_owned());
    found.push(Feature { name: SCTP, config: "CONFIG_NF_CT_PROTO_SCTP", missing });
    let missing = (!conntrack::can_be_read(&mut link)).then(|| "it answers nothing".to_owned());
    found.push(Feature { name: FLOWS, config: "CONFIG_NF_CT_NETLINK", missing });
    Probed::Features(found)
}

/// The lines of the kernel's configuration whose features it lacks and that we cannot do
/// without; empty where none is known.
pub(super) fn lacking() -> String {
    let Probed::Features(features) = probe_here() else { return String::new() };
    let lacks = |feature: &&Feature| feature.missing.is_some() && feature.without().is_none();
    features.iter().filter(lacks).map(|feature| feature.config).collect::<Vec<_>>().join(", ")
}

type Case = (&'static str, &'static str, Vec<Chain>, u32);

fn cases(family: IpFamily) -> Vec<Case> {
    let plain = |exprs: Vec<Expr>| vec![Chain { name: "probe".to_owned(), hook: None, rules: vec![exprs] }];
    let nat = |number, exprs: Vec<Expr>| {
        let hook = Some(Hook { kind: "nat", number, priority: -100 });
        vec![Chain { name: "probe".to_owned(), hook, rules: if exprs.is_empty() { vec![] } else { vec![exprs] } }]
    };
    let localhost: IpAddr = match family {
        IpFamily::V4 => Ipv4Addr::LOCALHOST.into(),
        IpFamily::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    let dnat = vec![Expr::Immediate { word: 0, value: octets(localhost) }, Expr::Dnat { family, addr: 0, port: None }];
    vec![
        ("tables", "CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_IPV6", vec![], 0),
        ("rules that stop packets", "CONFIG_NF_TABLES", plain(vec![Expr::Verdict(Verdict::Drop)]), 0),
        (
            "conntrack",
            "CONFIG_NFT_CT, CONFIG_NF_CONNTRACK",
            plain(vec![Expr::Ct { key: 0, original: false, word: 0 }]),
            0,
        ),
        ("address translation", "CONFIG_NFT_NAT, CONFIG_NF_NAT", nat(0, dnat), 0),
        ("masquerade", "CONFIG_NFT_MASQ", nat(4, vec![Expr::Masquerade]), 0),
        ("refusal", "CONFIG_NFT_REJECT, CONFIG_NFT_REJECT_IPV4, CONFIG_NFT_REJECT_IPV6", plain(vec![Expr::Reset]), 0),
        (
            ADDRESS_TYPES,
            "CONFIG_NFT_FIB, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6",
            plain(vec![Expr::AddressType { flags: 2, word: 0 }]),
            0,
        ),
        ("random choice", "CONFIG_NFT_NUMGEN", plain(vec![Expr::Random { below: 2, offset: 0, word: 0 }]), 0),
        ("choice in turn", "CONFIG_NFT_NUMGEN", plain(vec![Expr::Turn { below: 2, offset: 0, word: 0 }]), 0),
        (
            HASH,
            "CONFIG_NFT_HASH",
            plain(vec![
                Expr::Immediate { word: 0, value: vec![0; 4] },
                Expr::Hash { from: 0, len: 4, below: 2, offset: 0, seed: 1, word: 0 },
            ]),
            0,
        ),
        (OWNED_TABLES, "Linux 6.9 or later", vec![], 2 | 4),
    ]
}

/// Features that can be done without ([`Feature::without`]).
pub const OWNED_TABLES: &str = "tables that nobody else can change";
/// See [`OWNED_TABLES`].
pub const HASH: &str = "choice by address";
/// See [`OWNED_TABLES`].
pub const FLOWS: &str = "reading conntrack";
/// See [`OWNED_TABLES`].
pub const SCTP: &str = "SCTP in conntrack";
const ADDRESS_TYPES: &str = "types of addresses";

impl Feature {
    /// What happens where it is not there; `None`: the dataplane needs it.
    pub fn without(&self) -> Option<&'static str> {
        match self.name {
            OWNED_TABLES => Some("tables are watched, and repaired"),
            ADDRESS_TYPES => Some("sets of the box's addresses are kept"),
            HASH => Some("Services balanced by sh or dh are balanced at random"),
            SCTP => Some("ports of SCTP are left out"),
            FLOWS => Some("flows to endpoints that are gone stay until they time out, and lc, sed and nq go round"),
            _ => None,
        }
    }
}
