use std::collections::BTreeMap;
use std::path::Path;

use super::merge::merge;
use super::*;

fn pairs(items: &[(&str, &str)]) -> BTreeMap<String, String> {
    items.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn of(flags: &[(&str, &str)], variables: &[(&str, &str)], file: Option<&str>) -> Result<Config, ConfigError> {
    let inputs = Inputs { flags: pairs(flags), variables: pairs(variables), file: None };
    merge(&inputs, file.map(|text| (Path::new("/etc/edgesvc/config.yaml"), text)))
}

fn faults(result: Result<Config, ConfigError>) -> Vec<String> {
    match result {
        Err(ConfigError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("no problems: {other:?}"),
    }
}

#[test]
fn nothing_said_gives_the_defaults() {
    let config = of(&[], &[], None).unwrap();
    assert_eq!(config.listen, Some("127.0.0.1:6443".parse().unwrap()));
    assert_eq!(config.cluster_dns, ["10.43.0.10".parse::<IpAddr>().unwrap()]);
    assert_eq!(config.node_port_range, 30000..=32767);
    assert_eq!(config.socket(), Path::new("/run/edgesvc/edgesvc.sock"));
    assert_eq!(config.proxy_mode, ProxyMode::Nftables);
    assert_eq!(config.log_filter, None);
}

#[test]
fn the_shipped_file_says_exactly_the_defaults() {
    let text = include_str!("../../config/edgesvc.yaml");
    assert_eq!(of(&[], &[], Some(text)).unwrap(), of(&[], &[], None).unwrap());
    for setting in &SETTINGS {
        let key = format!("{}:", setting.name);
        assert!(text.lines().any(|line| line.starts_with(&key)), "{key} is missing");
    }
}

#[test]
fn the_printed_configuration_can_be_read_again() {
    let config = of(
        &[
            ("service-cluster-ip-range", "10.96.0.0/12,fd00:96::/112"),
            ("load-balancer-pool", "192.168.1.240/28, 192.168.2.1-192.168.2.5"),
            ("cluster-dns", "none"),
        ],
        &[],
        None,
    )
    .unwrap();
    assert_eq!(of(&[], &[], Some(&config.to_string())).unwrap(), config);
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let file = Some("listen: 127.0.0.1:1\ncluster-domain: file.test\nlog-level: debug\n");
    let config = of(
        &[("listen", "127.0.0.1:3")],
        &[("EDGESVC_LISTEN", "127.0.0.1:2"), ("EDGESVC_CLUSTER_DOMAIN", "env.test"), ("EDGESVC_LOG", "edgesvc=trace")],
        file,
    )
    .unwrap();
    assert_eq!(config.listen.unwrap().port(), 3);
    assert_eq!(config.cluster_domain, "env.test");
    assert_eq!(config.log_level, LogLevel::Debug);
    assert_eq!(config.log_filter.as_deref(), Some("edgesvc=trace"));
}

#[test]
fn all_problems_come_at_once_with_their_places() {
    let found = faults(of(
        &[("listen", "localhost")],
        &[("EDGESVC_PROXY_MODE", "ipvs")],
        Some(
            "cluster-domain: Upper\nlisten-port: 80\nlog-level: [loud]\nservice-cluster-ip-range:\n- 10.43.0.0/16\n- 10.44.0.0/16\n",
        ),
    ));
    for expected in [
        "--listen: \"localhost\": must be ADDR:PORT",
        "EDGESVC_PROXY_MODE: \"ipvs\": the mode ipvs is not supported yet",
        "/etc/edgesvc/config.yaml:1: cluster-domain: \"Upper\": a lowercase",
        "/etc/edgesvc/config.yaml:2: listen-port: no such setting",
        "/etc/edgesvc/config.yaml:3: log-level: \"loud\": must be error",
        "/etc/edgesvc/config.yaml:4: service-cluster-ip-range: \"10.43.0.0/16,10.44.0.0/16\": must be one network, or one IPv4 and one IPv6",
    ] {
        assert!(found.iter().any(|line| line.starts_with(expected)), "{expected} is not in {found:#?}");
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn files_that_are_not_settings_are_refused_with_their_line() {
    for (text, expected) in [
        ("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", ":2: listen: stands there twice: first on line 1"),
        ("dataDir: /x\n", ":1: dataDir: no such setting; did you mean data-dir?"),
        ("listen:\n  host: x\n", ":1: listen: must be a value or a list of values"),
        ("cluster-cidr:\n- 10.0.0.0/8\n- [1]\n", ":3: cluster-cidr: every entry of the list"),
        ("- listen\n", ":1: not a mapping of settings"),
        ("a: &x [1]\nb: *x\n", "not a mapping of settings"),
        ("a: [\n", "not a mapping of settings"),
    ] {
        let found = faults(of(&[], &[], Some(text)));
        assert!(found.iter().any(|line| line.contains(expected)), "{text}: {found:#?}");
    }
}

#[test]
fn an_empty_file_or_key_says_nothing() {
    let defaults = of(&[], &[], None).unwrap();
    for text in ["", "# only a remark\n", "---\n", "listen:\ncluster-cidr: []\n"] {
        assert_eq!(of(&[], &[], Some(text)).unwrap(), defaults, "{text:?}");
    }
}

#[test]
fn dns_addresses_lie_in_the_range_and_are_not_the_first() {
    let dual = ("service-cluster-ip-range", "10.96.0.0/16,fd00:96::/112");
    let config = of(&[dual], &[], None).unwrap();
    assert_eq!(config.value_of("cluster-dns"), "10.96.0.10,fd00:96::a");
    for (given, expected) in [
        ("10.97.0.10", "must lie in the service range 10.96.0.0/16,fd00:96::/112"),
        ("10.96.0.1", "which the Service default/kubernetes takes"),
        ("10.96.0.0", "network's own or broadcast"),
        ("10.96.255.255", "network's own or broadcast"),
        ("10.96.0.10,10.96.0.11", "at most one address a family"),
        ("dns", "must be an IP address"),
    ] {
        let found = faults(of(&[dual, ("cluster-dns", given)], &[], None));
        assert!(found.iter().any(|line| line.contains(expected)), "{given}: {found:#?}");
    }
    assert!(of(&[("cluster-dns", "none")], &[], None).unwrap().cluster_dns.is_empty());
}

#[test]
fn a_range_too_small_for_dns_asks_for_an_address() {
    let small = ("service-cluster-ip-range", "10.96.0.0/29");
    let found = faults(of(&[small], &[], None));
    assert!(found.iter().any(|line| line.contains("give --cluster-dns an address of it, or none")), "{found:#?}");
    assert!(of(&[small, ("cluster-dns", "10.96.0.2")], &[], None).is_ok());
    assert!(of(&[small, ("cluster-dns", "none")], &[], None).is_ok());
    assert!(of(&[("service-cluster-ip-range", "10.96.0.0/28")], &[], None).is_ok());
}

#[test]
fn ranges_that_overlap_are_refused() {
    for (name, text) in [
        ("cluster-cidr", "10.43.0.0/16"),
        ("external-ip-cidrs", "10.43.7.0/24"),
        ("load-balancer-pool", "10.42.0.0-10.44.0.0"),
        ("load-balancer-pool", "10.43.1.1"),
        ("listen", "10.43.0.1:6443"),
        ("listen", "192.168.1.1:30001"),
        ("metrics-listen", "127.0.0.1:6443"),
        ("upstream-dns", "10.43.0.10"),
        ("upstream-dns", "0.0.0.0"),
        ("nodeport-addresses", "10.0.0.0/8,10.0.0.0/8"),
        ("service-cluster-ip-range", ""),
        ("listen", "127.0.0.1:1,127.0.0.1:2"),
        ("log-level", ""),
        ("data-dir", ""),
    ] {
        let found = faults(of(&[(name, text)], &[], None));
        assert!(found.iter().all(|line| line.starts_with(&format!("--{name}: "))), "{name} {text}: {found:#?}");
    }
}

#[test]
fn a_run_directory_must_leave_room_for_the_socket() {
    let found = faults(of(&[("run-dir", &format!("/{}", "r".repeat(100)))], &[], None));
    assert!(found.iter().any(|line| line.contains("longer than 107 bytes")), "{found:#?}");
}

#[test]
fn a_relative_directory_becomes_absolute() {
    let config = of(&[("data-dir", "state")], &[], None).unwrap();
    assert!(config.data_dir.is_absolute() && config.data_dir.ends_with("state"));
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let missing = Inputs { file: Some("/nonexistent/edgesvc.yaml".into()), ..Inputs::default() };
    assert!(matches!(load(&missing), Err(ConfigError::Unreadable { .. })));
    let variable = Inputs { variables: pairs(&[("EDGESVC_CONFIG", "/nonexistent/x")]), ..Inputs::default() };
    assert!(matches!(load(&variable), Err(ConfigError::Unreadable { .. })));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, "cluster-domain: box.test\n").unwrap();
    let named = Inputs { file: Some(path), ..Inputs::default() };
    assert_eq!(load(&named).unwrap().cluster_domain, "box.test");
}

#[test]
fn all_mistakes_in_the_settings_of_dns_come_at_once() {
    let found = faults(of(
        &[
            ("upstream-dns", "10.43.0.10"),
            ("dns-stub-zones", "a.cluster.local=1.1.1.1,b.example=0.0.0.0"),
            ("dns-listen", "0.0.0.0,10.43.0.9,192.168.1.1:30053"),
            ("dns-allow", ""),
            ("dns-ttl", "1h"),
            ("dns-rate-limit", "-1"),
            ("dns-autopath", "on"),
            ("dns-pod-records", "all"),
            ("dns-hosts", "hosts"),
            ("dns-ca-file", "ca.pem"),
        ],
        &[],
        None,
    ));
    for part in [
        "round for ever",
        "a.cluster.local=1.1.1.1:53",
        "b.example=0.0.0.0:53",
        "take the port of other resolvers",
        "10.43.0.9:53",
        "node port range",
        "nobody could ask",
        "dns-ttl",
        "dns-rate-limit",
        "dns-autopath",
        "dns-pod-records",
        "dns-hosts",
        "dns-ca-file",
    ] {
        assert!(found.iter().any(|fault| fault.contains(part)), "{part} is missing: {found:#?}");
    }
    let alone = faults(of(&[("cluster-dns", "none"), ("dns-listen", "192.168.1.1")], &[], None));
    assert!(alone.iter().any(|fault| fault.contains("cluster-dns is none")), "{alone:?}");
}

#[test]
fn a_forward_mark_is_one_bit_or_none() {
    use super::value::mark;
    assert_eq!((mark("0x2000"), mark("8192"), mark("none")), (Ok(Some(0x2000)), Ok(Some(0x2000)), Ok(None)));
    for wrong in ["", "0", "0x3", "0x", "bit", "-1", "0x100000000"] {
        assert!(mark(wrong).is_err(), "{wrong}");
    }
}

/// Commands beside the daemon read its settings as flags.
#[test]
fn what_a_configuration_says_of_each_setting_reads_as_the_same() {
    for given in [
        &[][..],
        &[
            ("service-cluster-ip-range", "10.43.0.0/16,fd43::/112"),
            ("dns-listen", "eth0,192.168.1.1:5353,br0:5300"),
            ("upstream-dns", "tls://1.1.1.1#dns.example,192.0.2.1"),
            ("dns-stub-zones", "corp.example=192.0.2.2"),
            ("nodeport-addresses", "primary,10.0.0.0/8"),
            ("mdns-links", "eth0"),
            ("load-balancer-pool", "192.0.2.10-192.0.2.20"),
            ("dataplane-counters", "traffic"),
        ],
        &[("cluster-dns", "none"), ("dns-hosts", "none"), ("mdns-links", "none"), ("forward-mark", "none")],
    ] {
        let config = of(given, &[], None).unwrap();
        let said: Vec<(&str, String)> = SETTINGS.iter().map(|one| (one.name, config.value_of(one.name))).collect();
        let said: Vec<(&str, &str)> = said.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(of(&said, &[], None).unwrap(), config, "{given:?}");
    }
}
