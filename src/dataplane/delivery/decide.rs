//! From what the kernel holds to words about one endpoint. Pure.
//!
//! The order is that of the rules in the chain `masquerading` (`table/layout.rs`):
//! the first that fits a client decides.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::IpFamily;

/// What is known of an endpoint's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// The tables know it as an endpoint.
    pub(super) held: bool,
    /// It is in the set of those whose replies may bypass the box.
    pub(super) off_box: bool,
    /// Clients on its link are masqueraded.
    pub(super) same_link: bool,
    /// It is on a bridge whose frames meet our rules as they cross it (br_netfilter): a
    /// packet that came in by no link but the bridge's port is on no one's same link.
    pub(super) bridged: bool,
    /// Foreign chains that drop what is forwarded, and let it pass by our mark.
    pub(super) by_mark: Vec<String>,
    /// Those in which no rule of ours stands.
    pub(super) closed: Vec<String>,
    /// Where packets go next.
    pub(super) next: Option<Next>,
}

/// The first step of packets to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) index: u32,
    pub(super) link: String,
    pub(super) bridge: bool,
    /// The address is the box's own.
    pub(super) local: bool,
    /// The router, unspecified where only that there is one is known.
    pub(super) gateway: Option<IpAddr>,
    /// The port by which the bridge leads to a wire.
    pub(super) wire: Option<String>,
}

/// How connections reach an endpoint, and whom it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The link packets leave the box by.
    pub link: Option<String>,
    /// The router they go to first.
    pub gateway: Option<IpAddr>,
    /// How they get there.
    pub path: Path,
    /// What becomes of the client's address: the first that fits a client decides, the
    /// last fits all others. Empty where nobody gets there.
    pub sights: Vec<Sight>,
}

/// How packets get to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// The endpoint is the box.
    Local,
    /// They are routed there.
    Direct,
    /// They pass these chains of somebody else by the mark they carry.
    ForwardMark(Vec<String>),
    /// These chains of somebody else may drop them.
    Blocked(Vec<String>),
    /// There is no route.
    NoRoute,
    /// The kernel does not hold the endpoint.
    NotHeld,
}

/// What an endpoint sees of some clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which, in words; empty for all others.
    pub clients: String,
    /// It sees their own address.
    pub kept: bool,
    /// Why, or why not.
    pub why: String,
}

impl Sight {
    fn new(clients: impl Into<String>, kept: bool, why: impl Into<String>) -> Sight {
        Sight { clients: clients.into(), kept, why: why.into() }
    }
}

pub(super) fn decide(addr: IpAddr, reached: &Reached, cidrs: &[IpNet]) -> Delivery {
    let next = reached.next.as_ref();
    let path = path(reached);
    let sights = match (&path, next) {
        (Path::NoRoute | Path::NotHeld, _) | (_, None) => Vec::new(),
        (Path::Local, _) => vec![Sight::new("", true, "the endpoint is the box itself")],
        (_, Some(next)) => sights(addr, reached, next, cidrs),
    };
    let gateway = next.and_then(|next| next.gateway).filter(|addr| !addr.is_unspecified());
    Delivery { link: next.map(|next| next.link.clone()), gateway, path, sights }
}

fn path(reached: &Reached) -> Path {
    match &reached.next {
        _ if !reached.held => Path::NotHeld,
        None => Path::NoRoute,
        Some(next) if next.local => Path::Local,
        Some(_) if !reached.closed.is_empty() => Path::Blocked(reached.closed.clone()),
        Some(_) if !reached.by_mark.is_empty() => Path::ForwardMark(reached.by_mark.clone()),
        Some(_) => Path::Direct,
    }
}

