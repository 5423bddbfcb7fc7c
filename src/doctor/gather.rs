//! Looks at the box. Takes what it may see; judges nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::facts::{Daemon, Disk, Facts, LinkFact, Validity};
use crate::clock;
use crate::config::{Config, ProxyMode};
use crate::dataplane;
use crate::host_dns::{self, Paths, Wish};

const NET: &str = "/proc/sys/net";
/// What is read below /proc/sys/net.
const SYSCTLS: [&str; 10] = [
    "ipv4/ip_forward",
    "ipv6/conf/all/forwarding",
    "ipv4/ip_local_port_range",
    "ipv4/ip_local_reserved_ports",
    "bridge/bridge-nf-call-iptables",
    "netfilter/nf_conntrack_count",
    "netfilter/nf_conntrack_max",
    "netfilter/nf_conntrack_events",
    "netfilter/nf_conntrack_udp_timeout",
    "netfilter/nf_conntrack_udp_timeout_stream",
];
/// The bits of /proc/self/status.
const CAP_NET_BIND_SERVICE: u64 = 1 << 10;
const CAP_NET_ADMIN: u64 = 1 << 12;
const DNS_PORT: u16 = 53;

/// Looks. Last of all the kernel is asked for its features, for which a process
/// without privilege moves into a namespace of its own and is of no other use then.
pub fn gather(config: &Config, config_fault: Option<String>, daemon: Daemon) -> Facts {
    let capabilities = capabilities();
    Facts {
        config_fault,
        service_ranges: config.service_cluster_ip_ranges.clone(),
        node_ports: (*config.node_port_range.start(), *config.node_port_range.end()),
        cluster_dns: config.cluster_dns.clone(),
        dns_places: config.dns_listen.clone(),
        upstreams_named: !config.upstream_dns.is_empty(),
        nftables: config.proxy_mode != ProxyMode::None,
        data_dir: disk(&config.data_dir),
        daemon,
        version: env!("CARGO_PKG_VERSION"),
        net_admin: capabilities & CAP_NET_ADMIN != 0,
        net_bind: capabilities & CAP_NET_BIND_SERVICE != 0,
        kernel_config: kernel_config(),
        neighbours: dataplane::neighbours().map_err(|error| error.to_string()),
        legacy_tables: legacy_tables(),
        sysctls: SYSCTLS
            .iter()
            .filter_map(|path| Some(((*path).to_owned(), text(&format!("{NET}/{path}"))?)))
            .collect(),
        links: links(),
        routes: routes(),
        addrs: addrs(),
        dns_sockets: dns_sockets(),
        resolvers: resolvers(),
        host_dns: host_dns(config),
        now: clock::now(),
        built: clock::BUILD_DATE,
        certificates: certificates(&config.data_dir.join("pki")),
        kernel: dataplane::probe(),
    }
}

fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn capabilities() -> u64 {
    let status = text("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default()
}

fn kernel_config() -> Option<String> {
    let release = text("/proc/sys/kernel/osrelease")?;
    let release = release.trim();
    text(&format!("/boot/config-{release}")).or_else(|| text(&format!("/lib/modules/{release}/config")))
}

fn legacy_tables() -> Option<Vec<String>> {
    let mut names = Vec::new();
    for file in ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"] {
        match std::fs::read_to_string(file) {
            Ok(text) => names.extend(text.lines().map(str::to_owned)),
            // The module is not there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

fn disk(path: &Path) -> Disk {
    use nix::sys::statvfs::{FsFlags, statvfs};
    // Before the first start there is only what it will stand in.
    let there = path.ancestors().find(|part| part.exists()).unwrap_or(path);
    let mut disk = Disk { path: path.display().to_string(), ..Disk::default() };
    match statvfs(there) {
        Ok(found) => {
            disk.read_only = found.flags().contains(FsFlags::ST_RDONLY);
            disk.free_bytes = found.blocks_available().saturating_mul(found.fragment_size());
            disk.free_files = (found.files() > 0).then(|| found.files_available());
        }
        Err(error) => disk.fault = Some(error.to_string()),
    }
    disk
}

fn links() -> Vec<LinkFact> {
    let found = dataplane::links().unwrap_or_default();
    let filter = |name: &str| {
        text(&format!("{NET}/ipv4/conf/{name}/rp_filter"))
            .and_then(|text| text.trim().parse::<u32>().ok())
            .unwrap_or_default()
    };
    let all = filter("all");
    let fact = |link: &dataplane::LinkState| LinkFact {
        name: link.name.clone(),
        mtu: link.mtu,
        bridge: link.kind == "bridge",
        master: link.master.and_then(|index| found.iter().find(|l| l.index == index)).map(|master| master.name.clone()),
        hairpin: link.hairpin,
        rp_filter: filter(&link.name).max(all),
    };
    found.iter().map(fact).collect()
}

fn addrs() -> Vec<(IpAddr, String)> {
    let Ok(found) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let addr = |found: nix::ifaddrs::InterfaceAddress| {
        let at = found.address?;
        let v4 = at.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
        Some((v4.or_else(|| at.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))?, found.interface_name))
    };
    found.filter_map(addr).collect()
}

fn routes() -> Vec<(IpNet, String)> {
    let four = text("/proc/net/route").unwrap_or_default();
    let six = text("/proc/net/ipv6_route").unwrap_or_default();
    four.lines().skip(1).filter_map(route4).chain(six.lines().filter_map(route6)).collect()
}

/// `eth0 0000A8C0 ...`: numbers in the order of the machine.
fn route4(line: &str) -> Option<(IpNet, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let addr = |at: usize| Some(Ipv4Addr::from(u32::from_str_radix(words.get(at)?, 16).ok()?.to_ne_bytes()));
    let net = IpNet::with_netmask(addr(1)?.into(), addr(7)?.into()).ok()?;
    Some((net, (*words.first()?).to_owned()))
}

fn route6(line: &str) -> Option<(IpNet, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let addr = Ipv6Addr::from(u128::from_str_radix(words.first()?, 16).ok()?);
    let net = IpNet::new(addr.into(), u8::from_str_radix(words.get(1)?, 16).ok()?).ok()?;
    let link = *words.get(9)?;
    (link != "lo").then(|| (net, link.to_owned()))
}

/// Sockets that listen on port 53.
pub fn dns_sockets() -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for (file, state) in [("udp", "07"), ("tcp", "0A"), ("udp6", "07"), ("tcp6", "0A")] {
        let table = text(&format!("/proc/net/{file}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (at, _, status) = (words.next(), words.next(), words.next());
            found.extend(at.filter(|_| status == Some(state)).and_then(socket).filter(|at| at.port() == DNS_PORT));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// `0100007F:0035`: words in the order of the machine.
fn socket(text: &str) -> Option<SocketAddr> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(addr.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    if addr.len() == 8 {
        return Some(SocketAddr::new(IpAddr::from(word(0)?), port));
    }
    let bytes: [u8; 16] = [word(0)?, word(8)?, word(16)?, word(24)?].concat().try_into().ok()?;
    Some(SocketAddr::new(IpAddr::from(bytes), port))
}

fn resolvers() -> (Vec<IpAddr>, Vec<IpAddr>) {
    let servers = |path: &str| -> Vec<IpAddr> {
        let text = text(path).unwrap_or_default();
        let server = |line: &str| line.trim().strip_prefix("nameserver")?.split_whitespace().next()?.parse().ok();
        text.lines().filter_map(server).collect()
    };
    let mut behind = servers("/run/systemd/resolve/resolv.conf");
    behind.extend(servers("/run/NetworkManager/no-stub-resolv.conf"));
    // Beside a file of ours: what stood there before.
    behind.extend(servers("/etc/resolv.conf.edgesvc"));
    (servers("/etc/resolv.conf"), behind)
}

fn host_dns(config: &Config) -> Option<Vec<String>> {
    let paths = Paths::of_box(config.data_dir.clone());
    let facts = host_dns::look(&paths);
    let wish = Wish::of(
        config.cluster_dns.clone(),
        config.cluster_domain.clone(),
        host_dns::namespace(&facts),
        &config.service_cluster_ip_ranges,
    );
    (!host_dns::ways_set_up(&facts).is_empty()).then(|| host_dns::faults(&facts, &paths, &wish))
}

/// The server that programs of the box ask first.
pub fn first_resolver() -> Option<IpAddr> {
    resolvers().0.first().copied()
}

fn certificates(dir: &Path) -> Vec<(String, Result<Validity, String>)> {
    let one = |name: &str| {
        let validity = match std::fs::read(dir.join(format!("{name}.crt"))) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
            Ok(pem) => validity(&pem).ok_or_else(|| "is no certificate".to_owned()),
        };
        Some((format!("{name}.crt"), validity))
    };
    ["ca", "server", "admin"].into_iter().filter_map(one).collect()
}

fn validity(pem: &[u8]) -> Option<Validity> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.to_datetime(), validity.not_after.to_datetime()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_of_routes_and_sockets_are_read() {
        let route = |line: String| route4(&line).map(|(net, link)| format!("{net} {link}"));
        let line = |to: [u8; 4], mask: [u8; 4]| {
            format!(
                "eth0\t{:08X}\t00000000\t0001\t0\t0\t0\t{:08X}\t0\t0\t0",
                u32::from_ne_bytes(to),
                u32::from_ne_bytes(mask)
            )
        };
        assert_eq!(route(line([10, 9, 0, 0], [255, 255, 255, 0])).as_deref(), Some("10.9.0.0/24 eth0"));
        assert_eq!(route(line([0; 4], [0; 4])).as_deref(), Some("0.0.0.0/0 eth0"));
        let six = "fd090000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     br0";
        assert_eq!(route6(six).map(|(net, link)| format!("{net} {link}")).as_deref(), Some("fd09::/64 br0"));
        let local = u32::from_ne_bytes([127, 0, 0, 53]);
        assert_eq!(socket(&format!("{local:08X}:0035")), Some("127.0.0.53:53".parse().unwrap()));
        assert_eq!(
            socket(&format!("{:024X}{:08X}:0035", 0, u32::from_ne_bytes([0, 0, 0, 1]))),
            Some("[::1]:53".parse().unwrap())
        );
    }
}
