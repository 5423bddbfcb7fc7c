//! The name a Service has on the LAN (RFC 6762), and what its ports are called there
//! (RFC 6763), as annotation and ports say it.

use super::{Protocol, name};

/// On a Service: its name on the LAN, without the domain `local`.
pub const MDNS_ANNOTATION: &str = "edgesvc.io/mdns";

/// What Kubernetes writes before protocols that are its own.
const KUBERNETES: &str = "kubernetes.io/";

/// Ports known by number, and the service name (IANA's registry) of what answers there.
/// Those that people look for on a LAN; others are named in the manifest.
const KNOWN: [(u16, &str); 17] = [
    (21, "ftp"),
    (22, "ssh"),
    (53, "domain"),
    (80, "http"),
    (443, "https"),
    (445, "smb"),
    (554, "rtsp"),
    (631, "ipp"),
    (873, "rsync"),
    (1883, "mqtt"),
    (2049, "nfs"),
    (3389, "rdp"),
    (5432, "postgresql"),
    (5900, "rfb"),
    (8080, "http"),
    (8443, "https"),
    (8883, "secure-mqtt"),
];

/// The service name of a port: its appProtocol, else its own name, else what its number
/// is known for. What is no service name (RFC 6335) is passed over.
pub fn service_name(app_protocol: Option<&str>, port_name: &str, port: u16) -> Option<String> {
    let app = app_protocol.map(|app| match app.strip_prefix(KUBERNETES) {
        Some("h2c" | "ws") => "http".to_owned(),
        Some("wss") => "https".to_owned(),
        Some(other) => other.to_ascii_lowercase(),
        None => app.to_ascii_lowercase(),
    });
    let known = KNOWN.iter().find(|(number, _)| *number == port).map(|(_, name)| (*name).to_owned());
    let named = [app, Some(port_name.to_owned())].into_iter().flatten();
    named.filter(|text| name::port_name(text).is_empty()).chain(known).next()
}

/// The label that stands for a protocol: of all but TCP it is `_udp` (RFC 6763 section
/// 4.1.2).
pub fn protocol_label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "_tcp",
        Protocol::Udp | Protocol::Sctp => "_udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_called_by_its_app_protocol_its_name_or_its_number() {
        for (app, name, port, expected) in [
            (Some("mqtt"), "web", 80, Some("mqtt")),
            (Some("HTTP"), "", 9000, Some("http")),
            (Some("kubernetes.io/h2c"), "api", 9000, Some("http")),
            (Some("kubernetes.io/wss"), "api", 9000, Some("https")),
            (Some("example.com/own"), "ipp", 9000, Some("ipp")),
            (None, "web", 80, Some("web")),
            (None, "a-name-that-is-too-long", 22, Some("ssh")),
            (None, "", 443, Some("https")),
            (None, "8080", 8080, Some("http")),
            (None, "", 9000, None),
        ] {
            assert_eq!(service_name(app, name, port).as_deref(), expected, "{app:?} {name} {port}");
        }
    }
}
