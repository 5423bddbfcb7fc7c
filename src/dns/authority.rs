//! What the zone is called and how it answers: the part of an answer that does
//! not change while the process lives. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;

use super::record::{Data, Owner, Record, Soa};
use crate::model::name;

/// Longest cluster domain: `<service>.<namespace>.svc.` before it must still fit
/// a name of 253 characters, and so must `_<port>._<proto>.` before that.
pub const DOMAIN_LENGTH_MAX: usize = 96;
/// Longest TTL in seconds (spec/dns.md section 2).
pub const TTL_SECONDS_MAX: u32 = 3600;
/// Bytes of a name in a message, and of a label (RFC 1035 section 2.3.4).
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: u8 = 63;
/// Longest TTL of the SOA record itself, in seconds.
const SOA_TTL_SECONDS_MAX: u32 = 300;

/// How pod names `<ip-dashed>.<namespace>.pod.<zone>` are answered
/// (spec/dns.md section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodMode {
    /// They do not exist.
    Disabled,
    /// Any address in an existing namespace is echoed.
    #[default]
    Insecure,
    /// Only the address of a Pod of that namespace ([`super::Change::Pod`]).
    Verified,
}

/// Why a zone cannot be served under these options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The cluster domain is not a DNS name.
    #[error("cluster domain {domain:?}: {fault}")]
    Domain {
        /// What was given.
        domain: String,
        /// The broken rule, in Kubernetes' words.
        fault: String,
    },
    /// The TTL is out of range.
    #[error("DNS TTL {0}: must be between 0 and {TTL_SECONDS_MAX} seconds")]
    Ttl(u32),
}

/// Names and rules of the zone.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    /// The zone, absolute, lower case.
    pub(crate) zone: Arc<Name>,
    /// `svc.<zone>`
    pub(crate) services: Name,
    /// The same as it is written in a message.
    services_wire: Box<[u8]>,
    /// `ns.dns.<zone>`: the zone's name server.
    pub(crate) name_server: Arc<Name>,
    hostmaster: Arc<Name>,
    /// Seconds.
    pub(crate) ttl: u32,
    pub(crate) pod_mode: PodMode,
    /// The server's own addresses, which the name server's name resolves to.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Authority {
    pub(crate) fn new(
        domain: &str,
        ttl: u32,
        pod_mode: PodMode,
        addresses: Vec<IpAddr>,
    ) -> Result<Authority, OptionsError> {
        if ttl > TTL_SECONDS_MAX {
            return Err(OptionsError::Ttl(ttl));
        }
        let text = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        let refused = |fault: String| OptionsError::Domain { domain: domain.to_owned(), fault };
        if let Some(fault) = name::dns1123_subdomain(&text).into_iter().next() {
            return Err(refused(fault));
        }
        if text.len() > DOMAIN_LENGTH_MAX {
            return Err(refused(format!("must be no more than {DOMAIN_LENGTH_MAX} characters")));
        }
        let root = Name::root();
        let zone = under(text.split('.'), &root);
        let made = zone.and_then(|zone| {
            let services = under(["svc"], &zone)?;
            Some(Authority {
                services_wire: wire(&services.iter().collect::<Vec<_>>(), &[0])?,
                services,
                name_server: under(["ns", "dns"], &zone)?.into(),
                hostmaster: under(["hostmaster"], &zone)?.into(),
                zone: zone.into(),
                ttl,
                pod_mode,
                addresses,
            })
        });
        made.ok_or_else(|| refused("must consist of labels of at most 63 characters".to_owned()))
    }

    /// `<service>.<namespace>.svc.<zone>`; none if the whole is too long for DNS.
    pub(crate) fn service_name(&self, namespace: &str, service: &str) -> Option<Name> {
        under([service, namespace], &self.services)
    }

    /// `<host>.<service>.<namespace>.svc.<zone>`; none if it is too long for DNS.
    pub(crate) fn endpoint_name(&self, namespace: &str, service: &str, host: &str) -> Option<Name> {
        under([host, service, namespace], &self.services)
    }

    /// `<service>.<namespace>.svc.<zone>` as SRV records have it; none if it is too long for DNS.
    pub(crate) fn service_target(&self, namespace: &str, service: &str) -> Option<Box<[u8]>> {
        wire(&[service, namespace].map(str::as_bytes), &self.services_wire)
    }

    /// The same of an endpoint.
    pub(crate) fn endpoint_target(&self, namespace: &str, service: &str, host: &str) -> Option<Box<[u8]>> {
        wire(&[host, service, namespace].map(str::as_bytes), &self.services_wire)
    }

    /// The namespace whose Services `name` is about, in lower case.
    pub(crate) fn namespace_of(&self, name: &Name) -> Option<String> {
        let lower = name.to_lowercase();
        let place = lower.num_labels().checked_sub(self.services.num_labels() + 1)?;
        let namespace = lower.iter().nth(place.into()).filter(|_| self.services.zone_of(&lower))?;
        String::from_utf8(namespace.to_vec()).ok()
    }

    /// The SOA record of `origin`: the zone, or a reverse zone.
    pub(crate) fn soa(&self, origin: Owner, serial: u32) -> Record {
        let soa = Soa { mname: self.name_server.clone(), rname: self.hostmaster.clone(), serial, minimum: self.ttl };
        Record { owner: origin, ttl: self.ttl.min(SOA_TTL_SECONDS_MAX), data: Data::Soa(Box::new(soa)) }
    }
}

