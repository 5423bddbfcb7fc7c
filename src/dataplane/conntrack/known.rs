//! Which protocols the kernel's conntrack follows.
//!
//! Of those it knows it wants ports to find an entry by, and says so; of others the
//! address alone names an entry, and there is none. The question changes nothing.

use crate::dataplane::netlink::{Attrs, Link};
use crate::model::Protocol;

/// Get one entry.
const GET: u16 = 1 << 8 | 1;
/// Get how many there are.
const GET_STATS: u16 = 1 << 8 | 5;
const TUPLE_ORIGINAL: u16 = 1;
const IPV4: u8 = 2;
/// RFC 3692 keeps this protocol for experiments: no kernel knows it.
const NOBODYS: u8 = 253;

/// Whether conntrack can be read at all.
pub(in crate::dataplane) fn can_be_read(link: &mut Link) -> bool {
    link.request(GET_STATS, 0, &[0; 4]).is_ok()
}

/// Whether conntrack follows a protocol. A kernel that does not say (it was built
/// without CONFIG_NF_CT_NETLINK) is taken to: most do.
pub(in crate::dataplane) fn knows(link: &mut Link, protocol: Protocol) -> bool {
    let mut answer = |number: u8| link.request(GET, 0, &question(number)).err().and_then(|error| error.raw_os_error());
    follows(answer(NOBODYS), answer(protocol.number()))
}

/// From the errors for a protocol that none knows and for the one asked about.
fn follows(nobodys: Option<i32>, asked: Option<i32>) -> bool {
    let no_such_entry = Some(nix::libc::ENOENT);
    nobodys != no_such_entry || asked != no_such_entry
}

/// An entry between two addresses that nobody has, without ports.
fn question(protocol: u8) -> Vec<u8> {
    let (mut addrs, mut inner, mut tuple, mut whole) = (Attrs::new(), Attrs::new(), Attrs::new(), Attrs::new());
    addrs.bytes(1, &[0; 4]).bytes(2, &[0; 4]);
    inner.byte(1, protocol);
    tuple.nest(1, &addrs).nest(2, &inner);
    whole.nest(TUPLE_ORIGINAL, &tuple);
    let mut body = vec![IPV4, 0, 0, 0];
    body.extend_from_slice(whole.as_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_says_so_does_not_follow_a_protocol() {
        let (no_such_entry, no_ports) = (Some(nix::libc::ENOENT), Some(nix::libc::EINVAL));
        assert!(follows(no_such_entry, no_ports), "it wants ports");
        assert!(!follows(no_such_entry, no_such_entry), "addresses are enough: nothing is known of ports");
        // Without its netlink interface conntrack answers every question alike.
        for both in [no_ports, Some(nix::libc::EOPNOTSUPP), Some(nix::libc::EPERM), None] {
            assert!(follows(both, both));
        }
    }
}
