//! Checks of the box's network: forwarding, firewalls, bridges, ports, routes, DNS.

use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::Facts;
use super::{Finding, failure, ok, unknown, warning};
use crate::dataplane::LINK_NAME;
use crate::model::ListenPlace;

pub(super) fn forwarding(facts: &Facts) -> Finding {
    let name = "forwarding";
    let six = facts.service_ranges.iter().any(|range| range.addr().is_ipv6());
    let families = [("ipv4/ip_forward", true), ("ipv6/conf/all/forwarding", six)];
    let off: Vec<String> = families
        .iter()
        .filter(|(path, wanted)| *wanted && facts.sysctl(path) == Some(0))
        .map(|(path, _)| format!("net.{}", path.replace('/', ".")))
        .collect();
    if off.is_empty() {
        return ok(name, "on");
    }
    let cause = format!("{} is 0: endpoints on other links are not reached", off.join(" and "));
    let mend = format!("sysctl -w {}=1, and in /etc/sysctl.d", off.join("=1 "));
    match &facts.neighbours {
        // The daemon switches it on with the first endpoint: off with rules there means that it could not, or somebody undid it.
        Ok(found) if found.ours && facts.runs() => failure(name, cause, mend),
        _ => warning(name, format!("{cause} (the daemon switches it on with the first endpoint, if it may)"), mend),
    }
}

pub(super) fn rp_filter(facts: &Facts) -> Finding {
    let name = "rp_filter";
    let strict: Vec<&str> =
        facts.links.iter().filter(|link| link.rp_filter == 1).map(|link| link.name.as_str()).collect();
    let mut ways: Vec<&str> = facts
        .routes
        .iter()
        .filter(|(to, _)| to.prefix_len() == 0 && to.addr().is_ipv4())
        .map(|(_, link)| link.as_str())
        .collect();
    ways.sort_unstable();
    ways.dedup();
    if strict.is_empty() || ways.len() < 2 {
        return ok(name, "drops nothing that belongs here");
    }
    warning(
        name,
        format!(
            "strict on {} with default routes over {}: packets that come in by another way than answers go are dropped",
            strict.join(", "),
            ways.join(" and ")
        ),
        "sysctl -w net.ipv4.conf.all.rp_filter=2 (loose)",
    )
}

pub(super) fn forward_policy(facts: &Facts) -> Finding {
    let name = "forward policy";
    match &facts.neighbours {
        Err(why) => unknown(name, format!("nf_tables could not be read: {why}")),
        Ok(found) if found.dropping.is_empty() => ok(name, "no chain drops forwarded packets by policy"),
        Ok(found) => {
            let docker = found.firewalls.contains(&"Docker");
            let mend = if docker {
                "with --forward-mark edgesvc keeps a rule in DOCKER-USER; without: iptables -I DOCKER-USER -d ENDPOINT-NET -j ACCEPT; `edgesvc trace` names the rule that drops"
            } else {
                "with --forward-mark edgesvc keeps a rule there; without: iptables -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT; `edgesvc trace` names the rule that drops"
            };
            warning(
                name,
                format!(
                    "policy drop in {}: packets of other hosts to endpoints need a rule there that accepts them",
                    found.dropping.join(", ")
                ),
                mend,
            )
        }
    }
}

pub(super) fn firewalls(facts: &Facts) -> Finding {
    let name = "firewalls";
    let found = match &facts.neighbours {
        Err(why) => return unknown(name, format!("nf_tables could not be read: {why}")),
        Ok(found) => &found.firewalls,
    };
    let words = |firewall: &&str| match *firewall {
        "Docker" => {
            "Docker: from version 28 packets of other hosts to ports that are not published are dropped; publish the port, start dockerd with --bridge-accept-fwmark, or accept in DOCKER-USER"
        }
        "firewalld" => {
            "firewalld: forwarding between zones is rejected unless allowed: firewall-cmd --permanent --new-policy svc && firewall-cmd --permanent --policy svc --add-ingress-zone ANY --add-egress-zone ANY --set-target ACCEPT"
        }
        _ => "ufw: routed packets are dropped unless allowed: ufw route allow to ENDPOINT-NET",
    };
    if found.is_empty() {
        return ok(name, "none with rules of its own");
    }
    warning(
        name,
        format!("{} filters forwarded packets", found.join(" and ")),
        found.iter().map(words).collect::<Vec<_>>().join(". "),
    )
}

