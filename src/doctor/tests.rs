#![allow(clippy::unwrap_used, reason = "a test may stop")]

use time::macros::datetime;

use super::facts::{Daemon, Disk, Facts, LinkFact};
use super::{Finding, Level, examine};
use crate::dataplane::{FLOWS, Feature, HASH, Neighbours, OWNED_TABLES, Probed, SCTP};
use crate::model::ListenPlace;

/// A box on which everything is as it should be.
fn healthy() -> Facts {
    let feature = |name, config| Feature { name, config, missing: None };
    let sysctl = |path: &str, value: &str| (path.to_owned(), value.to_owned());
    let link = |name: &str, bridge| LinkFact { name: name.to_owned(), mtu: 1500, bridge, ..LinkFact::default() };
    Facts {
        config_fault: None,
        service_ranges: vec!["10.43.0.0/16".parse().unwrap()],
        node_ports: (30000, 32767),
        cluster_dns: vec!["10.43.0.10".parse().unwrap()],
        dns_places: ["192.0.2.1", "eth0:5353"].iter().filter_map(|text| ListenPlace::read(text, 53)).collect(),
        upstreams_named: false,
        nftables: true,
        data_dir: Disk { path: "/d".to_owned(), free_bytes: 1 << 30, free_files: Some(1000), ..Disk::default() },
        daemon: Daemon::Answers { version: "1.0".to_owned(), failing: Vec::new() },
        version: "1.0",
        net_admin: true,
        net_bind: true,
        kernel: Probed::Features(vec![
            feature("masquerade", "CONFIG_NFT_MASQ"),
            feature(OWNED_TABLES, ""),
            feature(FLOWS, "CONFIG_NF_CT_NETLINK"),
            feature(SCTP, ""),
        ]),
        kernel_config: None,
        neighbours: Ok(Neighbours { ours: true, ..Neighbours::default() }),
        legacy_tables: Some(Vec::new()),
        sysctls: vec![
            sysctl("ipv4/ip_forward", "1\n"),
            sysctl("ipv4/ip_local_port_range", "32768\t60999\n"),
            sysctl("netfilter/nf_conntrack_count", "10\n"),
            sysctl("netfilter/nf_conntrack_max", "1000\n"),
            sysctl("netfilter/nf_conntrack_events", "2\n"),
            sysctl("netfilter/nf_conntrack_udp_timeout", "30\n"),
        ],
        links: vec![link("eth0", false), link("br0", true)],
        routes: vec![
            ("0.0.0.0/0".parse().unwrap(), "eth0".to_owned()),
            ("10.43.0.0/16".parse().unwrap(), "edgesvc0".to_owned()),
        ],
        addrs: vec![
            ("192.0.2.1".parse().unwrap(), "eth0".to_owned()),
            ("10.43.0.10".parse().unwrap(), "edgesvc0".to_owned()),
        ],
        dns_sockets: Vec::new(),
        host_dns: Some(Vec::new()),
        resolvers: (vec!["192.0.2.53".parse().unwrap()], Vec::new()),
        now: datetime!(2026-06-01 00:00 UTC),
        built: datetime!(2026-01-01 00:00 UTC),
        certificates: vec![(
            "ca.crt".to_owned(),
            Ok((datetime!(2026-01-01 00:00 UTC), datetime!(2036-01-01 00:00 UTC))),
        )],
    }
}

fn set(facts: &mut Facts, path: &str, value: &str) {
    facts.sysctls.retain(|(known, _)| known != path);
    facts.sysctls.push((path.to_owned(), value.to_owned()));
}

fn absent(facts: &mut Facts) {
    facts.daemon = Daemon::Absent("gone".to_owned());
}

#[test]
fn a_healthy_box_has_nothing_to_mend() {
    let wrong: Vec<Finding> =
        examine(&healthy()).into_iter().filter(|f| f.level != Level::Ok || !f.mend.is_empty()).collect();
    assert_eq!(wrong, []);
}