/// The absolute name of `labels` under `suffix`; none if it is too long for DNS.
pub(crate) fn under<'a>(labels: impl IntoIterator<Item = &'a str>, suffix: &Name) -> Option<Name> {
    let mut whole = Name::new();
    for label in labels {
        whole = whole.append_label(label.as_bytes()).ok()?;
    }
    whole.append_name(suffix).ok()
}

/// `labels` under a suffix, as they are written in a message (RFC 1035 section 3.1).
fn wire(labels: &[&[u8]], suffix: &[u8]) -> Option<Box<[u8]>> {
    let length = labels.iter().map(|label| 1 + label.len()).sum::<usize>() + suffix.len();
    if length > NAME_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    for label in labels {
        bytes.push(u8::try_from(label.len()).ok().filter(|length| (1..=LABEL_BYTES_MAX).contains(length))?);
        bytes.extend_from_slice(label);
    }
    bytes.extend_from_slice(suffix);
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(domain: &str, ttl: u32) -> Result<Authority, OptionsError> {
        Authority::new(domain, ttl, PodMode::Insecure, vec![])
    }

    #[test]
    fn a_domain_may_end_in_a_dot_and_is_kept_in_lower_case() {
        let authority = made("Cluster.Local.", 30).unwrap();
        assert_eq!(authority.zone.to_string(), "cluster.local.");
        assert_eq!(authority.service_name("dns", "a").unwrap().to_string(), "a.dns.svc.cluster.local.");
    }

    #[test]
    fn a_target_is_written_as_the_name_is() {
        use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

        let authority = made("cluster.local", 30).unwrap();
        for (namespace, service, host) in
            [("dns", "a", "10-0-0-1"), (&"n".repeat(63), &"s".repeat(63), &"h".repeat(63)), ("n", "s", &"h".repeat(64))]
        {
            let read = |wire: Option<Box<[u8]>>| wire.map(|wire| Name::read(&mut BinDecoder::new(&wire)).unwrap());
            assert_eq!(read(authority.service_target(namespace, service)), authority.service_name(namespace, service));
            let target = authority.endpoint_target(namespace, service, host);
            assert_eq!(read(target), authority.endpoint_name(namespace, service, host));
        }
        let long = made(&["d".repeat(63), "e".repeat(32)].join("."), 30).unwrap();
        let n = "n".repeat(63);
        assert_eq!((long.endpoint_target(&n, &n, &n), long.endpoint_name(&n, &n, &n)), (None, None));
    }

    #[test]
    fn bad_domains_and_times_are_refused_by_name() {
        for domain in ["", "a..b", "-a", "a b", &"a.".repeat(60)] {
            assert!(matches!(made(domain, 30), Err(OptionsError::Domain { .. })), "{domain}");
        }
        assert_eq!(made("cluster.local", 3601).unwrap_err(), OptionsError::Ttl(3601));
    }
}
