//! Texts to domain values: one small function for each shape of setting. Each
//! answers with the value or with the sentence that says what is right.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;

use super::{AddressRange, DnsServer, LogFormat, LogLevel, PodRecords, ProxyMode, StubZone, defaults};
use crate::model::{ListenPlace, NodePortAddress, name};

/// `ADDR:PORT`, or `none`.
pub(super) fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| "must be ADDR:PORT, for instance 127.0.0.1:6443 or [::1]:6443, or none".to_owned())
}

/// An address without a port.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    name::strict_ip(text).ok_or_else(|| "must be an IP address, for instance 10.43.0.10".to_owned())
}

/// `ADDR` or the name of a link, each with `:PORT` or without; port 53 unless given.
pub(super) fn dns_place(text: &str) -> Result<ListenPlace, String> {
    let fault = "must be an address or the name of a link, for instance 192.168.1.1, [2001:db8::1]:5353 or eth0";
    ListenPlace::read(text, defaults::DNS_PORT).ok_or_else(|| fault.to_owned())
}

fn addressed(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match name::strict_ip(bare) {
        Some(addr) => Some(SocketAddr::new(addr, port)),
        None => text.parse().ok().filter(|server: &SocketAddr| server.port() != 0),
    }
}

/// A server of plain DNS, or `tls://ADDR[:PORT]#NAME`; without a name the address
/// is what the certificate must carry.
pub(super) fn dns_server(text: &str) -> Result<DnsServer, String> {
    let Some(rest) = text.strip_prefix("tls://") else {
        let fault =
            "must be ADDR, ADDR:PORT or tls://ADDR#NAME, for instance 192.168.1.1 or tls://1.1.1.1#cloudflare-dns.com";
        return addressed(text, defaults::DNS_PORT)
            .map(|addr| DnsServer { addr, tls: None })
            .ok_or_else(|| fault.to_owned());
    };
    let (place, named) = rest.split_once('#').unwrap_or((rest, ""));
    let addr = addressed(place, defaults::DNS_TLS_PORT)
        .ok_or("must name an address after tls://, for instance tls://1.1.1.1#cloudflare-dns.com")?;
    let tls = if named.is_empty() { addr.ip().to_string() } else { named.to_ascii_lowercase() };
    if name::strict_ip(&tls).is_none()
        && let Some(fault) = name::dns1123_subdomain(&tls).into_iter().next()
    {
        return Err(format!("the name of the certificate {tls:?}: {fault}"));
    }
    Ok(DnsServer { addr, tls: Some(tls) })
}

/// `DOMAIN=SERVER`
pub(super) fn stub_zone(text: &str) -> Result<StubZone, String> {
    let (zone, server) = text.split_once('=').ok_or("must be DOMAIN=SERVER, for instance corp.example=10.1.2.3")?;
    let domain = domain(zone.trim()).map_err(|fault| format!("the domain {zone:?}: {fault}"))?;
    Ok(StubZone { domain, server: dns_server(server.trim())? })
}

/// A file, or `none`.
pub(super) fn file(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "none" => Ok(None),
        _ if text.starts_with('/') => Ok(Some(PathBuf::from(text))),
        _ => Err("must be the path of a file from the root on, or none".to_owned()),
    }
}

/// `true` or `false`
pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

/// Answers a second.
pub(super) fn dns_rate(text: &str) -> Result<u32, String> {
    number(text, defaults::DNS_RATE_LIMIT_MAX)
}

/// Seconds.
pub(super) fn dns_ttl(text: &str) -> Result<u32, String> {
    number(text, defaults::DNS_TTL_MAX)
}

fn number(text: &str, max: u32) -> Result<u32, String> {
    let read = text.parse().ok().filter(|number: &u32| *number <= max && number.to_string() == text);
    read.ok_or_else(|| format!("must be a whole number between 0 and {max}"))
}

/// Which names of Pods exist.
pub(super) fn pod_records(text: &str) -> Result<PodRecords, String> {
    match text {
        "disabled" => Ok(PodRecords::Disabled),
        "insecure" => Ok(PodRecords::Insecure),
        "verified" => Ok(PodRecords::Verified),
        _ => Err("must be disabled, insecure or verified".to_owned()),
    }
}

/// A network without host bits.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| "must be ADDR/PREFIX, for instance 10.43.0.0/16".to_owned())?;
    if name::strict_ip(&net.addr().to_string()).is_none() {
        return Err("must not be an IPv4-mapped IPv6 network".to_owned());
    }
    if net.trunc() != net {
        return Err(format!("has bits set behind the prefix; did you mean {}?", net.trunc()));
    }
    Ok(net)
}

/// A network, `primary`, `localhost`, or the name of a link.
pub(super) fn node_port_address(text: &str) -> Result<NodePortAddress, String> {
    text.parse()
}

