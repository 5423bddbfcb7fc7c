//! The table of settings: one row makes the flag, the variable, the key of the
//! file and the line of `edgesvc check`.

use std::collections::BTreeMap;

use super::defaults;
use super::problem::Source;

/// One setting of `edgesvc run`.
#[derive(Debug)]
pub struct Setting {
    /// The flag without dashes, and the key of the file.
    pub name: &'static str,
    /// What the help shows for the value.
    pub value_name: &'static str,
    /// The default, written as a flag's value; empty when there is none or it follows from others.
    pub default: &'static str,
    /// The default in words, for the help, where `default` is empty.
    pub default_words: &'static str,
    /// One sentence of help.
    pub help: &'static str,
}

impl Setting {
    /// `EDGESVC_SERVICE_CLUSTER_IP_RANGE` for `service-cluster-ip-range`.
    pub fn variable(&self) -> String {
        format!("EDGESVC_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

/// A value somebody gave, and where.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Where it was given.
    pub(super) source: Source,
    /// Comma-separated entries, or the entries of a YAML list.
    pub(super) words: Vec<String>,
}

impl Given {
    /// A value given as one text: a comma parts entries.
    pub(super) fn text(source: Source, text: &str) -> Given {
        let words = text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty());
        Given { source, words: words.collect() }
    }
}

/// One layer of settings by name: flags, environment, file.
pub(super) type Layer = BTreeMap<&'static str, Given>;

macro_rules! setting {
    ($name:literal, $value:literal, $default:expr, $words:literal, $help:literal) => {
        Setting { name: $name, value_name: $value, default: $default, default_words: $words, help: $help }
    };
}

/// Every setting, in the order of help, file and reports (design section 14).
pub const SETTINGS: [Setting; 29] = [
    setting!("data-dir", "DIR", defaults::DATA_DIR, "", "Where the store, the certificates and admin.kubeconfig live"),
    setting!(
        "run-dir",
        "DIR",
        defaults::RUN_DIR,
        "",
        "Where edgesvc.sock lives: the API over HTTP with peer credentials"
    ),
    setting!("listen", "ADDR:PORT|none", defaults::LISTEN, "", "Where the API is served over TLS"),
    setting!(
        "metrics-listen",
        "ADDR:PORT|none",
        defaults::METRICS_LISTEN,
        "",
        "Where /metrics is also served, over plain HTTP; the API has it in any case"
    ),
    setting!(
        "service-cluster-ip-range",
        "CIDR[,CIDR]",
        defaults::SERVICE_CLUSTER_IP_RANGE,
        "",
        "Where cluster IPs come from, at most one range a family"
    ),
    setting!("service-node-port-range", "A-B", defaults::SERVICE_NODE_PORT_RANGE, "", "Where node ports come from"),
    setting!(
        "nodeport-addresses",
        "CIDR|primary|LINK|localhost[,...]",
        "",
        "all local addresses but loopback",
        "Which local addresses answer on node ports; localhost adds loopback"
    ),
    setting!("cluster-domain", "NAME", defaults::CLUSTER_DOMAIN, "", "What names of Services end in"),
    setting!(
        "cluster-dns",
        "IP[,IP]|none",
        "",
        "the tenth address of each range",
        "Where DNS answers on port 53, UDP and TCP"
    ),
    setting!(
        "upstream-dns",
        "ADDR[:PORT]|tls://ADDR[:PORT]#NAME[,...]",
        "",
        "the system's real resolvers",
        "Who answers names outside the cluster domain"
    ),
    setting!(
        "dns-stub-zones",
        "DOMAIN=SERVER[,...]",
        "",
        "none",
        "Domains that other servers answer; a domain given twice has two servers"
    ),
    setting!("dns-hosts", "FILE|none", defaults::DNS_HOSTS, "", "A hosts file whose names clients know too"),
    setting!(
        "dns-ca-file",
        "FILE",
        "",
        "the system's certificates",
        "Certificates of the authorities that upstreams over TLS are believed by"
    ),
    setting!(
        "dns-listen",
        "ADDR[:PORT]|LINK[:PORT][,...]",
        "",
        "none",
        "Where DNS also answers the LAN: addresses of the box, or links whose addresses are followed"
    ),
    setting!(
        "dns-allow",
        "CIDR[,CIDR...]",
        defaults::DNS_ALLOW,
        "",
        "From where questions to --dns-listen are answered; others are refused"
    ),
    setting!(
        "dns-rate-limit",
        "N",
        defaults::DNS_RATE_LIMIT,
        "",
        "Answers a second over UDP to one source at --dns-listen; 0 is no limit"
    ),
    setting!("dns-ttl", "SECONDS", defaults::DNS_TTL, "", "How long clients may keep answers about Services"),
    setting!(
        "dns-pod-records",
        "disabled|insecure|verified",
        defaults::DNS_POD_RECORDS,
        "",
        "Whether 10-1-2-3.NAMESPACE.pod names exist: never, for any address, or for addresses of Pods"
    ),
    setting!(
        "dns-autopath",
        "true|false",
        defaults::DNS_AUTOPATH,
        "",
        "Answers a Pod's first question of a search path with what the last would find"
    ),
    setting!("dns-query-log", "true|false", defaults::DNS_QUERY_LOG, "", "Logs each DNS question at level info"),
    setting!(
        "mdns-links",
        "LINK[,LINK...]|none",
        "",
        "the links of the default routes",
        "Links where Services with the annotation edgesvc.io/mdns have a name on the LAN"
    ),
    setting!("cluster-cidr", "CIDR[,CIDR...]", "", "none", "Networks of pods, reached without masquerade"),
    setting!(
        "external-ip-cidrs",
        "CIDR[,CIDR...]",
        "",
        "none",
        "Where externalIPs of Services may lie; elsewhere they are refused"
    ),
    setting!(
        "load-balancer-pool",
        "CIDR|A-B[,...]",
        "",
        "none",
        "Addresses for Services of type LoadBalancer; not used yet"
    ),
    setting!("proxy-mode", "nftables|relay|none", defaults::PROXY_MODE, "", "How packets find their endpoint"),
    setting!(
        "forward-mark",
        "BIT|none",
        defaults::FORWARD_MARK,
        "",
        "The bit in the mark by which firewalls of others let packets of Services pass"
    ),
    setting!(
        "dataplane-counters",
        "connections|traffic",
        defaults::DATAPLANE_COUNTERS,
        "",
        "What the kernel counts of Services: new connections, at no cost for other packets, or packets and bytes too"
    ),
    setting!("log-level", "error|warn|info|debug|trace", defaults::LOG_LEVEL, "", "How much is logged to stderr"),
    setting!("log-format", "text|json", defaults::LOG_FORMAT, "", "How it is logged"),
];

/// The setting of a name.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    static TABLE: [Setting; 29] = SETTINGS;
    TABLE.iter().find(|setting| setting.name == name)
}

/// The setting's name most like `word`, when one is near: for "did you mean".
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = plain(word);
    SETTINGS
        .iter()
        .map(|setting| (distance(&wanted, &plain(setting.name)), setting.name))
        .min()
        .filter(|(far, name)| *far <= name.len() / 3)
        .map(|(_, name)| name)
}

/// How many letters must be added, dropped or changed to turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let change = row.get(j).copied().unwrap_or(usize::MAX - 1) + usize::from(left != *right);
            let drop = row.get(j + 1).copied().unwrap_or(usize::MAX - 1) + 1;
            let add = next.get(j).copied().unwrap_or(usize::MAX - 1) + 1;
            next.push(change.min(drop).min(add));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_the_flag_in_capitals() {
        let names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        assert!(names.contains(&"EDGESVC_SERVICE_CLUSTER_IP_RANGE".to_owned()));
        assert!(names.contains(&"EDGESVC_DATA_DIR".to_owned()));
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_setting() {
        assert_eq!(nearest("dataDir"), Some("data-dir"));
        assert_eq!(nearest("service_cluster_ip_range"), Some("service-cluster-ip-range"));
        assert_eq!(nearest("lissen"), Some("listen"));
        assert_eq!(nearest("colour"), None);
    }
}