fn sights(addr: IpAddr, reached: &Reached, next: &Next, cidrs: &[IpNet]) -> Vec<Sight> {
    let link = &next.link;
    let mut sights = vec![Sight::new("the endpoint itself", false, "nobody is answered under his own address")];
    if reached.same_link && reached.bridged {
        let why = format!("replies are translated back as they cross {link} (br_netfilter)");
        sights.push(Sight::new(format!("clients on {link}"), true, why));
    } else if reached.same_link {
        let why = format!("replies would go to them over {link} without the box");
        sights.push(Sight::new(format!("clients on {link}"), false, why));
    }
    let why = format!("the box shows its address on {link}, which the endpoint can answer");
    sights.push(Sight::new("the box itself", false, why));
    if !reached.off_box {
        sights.push(Sight::new("", true, "replies return through the box"));
        return sights;
    }
    for cidr in cidrs.iter().filter(|cidr| IpFamily::of(cidr.addr()) == IpFamily::of(addr)) {
        sights.push(Sight::new(
            format!("clients in {cidr}"),
            true,
            "their replies come back to the box (--cluster-cidr)",
        ));
    }
    let place = match (&next.gateway, &next.wire) {
        (Some(gateway), _) if gateway.is_unspecified() => format!("behind a router on {link}"),
        (Some(gateway), _) => format!("behind the router {gateway} on {link}"),
        (None, Some(port)) => format!("on {link}, which leads to a wire by {port}"),
        (None, None) => format!("on the wire of {link}"),
    };
    sights.push(Sight::new("", false, format!("off the box, {place}: replies could bypass the box")));
    sights
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    fn next(link: &str) -> Next {
        Next { index: 7, link: link.to_owned(), ..Next::default() }
    }

    fn reached(next: Next, off_box: bool) -> Reached {
        Reached { held: true, off_box, same_link: true, next: Some(next), ..Reached::default() }
    }

    /// `+` for kept and `-` for masqueraded, with the clients.
    fn told(delivery: &Delivery) -> Vec<String> {
        let sign = |kept| if kept { '+' } else { '-' };
        delivery.sights.iter().map(|sight| format!("{}{}", sign(sight.kept), sight.clients)).collect()
    }

    #[test]
    fn the_address_is_kept_where_replies_return_and_the_reason_is_said() {
        let cidrs: Vec<IpNet> = vec!["10.42.0.0/16".parse().unwrap(), "fd42::/64".parse().unwrap()];
        let router = Next { gateway: Some("192.0.2.1".parse().unwrap()), ..next("eth0") };
        let unnamed = Next { gateway: Some("0.0.0.0".parse().unwrap()), ..next("eth0") };
        let wired = Next { wire: Some("eth1".to_owned()), ..next("br0") };
        let always = ["-the endpoint itself", "-clients on LINK", "-the box itself"];
        let cases: [(Reached, &[&str], &str); 6] = [
            (reached(next("br0"), false), &["+"], "replies return through the box"),
            (reached(router, true), &["+clients in 10.42.0.0/16", "-"], "behind the router 192.0.2.1 on eth0"),
            (reached(unnamed, true), &["+clients in 10.42.0.0/16", "-"], "behind a router on eth0"),
            (reached(next("eth0"), true), &["+clients in 10.42.0.0/16", "-"], "on the wire of eth0"),
            (reached(wired, true), &["+clients in 10.42.0.0/16", "-"], "on br0, which leads to a wire by eth1"),
            // The kernel's set is what packets meet, whatever the route looks like by now.
            (reached(Next { gateway: Some("192.0.2.1".parse().unwrap()), ..next("eth0") }, false), &["+"], "return"),
        ];
        for (reached, rest, why) in cases {
            let delivery = decide("10.9.0.11".parse().unwrap(), &reached, &cidrs);
            let link = delivery.link.clone().unwrap();
            let wanted: Vec<String> = always.iter().chain(rest).map(|words| words.replace("LINK", &link)).collect();
            assert_eq!(told(&delivery), wanted, "{reached:?}");
            let last = delivery.sights.last().unwrap();
            assert!(last.why.contains(why), "{}", last.why);
            assert_eq!(delivery.path, Path::Direct);
        }
        let crossing = Reached { bridged: true, ..reached(next("br0"), false) };
        let delivery = decide("10.9.0.11".parse().unwrap(), &crossing, &cidrs);
        assert_eq!(told(&delivery), ["-the endpoint itself", "+clients on br0", "-the box itself", "+"]);
        let alone = Reached { same_link: false, ..reached(next("br0"), false) };
        let delivery = decide("fd09::1".parse().unwrap(), &alone, &cidrs);
        assert_eq!(told(&delivery), ["-the endpoint itself", "-the box itself", "+"]);
    }

    #[test]
    fn firewalls_routes_and_what_the_kernel_lacks_decide_the_path() {
        let addr = "10.9.0.11".parse().unwrap();
        let path = |reached: &Reached| decide(addr, reached, &[]).path;
        let chain = || vec!["ip filter FORWARD".to_owned()];
        let open = reached(next("br0"), false);
        assert_eq!(path(&open), Path::Direct);
        assert_eq!(path(&Reached { by_mark: chain(), ..open.clone() }), Path::ForwardMark(chain()));
        // One closed door is enough.
        let both = Reached { by_mark: chain(), closed: chain(), ..open.clone() };
        assert_eq!(path(&both), Path::Blocked(chain()));
        let local = Reached { next: Some(Next { local: true, ..next("lo") }), ..both };
        let found = decide(addr, &local, &[]);
        assert_eq!((found.path.clone(), told(&found)), (Path::Local, vec!["+".to_owned()]), "nothing is forwarded");
        let lost = decide(addr, &Reached { next: None, ..open.clone() }, &[]);
        assert_eq!((lost.path.clone(), lost.sights.len()), (Path::NoRoute, 0));
        let unknown = decide(addr, &Reached { held: false, ..open }, &[]);
        assert_eq!((unknown.path.clone(), unknown.sights.len()), (Path::NotHeld, 0));
    }
}