/// A network Services may take their cluster IPs from.
pub(super) fn service_network(text: &str) -> Result<IpNet, String> {
    let net = network(text)?;
    let allowed = match net {
        IpNet::V4(_) => defaults::SERVICE_PREFIX_V4,
        IpNet::V6(_) => defaults::SERVICE_PREFIX_V6,
    };
    if !allowed.contains(&net.prefix_len()) {
        return Err(format!("the prefix must be between /{} and /{}", allowed.start(), allowed.end()));
    }
    let addr = net.network();
    let local = match addr {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.octets().first().is_some_and(|&b| b == 0),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    };
    if local || addr.is_multicast() {
        return Err("must not be a loopback, link-local, multicast or unspecified network".to_owned());
    }
    Ok(net)
}

/// `A-B`, both included.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let fault = || "must be A-B with 1 <= A <= B <= 65535, for instance 30000-32767".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(fault)?;
    let first: u16 = first.trim().parse().map_err(|_| fault())?;
    let last: u16 = last.trim().parse().map_err(|_| fault())?;
    if first == 0 || first > last { Err(fault()) } else { Ok(first..=last) }
}

/// One bit of a mark, or `none`.
pub(super) fn mark(text: &str) -> Result<Option<u32>, String> {
    if text == "none" {
        return Ok(None);
    }
    let digits = text.strip_prefix("0x");
    let number = digits.map_or_else(|| text.parse(), |digits| u32::from_str_radix(digits, 16));
    let bit = number.ok().filter(|number| number.is_power_of_two());
    bit.map(Some).ok_or_else(|| "must be one bit, for instance 0x2000, or none".to_owned())
}

/// A network, one address, or `A-B` within one family.
pub(super) fn address_range(text: &str) -> Result<AddressRange, String> {
    let fault = || "must be a network, an address or A-B, for instance 192.168.1.240-192.168.1.250".to_owned();
    if text.contains('/') {
        let net = network(text)?;
        return Ok(AddressRange { first: net.network(), last: net.broadcast() });
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = name::strict_ip(first.trim()).ok_or_else(fault)?;
    let last = name::strict_ip(last.trim()).ok_or_else(fault)?;
    if first.is_ipv4() != last.is_ipv4() {
        return Err("both ends must be of one family".to_owned());
    }
    if first > last {
        return Err(format!("the first address is above the last; did you mean {last}-{first}?"));
    }
    Ok(AddressRange { first, last })
}

/// A DNS name in lower case, without the final dot.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut faults = name::dns1123_subdomain(text);
    if text.len() > defaults::CLUSTER_DOMAIN_BYTES_MAX {
        faults.push(format!("must be no more than {} characters", defaults::CLUSTER_DOMAIN_BYTES_MAX));
    }
    for label in text.split('.').filter(|label| label.len() > name::LABEL_MAX) {
        faults.push(format!("the label {label:?} must be no more than {} characters", name::LABEL_MAX));
    }
    if faults.is_empty() { Ok(text.to_owned()) } else { Err(faults.join("; ")) }
}

/// The name of a link.
pub(super) fn link(text: &str) -> Result<String, String> {
    match node_port_address(text) {
        Ok(NodePortAddress::Link(name)) if name != "none" => Ok(name),
        _ => Err("must be the name of a link such as eth0, or none alone".to_owned()),
    }
}

/// Whether traffic is counted too.
pub(super) fn counters(text: &str) -> Result<bool, String> {
    match text {
        "connections" => Ok(false),
        "traffic" => Ok(true),
        _ => Err("connections or traffic".to_owned()),
    }
}

/// `nftables`, `relay` or `none`; the other modes of the plan are refused by name.
pub(super) fn proxy_mode(text: &str) -> Result<ProxyMode, String> {
    match text {
        "nftables" => Ok(ProxyMode::Nftables),
        "relay" => Ok(ProxyMode::Relay),
        "none" => Ok(ProxyMode::None),
        "iptables" | "ipvs" => {
            Err(format!("the mode {text} is not supported yet; use nftables, relay, or none to leave the kernel alone"))
        }
        _ => Err("must be nftables, relay or none".to_owned()),
    }
}

/// How much is logged.
pub(super) fn log_level(text: &str) -> Result<LogLevel, String> {
    LogLevel::ALL
        .into_iter()
        .find(|level| level.as_str() == text)
        .ok_or_else(|| "must be error, warn, info, debug or trace".to_owned())
}