/// The daemon sets hairpin mode where endpoints are behind a bridge.
pub(super) fn hairpin(facts: &Facts) -> Finding {
    let name = "hairpin";
    if facts.sysctl("bridge/bridge-nf-call-iptables") != Some(1) {
        return ok(name, "bridges leave packets to routing");
    }
    let ports: Vec<&str> = facts
        .links
        .iter()
        .filter(|link| link.master.is_some() && !link.hairpin)
        .map(|link| link.name.as_str())
        .collect();
    if ports.is_empty() || facts.runs() {
        return ok(name, "bridged packets are translated; the daemon sets hairpin mode on ports with endpoints");
    }
    warning(
        name,
        format!(
            "bridged packets are translated (br_netfilter) and {} lack hairpin mode: an endpoint there does not reach itself through its Service",
            ports.join(", ")
        ),
        format!(
            "start the daemon, which sets it, or: bridge link set dev {} hairpin on",
            ports.first().unwrap_or(&"PORT")
        ),
    )
}

fn numbers(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_whitespace().filter_map(|word| word.parse().ok());
    Some((words.next()?, words.next()?))
}

/// Ports `a-b,c` of ip_local_reserved_ports cover a whole range.
fn reserved(text: &str, (first, last): (u16, u16)) -> bool {
    let mut ranges: Vec<(u16, u16)> = text
        .trim()
        .split(',')
        .filter_map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            Some((from.parse().ok()?, to.parse().ok()?))
        })
        .collect();
    ranges.sort_unstable();
    let mut next = u32::from(first);
    for (from, to) in ranges {
        if u32::from(from) <= next {
            next = next.max(u32::from(to) + 1);
        }
    }
    next > u32::from(last)
}

pub(super) fn ports(facts: &Facts) -> Finding {
    let name = "port ranges";
    let Some((from, to)) = facts.words("ipv4/ip_local_port_range").and_then(numbers) else {
        return unknown(name, "ip_local_port_range cannot be read");
    };
    let (first, last) = facts.node_ports;
    let kept = facts.words("ipv4/ip_local_reserved_ports").is_some_and(|text| reserved(text, facts.node_ports));
    if last < from || to < first || kept {
        return ok(name, format!("node ports {first}-{last} are not given to outgoing connections"));
    }
    warning(
        name,
        format!(
            "node ports {first}-{last} overlap with the ports of outgoing connections ({from}-{to}): answers to those may meet a Service"
        ),
        format!("sysctl -w net.ipv4.ip_local_reserved_ports={first}-{last}, and in /etc/sysctl.d"),
    )
}

pub(super) fn ranges(facts: &Facts) -> Finding {
    let name = "service ranges";
    let overlaps = |one: &IpNet, other: &IpNet| one.contains(&other.addr()) || other.contains(&one.addr());
    let mend = "choose another --service-cluster-ip-range (with no Service left in the old one), or move that network";
    for range in &facts.service_ranges {
        if let Some((addr, link)) = facts.addrs.iter().find(|(addr, link)| link != LINK_NAME && range.contains(addr)) {
            return failure(name, format!("{range} contains {addr}, an address of this box on {link}"), mend);
        }
        let others = facts.routes.iter().filter(|(to, link)| link != LINK_NAME && link != "lo" && !is_apart(to));
        let widest = others.filter(|(to, _)| overlaps(range, to)).max_by_key(|(to, _)| to.prefix_len());
        if let Some((to, link)) = widest {
            if to.prefix_len() >= range.prefix_len() {
                let cause = format!("{range} overlaps with the network {to} behind {link}: one of them is not reached");
                return failure(name, cause, mend);
            }
            return warning(name, format!("{range} hides a part of the network {to} behind {link}"), mend);
        }
    }
    ok(name, "no network of this box overlaps with them")
}

/// Routes that stand for no network: the default and groups.
fn is_apart(net: &IpNet) -> bool {
    net.prefix_len() == 0 || net.addr().is_multicast()
}

/// A container whose link carries more than the way out sends packets that need
/// to be cut, and many networks drop what says so.
pub(super) fn mtu(facts: &Facts) -> Finding {
    let name = "MTU";
    let mut out = facts.routes.iter().filter(|(to, _)| to.prefix_len() == 0).map(|(_, link)| link);
    let uplink = out.next().and_then(|name| facts.links.iter().find(|link| link.name == *name));
    let Some(uplink) = uplink else { return ok(name, "no default route: every link stands for itself") };
    let larger: Vec<String> = facts
        .links
        .iter()
        .filter(|link| link.bridge && link.name != LINK_NAME && link.mtu > uplink.mtu)
        .map(|link| format!("{} ({})", link.name, link.mtu))
        .collect();
    if larger.is_empty() {
        return ok(name, format!("no bridge has more than {} ({})", uplink.name, uplink.mtu));
    }
    warning(
        name,
        format!(
            "{} carry larger packets than the way out, {} ({}): large answers may hang",
            larger.join(", "),
            uplink.name,
            uplink.mtu
        ),
        format!(
            "give these networks the MTU {} (for Docker: \"mtu\" in daemon.json or the network's com.docker.network.driver.mtu)",
            uplink.mtu
        ),
    )
}

