//! Texts that are to be addresses or ranges (spec/service.md section 3): what is
//! accepted anew, what the client is told of the rest, and what is only warned of.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::Cause;

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_RANGE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An address as older Kubernetes read it: leading zeros of IPv4 numbers mean
/// nothing and IPv4 within IPv6 is IPv4.
fn sloppy_ip(text: &str) -> Option<IpAddr> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some(addr.to_canonical());
    }
    let octet = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u8>().ok().filter(|_| digits)
    };
    let octets: Option<Vec<u8>> = text.split('.').map(octet).collect();
    let octets: [u8; 4] = octets?.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn is_mapped(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// What is wrong with a new address.
pub(super) fn ip_faults(field: &str, text: &str) -> Vec<Cause> {
    let detail = match (sloppy_ip(text), text.parse::<IpAddr>()) {
        (None, _) => NOT_AN_IP,
        (Some(_), Err(_)) => "must not have leading 0s",
        (Some(_), Ok(addr)) if is_mapped(addr) => "must not be an IPv4-mapped IPv6 address",
        (Some(_), Ok(_)) => return Vec::new(),
    };
    vec![Cause::invalid(field, &text.into(), detail)]
}

/// What is wrong with a new address that must also be in canonical form.
pub(super) fn canonical_ip_faults(field: &str, text: &str) -> Vec<Cause> {
    let faults = ip_faults(field, text);
    match text.parse::<IpAddr>() {
        Ok(addr) if faults.is_empty() && addr.to_string() != text => {
            let detail = format!("must be in canonical form (\"{addr}\")");
            vec![Cause::invalid(field, &text.into(), &detail)]
        }
        _ => faults,
    }
}

/// Why an address cannot be an endpoint or an external IP.
pub(super) fn endpoint_ip_faults(field: &str, text: &str) -> Vec<Cause> {
    let Some(addr) = sloppy_ip(text) else {
        return vec![Cause::invalid(field, &text.into(), "must be a valid IP address")];
    };
    let (link_local, link_local_multicast) = match addr {
        IpAddr::V4(v4) => (v4.is_link_local(), matches!(v4.octets(), [224, 0, 0, _])),
        IpAddr::V6(v6) => {
            let head = v6.segments().first().copied().unwrap_or_default();
            (v6.is_unicast_link_local(), head & 0xff0f == 0xff02)
        }
    };
    let detail = match () {
        () if addr.is_unspecified() => format!("may not be unspecified ({text})"),
        () if addr.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        () if link_local => "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        () if link_local_multicast => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
        }
        () => return Vec::new(),
    };
    vec![Cause::invalid(field, &text.into(), &detail)]
}

/// What is wrong with a new range.
pub(super) fn range_faults(field: &str, text: &str) -> Vec<Cause> {
    let invalid = |detail: &str| vec![Cause::invalid(field, &text.into(), detail)];
    let Some((ip, bits)) = text.split_once('/') else { return invalid(NOT_A_RANGE) };
    let bits_max = if ip.contains(':') { 128 } else { 32 };
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let length = bits.parse::<u8>().ok().filter(|length| digits && *length <= bits_max);
    let (Some(_), Some(length)) = (sloppy_ip(ip), length) else { return invalid(NOT_A_RANGE) };
    let plain = bits == "0" || !bits.starts_with('0');
    match ip.parse::<IpAddr>() {
        Ok(addr) if plain && is_mapped(addr) => invalid("must not have an IPv4-mapped IPv6 address"),
        Ok(addr) if plain => match ipnet::IpNet::new(addr, length) {
            Ok(net) if net.network() == addr => Vec::new(),
            _ => invalid("must not have bits set beyond the prefix length"),
        },
        _ => invalid("must not have leading 0s in IP or prefix length"),
    }
}

/// What is wrong with a new range that must also be in canonical form.
pub(super) fn canonical_range_faults(field: &str, text: &str) -> Vec<Cause> {
    let faults = range_faults(field, text);
    match text.parse::<ipnet::IpNet>() {
        Ok(net) if faults.is_empty() && net.to_string() != text => {
            vec![Cause::invalid(field, &text.into(), &format!("must be in canonical form (\"{net}\")"))]
        }
        _ => faults,
    }
}

/// What a client should hear of an address that is accepted.
pub(super) fn ip_warning(field: &str, text: &str) -> Option<String> {
    let meant = sloppy_ip(text)?;
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => (v6.to_string() != text)
            .then(|| format!("{field}: IPv6 address \"{text}\" should be in RFC 5952 canonical format (\"{v6}\")")),
        Ok(IpAddr::V4(_)) => None,
        _ => Some(format!("{field}: non-standard IP address \"{text}\" is invalid: use \"{meant}\"")),
    }
}

/// What a client should hear of a range that is accepted.
pub(super) fn range_warning(field: &str, text: &str) -> Option<String> {
    let net = text.parse::<ipnet::Ipv6Net>().ok()?;
    let shown = net.to_string();
    (shown != text)
        .then(|| format!("{field}: IPv6 CIDR value \"{text}\" should be in RFC 5952 canonical format (\"{shown}\")"))
}