/// How it is logged.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_takes_a_socket_address_or_none() {
        assert_eq!(listen("none"), Ok(None));
        assert_eq!(listen("[::1]:6443"), Ok(Some("[::1]:6443".parse().unwrap())));
        for bad in ["", "6443", ":6443", "localhost:6443", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_have_no_host_bits() {
        assert_eq!(network("10.43.0.0/16").unwrap().to_string(), "10.43.0.0/16");
        assert!(network("10.43.1.0/16").unwrap_err().contains("did you mean 10.43.0.0/16?"));
        assert!(network("10.43.0.0").is_err());
        assert!(network("::ffff:10.0.0.0/104").is_err());
    }

    #[test]
    fn service_networks_have_bounds() {
        for good in ["10.0.0.0/8", "10.43.0.0/28", "fd00:43::/112", "fd00:43::/64"] {
            assert!(service_network(good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0/0",
            "10.0.0.0/31",
            "fd00::/48",
            "fd00::/127",
            "127.0.0.0/16",
            "169.254.0.0/16",
            "224.0.0.0/8",
            "fe80::/64",
            "ff00::/64",
        ] {
            assert!(service_network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges_are_ordered_and_not_zero() {
        assert_eq!(ports("30000-32767"), Ok(30000..=32767));
        assert_eq!(ports("80-80"), Ok(80..=80));
        for bad in ["30000", "0-10", "5-4", "1-70000", "a-b", "1-2-3"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pools_are_networks_addresses_or_ranges() {
        let range = |text: &str| address_range(text).map(|range| (range.first.to_string(), range.last.to_string()));
        assert_eq!(range("192.168.1.240/30"), Ok(("192.168.1.240".to_owned(), "192.168.1.243".to_owned())));
        assert_eq!(range("10.0.0.1-10.0.0.9"), Ok(("10.0.0.1".to_owned(), "10.0.0.9".to_owned())));
        assert_eq!(range("10.0.0.1"), Ok(("10.0.0.1".to_owned(), "10.0.0.1".to_owned())));
        assert!(range("10.0.0.9-10.0.0.1").is_err());
        assert!(range("10.0.0.9-fd00::1").is_err());
    }

    #[test]
    fn upstreams_default_to_port_53() {
        assert_eq!(dns_server("192.168.1.1").unwrap().to_string(), "192.168.1.1:53");
        assert_eq!(dns_server("2001:db8::1").unwrap().to_string(), "[2001:db8::1]:53");
        assert_eq!(dns_server("[2001:db8::1]:5353").unwrap().addr.port(), 5353);
        assert!(dns_server("dns.example").is_err());
    }

    #[test]
    fn upstreams_over_tls_name_their_certificate() {
        for (text, expected) in [
            ("tls://1.1.1.1#Cloudflare-DNS.com", "tls://1.1.1.1:853#cloudflare-dns.com"),
            ("tls://[2001:db8::1]:8853#dns.example", "tls://[2001:db8::1]:8853#dns.example"),
            ("tls://9.9.9.9", "tls://9.9.9.9:853#9.9.9.9"),
        ] {
            let server = dns_server(text).unwrap();
            assert_eq!(server.to_string(), expected);
            assert_eq!(dns_server(expected), Ok(server), "what is printed can be read again");
        }
        for bad in ["tls://dns.example", "tls://1.1.1.1#a..b", "tls://#x", "https://1.1.1.1", "tls://1.1.1.1:0#x"] {
            assert!(dns_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn stub_zones_name_a_domain_and_its_server() {
        let zone = stub_zone("corp.example.=tls://10.1.2.3#ns.corp.example").unwrap();
        assert_eq!(zone.to_string(), "corp.example=tls://10.1.2.3:853#ns.corp.example");
        assert!(stub_zone("168.192.in-addr.arpa=192.168.1.1").is_ok());
        for bad in ["corp.example", "=1.1.1.1", "corp.example=", "a..b=1.1.1.1", "Corp=1.1.1.1"] {
            assert!(stub_zone(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_switches_and_files_are_exact() {
        assert_eq!((dns_ttl("0"), dns_ttl("3600")), (Ok(0), Ok(3600)));
        for bad in ["3601", "-1", "+5", "05", "x", ""] {
            assert!(dns_ttl(bad).is_err(), "{bad}");
        }
        assert_eq!((switch("true"), switch("false")), (Ok(true), Ok(false)));
        assert!(switch("yes").is_err() && pod_records("all").is_err());
        assert_eq!(file("none"), Ok(None));
        assert!(file("/etc/hosts").unwrap().is_some() && file("hosts").is_err());
    }

    #[test]
    fn domains_are_lower_case_names() {
        assert_eq!(domain("cluster.local.").unwrap(), "cluster.local");
        assert!(domain("Cluster.local").is_err());
        assert!(domain("a..b").is_err());
        assert!(domain(&format!("{}.local", "a".repeat(64))).is_err());
        assert!(domain(&"a.".repeat(70)).is_err());
    }

    #[test]
    fn modes_not_built_yet_are_refused_by_name() {
        assert_eq!(proxy_mode("none"), Ok(ProxyMode::None));
        assert_eq!(proxy_mode("relay"), Ok(ProxyMode::Relay));
        for mode in ["iptables", "ipvs"] {
            let fault = proxy_mode(mode).unwrap_err();
            assert!(fault.contains(mode) && fault.contains("not supported yet"), "{fault}");
        }
        assert!(proxy_mode("ebpf").is_err());
    }
}
