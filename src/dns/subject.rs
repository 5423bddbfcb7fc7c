//! What a name asks about: a parse of the question's name, nothing looked up.
//! Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;

use super::reverse::Reverse;

/// What a name asks about. All texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// The zone itself.
    Apex,
    /// `svc.<zone>` or `pod.<zone>`.
    Branch,
    /// `dns-version.<zone>`
    SchemaVersion,
    /// `ns.dns.<zone>`
    NameServer,
    /// `<namespace>.svc.<zone>` or `<namespace>.pod.<zone>`
    Namespace(&'a str),
    /// `[<part>.]<service>.<namespace>.svc.<zone>`
    Service { namespace: &'a str, service: &'a str, part: Part<'a> },
    /// `<ip-dashed>.<namespace>.pod.<zone>`
    Pod { namespace: &'a str, host: &'a str },
    /// In a reverse tree.
    Reverse(Reverse),
    /// Inside the zone, but no such form.
    Nothing,
}

/// What stands before a Service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Nothing: the Service as a whole.
    Whole,
    /// `<host>`: one endpoint.
    Host(&'a str),
    /// `_<port>._<protocol>`, without the underscores.
    Port { name: &'a str, protocol: &'a str },
}

impl<'a> Subject<'a> {
    /// Parses `name`, which is in lower case, for the zone `zone`. None: the name
    /// lies outside and is no reverse name.
    pub(crate) fn of(name: &'a Name, zone: &Name) -> Option<Subject<'a>> {
        let mut labels = name.iter();
        if zone.iter().rev().all(|expected| labels.next_back() == Some(expected)) {
            return Some(Self::within(labels));
        }
        Reverse::of(name).map(Subject::Reverse)
    }

    /// `labels`: what stands before the zone.
    fn within(labels: impl DoubleEndedIterator<Item = &'a [u8]>) -> Subject<'a> {
        // The longest form has five labels; a sixth is enough to know it is none.
        let mut parts = [""; 6];
        let mut count = 0;
        for (part, label) in parts.iter_mut().zip(labels.rev()) {
            let Ok(text) = std::str::from_utf8(label) else { return Subject::Nothing };
            *part = text;
            count += 1;
        }
        match (count, parts) {
            (0, _) => Subject::Apex,
            (1, ["svc" | "pod", ..]) => Subject::Branch,
            (1, ["dns-version", ..]) => Subject::SchemaVersion,
            (2, ["dns", "ns", ..]) => Subject::NameServer,
            (2, ["svc" | "pod", namespace, ..]) => Subject::Namespace(namespace),
            (3, ["pod", namespace, host, ..]) => Subject::Pod { namespace, host },
            (3, ["svc", namespace, service, ..]) => Subject::Service { namespace, service, part: Part::Whole },
            (4, ["svc", namespace, service, host, ..]) => {
                Subject::Service { namespace, service, part: Part::Host(host) }
            }
            (5, ["svc", namespace, service, protocol, port, _]) => {
                let part = Part::Port { name: without_underscore(port), protocol: without_underscore(protocol) };
                Subject::Service { namespace, service, part }
            }
            _ => Subject::Nothing,
        }
    }
}

fn without_underscore(label: &str) -> &str {
    label.strip_prefix('_').unwrap_or(label)
}

/// The host label of an endpoint without a host name (spec/dns.md section 1).
pub(crate) fn dashed(addr: IpAddr) -> String {
    let mut label = addr.to_string().replace(['.', ':'], "-");
    if label.ends_with('-') {
        label.push('0');
    }
    label
}

/// The address a dashed label spells, in any spelling (spec/dns.md section 4).
pub(crate) fn undashed(label: &str) -> Option<IpAddr> {
    let dashes = label.bytes().filter(|byte| *byte == b'-').count();
    if dashes == 3 && !label.contains("--") {
        label.replace('-', ".").parse::<Ipv4Addr>().ok().map(IpAddr::from)
    } else {
        label.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject_of(text: &str) -> String {
        let zone = Name::from_ascii("cluster.local.").unwrap();
        let name = Name::from_ascii(text).unwrap();
        format!("{:?}", Subject::of(&name, &zone))
    }

    #[test]
    fn every_form_of_name_is_recognised() {
        let cases = [
            ("cluster.local.", "Some(Apex)"),
            ("svc.cluster.local.", "Some(Branch)"),
            ("pod.cluster.local.", "Some(Branch)"),
            ("foo.cluster.local.", "Some(Nothing)"),
            ("dns.cluster.local.", "Some(Nothing)"),
            ("ns.dns.cluster.local.", "Some(NameServer)"),
            ("dns-version.cluster.local.", "Some(SchemaVersion)"),
            ("x.svc.cluster.local.", "Some(Namespace(\"x\"))"),
            ("a.x.svc.cluster.local.", "Some(Service { namespace: \"x\", service: \"a\", part: Whole })"),
            ("h.a.x.svc.cluster.local.", "Some(Service { namespace: \"x\", service: \"a\", part: Host(\"h\") })"),
            (
                "_p._tcp.a.x.svc.cluster.local.",
                "Some(Service { namespace: \"x\", service: \"a\", part: Port { name: \"p\", protocol: \"tcp\" } })",
            ),
            ("c._p._tcp.a.x.svc.cluster.local.", "Some(Nothing)"),
            ("d.c._p._tcp.a.x.svc.cluster.local.", "Some(Nothing)"),
            ("1-2-3-4.x.pod.cluster.local.", "Some(Pod { namespace: \"x\", host: \"1-2-3-4\" })"),
            ("a.1-2-3-4.x.pod.cluster.local.", "Some(Nothing)"),
            ("www.example.com.", "None"),
            ("local.", "None"),
            (".", "None"),
            ("xcluster.local.", "None"),
            ("1.0.96.10.in-addr.arpa.", "Some(Reverse(Address(10.96.0.1)))"),
            ("arpa.", "None"),
        ];
        for (name, expected) in cases {
            assert_eq!(subject_of(name), expected, "{name}");
        }
    }

    #[test]
    fn dashed_labels_and_addresses_correspond() {
        for (addr, label) in [
            ("10.244.9.2", "10-244-9-2"),
            ("2001:db8::1", "2001-db8--1"),
            ("2001:db8::", "2001-db8--0"),
            ("::1", "--1"),
        ] {
            let addr: IpAddr = addr.parse().unwrap();
            assert_eq!(dashed(addr), label);
            assert_eq!(undashed(label), Some(addr));
        }
        for label in ["x", "1-2-3", "1-2-3-4-5", "1-2--3-4-5-6-7-8-9", "256-0-0-1", "01-2-3-4", ""] {
            assert_eq!(undashed(label), None, "{label}");
        }
    }
}
