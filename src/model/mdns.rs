//! The name a Service has on the LAN (RFC 6762), and what its ports are called there
//! (RFC 6763), as annotation and ports say it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Protocol, name};

/// On a Service: its name on the LAN, without the domain `local`.
pub const MDNS_ANNOTATION: &str = "edgesvc.io/mdns";

/// On a Service: what its instances say of themselves (RFC 6763 section 6), as `path=/,version=1`
/// or as a JSON object.
pub const MDNS_TXT_ANNOTATION: &str = "edgesvc.io/mdns-txt";

/// Bytes of one attribute, which its length is written in one byte of, and of all of them,
/// which fit one packet (RFC 6763 sections 6.1 and 6.2).
const ATTRIBUTE_BYTES_MAX: usize = 255;
const TXT_BYTES_MAX: usize = 1300;

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

/// The data of a TXT record that says these attributes, or what is wrong with them. Commas
/// part attributes, and keep their order; values with commas are written as JSON.
pub fn txt(text: &str) -> Result<Vec<u8>, String> {
    let attributes: Vec<String> = if text.trim_start().starts_with('{') {
        let object: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        object.as_object().into_iter().flatten().map(|(key, value)| attribute(key, value)).collect::<Result<_, _>>()?
    } else {
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    };
    let mut keys = BTreeSet::new();
    let mut data = Vec::new();
    for attribute in &attributes {
        let key = attribute.split('=').next().unwrap_or_default();
        if key.is_empty() || !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(format!("the key of {attribute:?} must be of printable ASCII characters, and not empty"));
        }
        if !keys.insert(key.to_ascii_lowercase()) {
            return Err(format!("has the key {key:?} twice; capitals make no difference"));
        }
        let length = u8::try_from(attribute.len())
            .map_err(|_| format!("{key}: must have no more than {ATTRIBUTE_BYTES_MAX} bytes with its value"))?;
        data.push(length);
        data.extend_from_slice(attribute.as_bytes());
    }
    if data.len() > TXT_BYTES_MAX {
        return Err(format!("takes {} bytes with a byte for each key, and at most {TXT_BYTES_MAX} fit", data.len()));
    }
    // There is always a record, and in it a string (RFC 6763 section 6.1).
    Ok(if data.is_empty() { vec![0] } else { data })
}

fn attribute(key: &str, value: &Value) -> Result<String, String> {
    if key.contains('=') {
        return Err(format!("the key {key:?} must not contain '='"));
    }
    match value {
        Value::String(value) => Ok(format!("{key}={value}")),
        Value::Number(value) => Ok(format!("{key}={value}")),
        Value::Bool(true) => Ok(key.to_owned()),
        _ => Err(format!("{key}: must be a text, a number, or true for a key without a value")),
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

    #[test]
    fn attributes_are_written_as_strings_with_their_lengths() {
        for (text, expected) in [
            ("", &b"\0"[..]),
            ("path=/,version=1", b"\x06path=/\x09version=1"),
            (" b=2 , a ,", b"\x03b=2\x01a"),
            ("q=a=b", b"\x05q=a=b"),
            (r#"{"path": "/a,b", "n": 7, "flag": true, "none": ""}"#, b"\x04flag\x03n=7\x05none=\x09path=/a,b"),
            ("{}", b"\0"),
        ] {
            assert_eq!(txt(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(txt(&format!("k={}", "v".repeat(253))).map(|data| data.len()), Ok(256));
        let many =
            |count: usize| (0..count).map(|n| format!("k{n:02}={}", "v".repeat(95))).collect::<Vec<_>>().join(",");
        assert_eq!(txt(&many(13)).map(|data| data.len()), Ok(1300));
        for (wrong, part) in [
            ("=1", "not empty"),
            ("schl\u{fc}ssel=1", "printable ASCII"),
            ("a=1,A=2", "twice"),
            (&format!("k={}", "v".repeat(254)), "255 bytes"),
            (&many(14), "1300"),
            ("{", "JSON"),
            (r#"{"a": null}"#, "a: must be"),
            (r#"{"a=b": "c"}"#, "'='"),
            (r#"{"a": false}"#, "true for a key"),
        ] {
            let fault = txt(wrong).unwrap_err();
            assert!(fault.contains(part), "{wrong}: {fault}");
        }
    }
}