pub(super) fn dns_port(facts: &Facts) -> Finding {
    let name = "DNS port";
    if facts.cluster_dns.is_empty() {
        return ok(name, "DNS is not served (--cluster-dns none)");
    }
    let ours: Vec<String> = facts.cluster_dns.iter().map(IpAddr::to_string).collect();
    let ours = ours.join(", ");
    if facts.runs() {
        return ok(name, format!("the daemon answers on {ours}"));
    }
    let clash = |at: &&std::net::SocketAddr| {
        facts.cluster_dns.contains(&at.ip())
            || at.ip().is_unspecified() && facts.cluster_dns.iter().any(|ours| ours.is_ipv4() || at.is_ipv6())
    };
    match facts.dns_sockets.iter().find(clash) {
        None => ok(name, format!("{ours} port 53 is free")),
        Some(at) => failure(
            name,
            format!("another DNS server listens on {at}: {ours} port 53 cannot be had"),
            "make it listen on its own addresses only (dnsmasq: bind-dynamic; unbound: interface:; Pi-hole: bind to one interface), or --cluster-dns none",
        ),
    }
}

/// The daemon waits for addresses that come later: whoever looks is told so.
pub(super) fn dns_for_the_lan(facts: &Facts) -> Finding {
    let name = "DNS for the LAN";
    if facts.dns_places.is_empty() {
        return ok(name, "is not asked for (--dns-listen)");
    }
    // An IPv4 address may carry a label such as eth0:1.
    let on = |link: &str| link.split(':').next().unwrap_or_default().to_owned();
    let is_vacant = |place: &&ListenPlace| !facts.addrs.iter().any(|(addr, link)| place.admits(*addr, &on(link)));
    let listed = |places: Vec<&ListenPlace>| places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let vacant: Vec<&ListenPlace> = facts.dns_places.iter().filter(is_vacant).collect();
    if vacant.is_empty() {
        return ok(name, format!("is answered at {}", listed(facts.dns_places.iter().collect())));
    }
    warning(
        name,
        format!("the box has no address at {}: the LAN is answered there as soon as one comes", listed(vacant)),
        "give the box that address or link (a DHCP lease, ip address add), or mend --dns-listen",
    )
}

pub(super) fn resolvers(facts: &Facts) -> Finding {
    let name = "resolvers";
    if facts.cluster_dns.is_empty() || facts.upstreams_named {
        return ok(name, "names outside the cluster domain go where --upstream-dns says");
    }
    let usable = |addr: &&IpAddr| !facts.cluster_dns.contains(addr) && !is_stub(**addr) && !addr.is_unspecified();
    let (plain, behind) = &facts.resolvers;
    if let Some(first) = plain.iter().chain(behind).find(usable) {
        return ok(name, format!("names outside the cluster domain go to {first}"));
    }
    let mend = "name the network's DNS server: --upstream-dns ADDR";
    if plain.iter().any(|addr| facts.cluster_dns.contains(addr)) {
        return failure(name, "/etc/resolv.conf names only edgesvc's own DNS: nobody is left to forward to", mend);
    }
    if plain.iter().any(|addr| is_stub(*addr)) {
        return failure(
            name,
            "/etc/resolv.conf names only systemd-resolved's stub, and no server stands behind it",
            mend,
        );
    }
    warning(name, "/etc/resolv.conf names no server: names outside the cluster domain are not found", mend)
}

/// Programs of the box find Services if that was asked for.
pub(super) fn names_on_the_box(facts: &Facts) -> Finding {
    let name = "names on the box";
    match &facts.host_dns {
        None => ok(name, "not set up, or not to be seen without root (edgesvc dns setup)"),
        Some(faults) if faults.is_empty() => ok(name, "programs of the box find Services by name"),
        Some(faults) => warning(
            name,
            format!("programs of the box were to find Services by name: {}", faults.join("; ")),
            "`edgesvc dns status` says more; `edgesvc dns setup` again, or `edgesvc dns undo`",
        ),
    }
}

/// systemd-resolved's own addresses.
fn is_stub(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V4(v4) if v4.octets() == [127, 0, 0, 53] || v4.octets() == [127, 0, 0, 54])
}