/// What is wrong, the check that finds it, how bad it is, what its cause and its mend say.
type Case = (fn(&mut Facts), &'static str, Level, &'static str, &'static str);

const STATE: &[Case] = &[
    (
        |f| {
            let missing = Some("ports cannot be translated".to_owned());
            let sctp = Feature { name: SCTP, config: "CONFIG_NF_CT_PROTO_SCTP", missing };
            f.kernel = Probed::Features(vec![sctp]);
        },
        "SCTP",
        Level::Warning,
        "CONFIG_NF_CT_PROTO_SCTP",
        "without SCTP",
    ),
    (
        |f| f.config_fault = Some("--listen: no".to_owned()),
        "configuration",
        Level::Failure,
        "--listen: no",
        "edgesvc check",
    ),
    (absent, "daemon", Level::Warning, "nobody answers: gone", "systemctl start edgesvc"),
    (
        |f| f.daemon = Daemon::Answers { version: "1.0".to_owned(), failing: vec!["kernel failed: x".to_owned()] },
        "daemon",
        Level::Failure,
        "kernel failed: x",
        "journalctl",
    ),
    (|f| f.version = "1.1", "versions", Level::Warning, "the daemon is 1.0, this program 1.1", "restart"),
    (
        |f| {
            absent(f);
            f.net_admin = false;
        },
        "privileges",
        Level::Warning,
        "CAP_NET_ADMIN missing",
        "as root",
    ),
    (|f| f.net_bind = false, "privileges", Level::Unknown, "lacks CAP_NET_BIND_SERVICE", "as root"),
    (|f| f.data_dir.read_only = true, "data directory", Level::Failure, "read-only", "--data-dir"),
    (|f| f.data_dir.free_bytes = 0, "data directory", Level::Failure, "full", "free space"),
    (|f| f.data_dir.free_bytes = 5 << 20, "data directory", Level::Warning, "only 5 MiB", "free space"),
    (|f| f.data_dir.free_files = Some(0), "data directory", Level::Failure, "inodes", "remove files"),
    (|f| f.now = datetime!(1970-01-02 00:00 UTC), "clock", Level::Warning, "1970-01-02 is before", "timedatectl"),
    (
        |f| f.now = datetime!(2035-12-20 00:00 UTC),
        "certificates",
        Level::Warning,
        "ca.crt ends on 2036-01-01",
        "restart",
    ),
    (
        |f| f.now = datetime!(2036-02-01 00:00 UTC),
        "certificates",
        Level::Failure,
        "ca.crt ended on 2036-01-01",
        "restart",
    ),
    (|f| f.now = datetime!(2025-01-01 00:00 UTC), "certificates", Level::Failure, "begins on 2026-01-01", "restart"),
];

fn lacking(name: &'static str) -> Probed {
    Probed::Features(vec![Feature { name, config: "CONFIG_X", missing: Some("no".to_owned()) }])
}

const KERNEL: &[Case] = &[
    (
        |f| {
            f.kernel = Probed::Features(vec![Feature {
                name: "masquerade",
                config: "CONFIG_NFT_MASQ",
                missing: Some("no".to_owned()),
            }])
        },
        "kernel",
        Level::Failure,
        "masquerade (CONFIG_NFT_MASQ: no)",
        "load their modules",
    ),
    (|f| f.kernel = lacking(HASH), "kernel", Level::Warning, "balanced at random", "build these options in"),
    (|f| f.kernel = lacking(OWNED_TABLES), "table owner", Level::Warning, "before 6.9", "Linux 6.9"),
    (
        |f| f.kernel = lacking("types of addresses"),
        "kernel",
        Level::Warning,
        "addresses are kept",
        "load their modules",
    ),
    (
        |f| {
            f.kernel = Probed::Denied("no".to_owned());
            f.kernel_config = Some("CONFIG_NF_TABLES=y".to_owned());
        },
        "kernel",
        Level::Failure,
        "CONFIG_NFT_NAT",
        "build",
    ),
    (|f| f.kernel = Probed::Denied("no right".to_owned()), "kernel", Level::Unknown, "no right", "as root"),
    (
        |f| f.neighbours.as_mut().unwrap().proxies.push("table ip kube-proxy".to_owned()),
        "other proxies",
        Level::Warning,
        "table ip kube-proxy",
        "kube-proxy --cleanup",
    ),
    (
        |f| f.legacy_tables = Some(vec!["filter".to_owned()]),
        "iptables-legacy",
        Level::Warning,
        "filter",
        "iptables-legacy-save",
    ),
    (
        |f| set(f, "netfilter/nf_conntrack_count", "850"),
        "conntrack size",
        Level::Warning,
        "85 %",
        "nf_conntrack_max=131072",
    ),
    (
        |f| set(f, "netfilter/nf_conntrack_count", "999"),
        "conntrack size",
        Level::Failure,
        "dropped",
        "nf_conntrack_max",
    ),
    (
        |f| set(f, "netfilter/nf_conntrack_events", "0"),
        "connection events",
        Level::Warning,
        "net.netfilter.nf_conntrack_events is 0: Services balanced by lc",
        "nf_conntrack_events=1",
    ),
    (
        |f| f.sysctls.retain(|(path, _)| path != "netfilter/nf_conntrack_events"),
        "connection events",
        Level::Warning,
        "CONFIG_NF_CONNTRACK_EVENTS",
        "build",
    ),
    (
        |f| f.kernel = lacking(FLOWS),
        "connection events",
        Level::Warning,
        "cannot be read (CONFIG_X)",
        "load its module",
    ),
    (|f| set(f, "netfilter/nf_conntrack_udp_timeout", "3"), "UDP timeouts", Level::Warning, "is 3 s", "udp_timeout=30"),
];

const NETWORK: &[Case] = &[
    (
        |f| set(f, "ipv4/ip_forward", "0"),
        "forwarding",
        Level::Failure,
        "net.ipv4.ip_forward is 0",
        "sysctl -w net.ipv4.ip_forward=1",
    ),
    (
        |f| {
            absent(f);
            set(f, "ipv4/ip_forward", "0");
        },
        "forwarding",
        Level::Warning,
        "the daemon switches it on",
        "sysctl",
    ),
    (
        |f| {
            f.links[0].rp_filter = 1;
            f.routes.push(("0.0.0.0/0".parse().unwrap(), "wlan0".to_owned()));
        },
        "rp_filter",
        Level::Warning,
        "strict on eth0 with default routes over eth0 and wlan0",
        "rp_filter=2",
    ),
    (
        |f| {
            let n = f.neighbours.as_mut().unwrap();
            n.dropping.push("ip filter FORWARD".to_owned());
            n.firewalls.push("Docker");
        },
        "forward policy",
        Level::Warning,
        "ip filter FORWARD",
        "DOCKER-USER",
    ),
    (
        |f| f.neighbours.as_mut().unwrap().firewalls.push("ufw"),
        "firewalls",
        Level::Warning,
        "ufw filters",
        "ufw route allow",
    ),
    (
        |f| {
            absent(f);
            set(f, "bridge/bridge-nf-call-iptables", "1");
            f.links.push(LinkFact { name: "veth1".to_owned(), master: Some("br0".to_owned()), ..LinkFact::default() });
        },
        "hairpin",
        Level::Warning,
        "veth1",
        "bridge link set dev veth1 hairpin on",
    ),
    (
        |f| set(f, "ipv4/ip_local_port_range", "1024 65535"),
        "port ranges",
        Level::Warning,
        "(1024-65535)",
        "ip_local_reserved_ports=30000-32767",
    ),
    (
        |f| f.routes.push(("10.43.8.0/24".parse().unwrap(), "wg0".to_owned())),
        "service ranges",
        Level::Failure,
        "10.43.8.0/24 behind wg0",
        "another --service",
    ),
    (
        |f| f.routes.push(("10.0.0.0/8".parse().unwrap(), "wg0".to_owned())),
        "service ranges",
        Level::Warning,
        "hides a part",
        "another --service",
    ),
    (
        |f| f.addrs.push(("10.43.1.1".parse().unwrap(), "eth1".to_owned())),
        "service ranges",
        Level::Failure,
        "an address of this box on eth1",
        "another --service",
    ),
    (
        |f| f.links[0].mtu = 1420,
        "MTU",
        Level::Warning,
        "br0 (1500) carry larger packets than the way out, eth0 (1420)",
        "MTU 1420",
    ),
    (
        |f| {
            absent(f);
            f.dns_sockets.push("0.0.0.0:53".parse().unwrap());
        },
        "DNS port",
        Level::Failure,
        "listens on 0.0.0.0:53",
        "bind-dynamic",
    ),
    (
        |f| f.resolvers.0 = vec!["10.43.0.10".parse().unwrap()],
        "resolvers",
        Level::Failure,
        "only edgesvc's own DNS",
        "--upstream-dns",
    ),
    (
        |f| f.addrs.retain(|(_, link)| link != "eth0"),
        "DNS for the LAN",
        Level::Warning,
        "no address at 192.0.2.1:53, eth0:5353",
        "--dns-listen",
    ),
    (|f| f.resolvers.0 = vec!["127.0.0.53".parse().unwrap()], "resolvers", Level::Failure, "stub", "--upstream-dns"),
    (|f| f.resolvers.0.clear(), "resolvers", Level::Warning, "names no server", "--upstream-dns"),
];

#[test]
fn each_fault_is_found_with_its_cause_and_its_mend() {
    for (number, (break_it, check, level, cause, mend)) in STATE.iter().chain(KERNEL).chain(NETWORK).enumerate() {
        let mut facts = healthy();
        break_it(&mut facts);
        let found = examine(&facts).into_iter().find(|finding| finding.check == *check).unwrap();
        assert_eq!(found.level, *level, "case {number}: {found:?}");
        assert!(found.cause.contains(cause) && found.mend.contains(mend), "case {number}: {found:?}");
    }
}

#[test]
fn what_is_harmless_is_not_reported() {
    let mut facts = healthy();
    set(&mut facts, "ipv4/ip_local_port_range", "1024 65535");
    set(&mut facts, "ipv4/ip_local_reserved_ports", "5000,30000-31000,31001-32767\n");
    absent(&mut facts);
    facts.dns_sockets.push("127.0.0.53:53".parse().unwrap());
    facts.resolvers = (vec!["127.0.0.53".parse().unwrap()], vec!["192.0.2.1".parse().unwrap()]);
    facts.links[0].rp_filter = 1;
    let levels = |check: &str| examine(&facts).into_iter().find(|f| f.check == check).unwrap().level;
    for check in ["port ranges", "DNS port", "resolvers", "rp_filter"] {
        assert_eq!(levels(check), Level::Ok, "{check}");
    }
}
