//! How many changes one transaction takes. Pure.
//!
//! Without CAP_NET_ADMIN over the machine (in a container) the kernel allows a
//! message of some 400 KB, about 1,500 Services. One Service is never cut: its
//! move has to be seen in one step.

use std::collections::BTreeSet;

use super::table::{ChainName, of_frontend};
use crate::desired::{Change, Frontend};
use crate::model::IpFamily;

/// No element is encoded longer: a source range of IPv6 has 100 bytes.
const ELEMENT_BYTES: usize = 128;
/// No chain with its rules is encoded longer.
const CHAIN_BYTES: usize = 4 << 10;
/// Elements of an endpoint besides its slot: `endpoint-ips`, `hairpin`, `off-box`.
const ENDPOINT_ELEMENTS: usize = 3;

/// The changes in order, in portions that fit. A single one that does not is a
/// portion of its own, and the transaction says so.
pub(super) fn portions(changes: &[Change], bytes_max: usize) -> impl Iterator<Item = &[Change]> {
    let mut chains = BTreeSet::new();
    let mut bytes = None;
    changes.chunk_by(move |one, next| {
        let so_far = bytes.take().unwrap_or_else(|| weight(one, &mut chains));
        let sum = so_far + weight(next, &mut chains);
        if sum <= bytes_max {
            bytes = Some(sum);
            return true;
        }
        // What the chains were counted for is in the portion before.
        chains.clear();
        bytes = Some(weight(next, &mut chains));
        false
    })
}

/// At most so many bytes a change is encoded in, chains in `counted` left out.
fn weight(change: &Change, counted: &mut BTreeSet<(IpFamily, ChainName)>) -> usize {
    let sides = [&change.before, &change.after].into_iter().flatten();
    sides
        .map(|side| {
            let frontends: usize = side.frontends.iter().map(|frontend| frontend_weight(frontend, counted)).sum();
            frontends + side.cluster_ips.len() * ELEMENT_BYTES
        })
        .sum()
}

fn frontend_weight(frontend: &Frontend, counted: &mut BTreeSet<(IpFamily, ChainName)>) -> usize {
    let (elements, chains) = of_frontend(frontend);
    let new = chains.into_iter().filter(|chain| counted.insert((frontend.addr.family(), *chain))).count();
    elements.len() * (1 + ENDPOINT_ELEMENTS) * ELEMENT_BYTES + new * CHAIN_BYTES
}
