//! What the dataplane decides, without a kernel.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod affinity;
mod conntrack;
mod firewalls;
mod links;
mod portion;
mod ranges;

use crate::desired::{Balance, Frontend, FrontendAddr, Verdict};
use crate::model::{IpFamily, Protocol};

/// A frontend at `198.51.100.1:80`-like text, or `nodeport:30080` of IPv4.
fn frontend(at: &str, protocol: Protocol, verdict: Verdict) -> Frontend {
    let (addr, port) = at.rsplit_once(':').unwrap();
    let addr = match addr {
        "nodeport" => FrontendAddr::NodePort(IpFamily::V4),
        addr => FrontendAddr::Virtual(addr.parse().unwrap()),
    };
    Frontend {
        addr,
        protocol,
        port: port.parse().unwrap(),
        verdict,
        source_ranges: Vec::new(),
        inside: None,
        kept: Vec::new(),
    }
}

fn balance(endpoints: &[&str], affinity_seconds: Option<u32>) -> Verdict {
    let endpoints = endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
    Verdict::Balance(Balance { endpoints, affinity_seconds, ..Balance::default() })
}
