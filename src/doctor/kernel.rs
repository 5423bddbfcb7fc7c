//! Checks of the kernel: what it can do, who else uses it, the size of its tables.

use super::facts::Facts;
use super::{Finding, failure, ok, unknown, warning};
use crate::dataplane::{FLOWS, Feature, OWNED_TABLES, Probed, SCTP};

/// What the check of SCTP is called.
const SCTP_CHECK: &str = "SCTP";
/// Shares of the conntrack table in use, in percent, at which to warn and to fail.
const CONNTRACK_WARN: u64 = 80;
const CONNTRACK_FULL: u64 = 98;
/// Shorter UDP timeouts forget a client between two of its packets.
const UDP_TIMEOUT_MIN_S: u64 = 10;
const UDP_STREAM_TIMEOUT_MIN_S: u64 = 30;

/// What mends the lack of what can be done without.
const SPARED: &str = "build these options in or load their modules; without them the rest is served";

pub(super) fn features(facts: &Facts) -> Finding {
    let name = "kernel";
    let features = match &facts.kernel {
        Probed::Denied(why) => return from_config(facts, why),
        Probed::Features(features) => features,
    };
    let told =
        |feature: &Feature| Some(format!("{} ({}: {})", feature.name, feature.config, feature.missing.as_ref()?));
    let needed = features.iter().filter(|feature| feature.without().is_none());
    let missing: Vec<String> = needed.filter_map(told).collect();
    if missing.is_empty() {
        // The others have checks of their own.
        let spared = features.iter().filter(|feature| ![OWNED_TABLES, SCTP].contains(&feature.name));
        let spared: Vec<String> =
            spared.filter_map(|feature| Some(format!("{}: {}", told(feature)?, feature.without()?))).collect();
        return match spared.is_empty() {
            true => ok(name, "has everything the dataplane needs"),
            false => warning(name, format!("lacks {}", spared.join("; ")), SPARED),
        };
    }
    let cause = format!("lacks {}", missing.join("; "));
    let mend = "build these options in or load their modules; --proxy-mode none leaves the kernel alone";
    if facts.nftables { failure(name, cause, mend) } else { warning(name, cause, mend) }
}

/// Without the right to ask: what the kernel's configuration says.
fn from_config(facts: &Facts, why: &str) -> Finding {
    const NEEDED: [&str; 8] =
        ["NF_TABLES", "NF_TABLES_IPV4", "NFT_CT", "NFT_NAT", "NFT_MASQ", "NFT_REJECT", "NFT_NUMGEN", "NF_CONNTRACK"];
    let Some(config) = &facts.kernel_config else { return unknown("kernel", why) };
    let set = |option: &&str| {
        config.lines().any(|line| line == format!("CONFIG_{option}=y") || line == format!("CONFIG_{option}=m"))
    };
    let missing: Vec<String> =
        NEEDED.iter().filter(|option| !set(option)).map(|option| format!("CONFIG_{option}")).collect();
    if missing.is_empty() {
        let spared: Vec<String> = ["NFT_FIB_IPV4", "NFT_HASH"]
            .iter()
            .filter(|option| !set(option))
            .map(|option| format!("CONFIG_{option}"))
            .collect();
        return match spared.is_empty() {
            true => ok("kernel", "its configuration has everything the dataplane needs"),
            false => warning("kernel", format!("its configuration lacks {}", spared.join(", ")), SPARED),
        };
    }
    failure("kernel", format!("its configuration lacks {}", missing.join(", ")), "build these options in")
}

pub(super) fn owned_tables(facts: &Facts) -> Finding {
    let name = "table owner";
    let Probed::Features(features) = &facts.kernel else {
        return unknown(name, "the kernel could not be asked");
    };
    match features.iter().find(|feature| feature.name == OWNED_TABLES) {
        Some(feature) if feature.missing.is_none() => {
            ok(name, "the kernel guards our tables (flags owner and persist)")
        }
        None => ok(name, "nothing to guard: see kernel"),
        Some(_) => warning(
            name,
            "the kernel (before 6.9) cannot guard our tables: `nft flush ruleset` of others removes them, and edgesvc puts them back",
            "Linux 6.9 or later; until then let firewalls reload by table",
        ),
    }
}

pub(super) fn sctp(facts: &Facts) -> Finding {
    let features = match &facts.kernel {
        Probed::Denied(why) => return unknown(SCTP_CHECK, why.clone()),
        Probed::Features(features) => features,
    };
    match features.iter().find(|feature| feature.name == SCTP) {
        None => unknown(SCTP_CHECK, "the kernel could not be asked"),
        Some(feature) => match &feature.missing {
            None => ok(SCTP_CHECK, "conntrack follows it"),
            Some(why) => warning(
                SCTP_CHECK,
                format!(
                    "conntrack does not follow it ({}), so {why}: SCTP ports of Services are left out",
                    feature.config
                ),
                "build this option in; Services without SCTP need nothing",
            ),
        },
    }
}

pub(super) fn other_proxies(facts: &Facts) -> Finding {
    let name = "other proxies";
    match &facts.neighbours {
        Err(why) => unknown(name, format!("nf_tables could not be read: {why}")),
        Ok(found) if found.proxies.is_empty() => ok(name, "no kube-proxy has left rules"),
        Ok(found) => warning(
            name,
            format!("rules of kube-proxy are still there: {}", found.proxies.join(", ")),
            "stop that proxy, then `kube-proxy --cleanup`, or delete these with nft; where both serve one address the first wins",
        ),
    }
}

pub(super) fn legacy_iptables(facts: &Facts) -> Finding {
    let name = "iptables-legacy";
    match &facts.legacy_tables {
        None => unknown(name, "/proc/net/ip_tables_names cannot be read"),
        Some(tables) if tables.is_empty() => ok(name, "not in use"),
        Some(tables) => warning(
            name,
            format!(
                "its tables {} are loaded: their rules apply too, and neither `nft list ruleset` nor `edgesvc trace` sees them",
                tables.join(", ")
            ),
            "look with iptables-legacy-save; move them to iptables-nft, then unload the modules iptable_*",
        ),
    }
}

pub(super) fn conntrack_size(facts: &Facts) -> Finding {
    let name = "conntrack size";
    let (Some(used), Some(max)) =
        (facts.sysctl("netfilter/nf_conntrack_count"), facts.sysctl("netfilter/nf_conntrack_max"))
    else {
        return ok(name, "not loaded yet");
    };
    let percent = used.saturating_mul(100).checked_div(max).unwrap_or(100);
    let cause = format!("{used} of {max} connections ({percent} %)");
    let mend = format!("sysctl -w net.netfilter.nf_conntrack_max={}", max.saturating_mul(2).max(131_072));
    match percent {
        CONNTRACK_FULL.. => failure(name, format!("{cause}: new ones are dropped"), mend),
        CONNTRACK_WARN.. => warning(name, cause, mend),
        _ => ok(name, cause),
    }
}

pub(super) fn udp_timeouts(facts: &Facts) -> Finding {
    let name = "UDP timeouts";
    let limits = [
        ("netfilter/nf_conntrack_udp_timeout", UDP_TIMEOUT_MIN_S, 30),
        ("netfilter/nf_conntrack_udp_timeout_stream", UDP_STREAM_TIMEOUT_MIN_S, 120),
    ];
    for (path, min, usual) in limits {
        if let Some(seconds) = facts.sysctl(path).filter(|seconds| *seconds < min) {
            let sysctl = format!("net.{}", path.replace('/', "."));
            let cause = format!("{sysctl} is {seconds} s: a client that pauses longer changes its endpoint");
            return warning(name, cause, format!("sysctl -w {sysctl}={usual}"));
        }
    }
    ok(name, "long enough for flows with pauses")
}

/// Whether conntrack tells of connections, which `lc`, `sed` and `nq` go by.
pub(super) fn connection_events(facts: &Facts) -> Finding {
    let name = "connection events";
    let without = "Services balanced by lc, sed or nq go round instead";
    let setting = "netfilter/nf_conntrack_events";
    if let Probed::Features(features) = &facts.kernel
        && let Some(flows) = features.iter().find(|feature| feature.name == FLOWS && feature.missing.is_some())
    {
        let cause = format!("conntrack cannot be read ({}): {without}", flows.config);
        return warning(name, cause, "build this option in or load its module");
    }
    match (facts.sysctl(setting), facts.sysctl("netfilter/nf_conntrack_max")) {
        (Some(0), _) => {
            let cause = format!("net.{} is 0: {without}", setting.replace('/', "."));
            warning(name, cause, "sysctl -w net.netfilter.nf_conntrack_events=1")
        }
        (Some(_), _) => ok(name, "conntrack tells of connections"),
        (None, Some(_)) => warning(
            name,
            format!("the kernel cannot tell of connections (CONFIG_NF_CONNTRACK_EVENTS): {without}"),
            "build this option in",
        ),
        (None, None) => ok(name, "not loaded yet"),
    }
}
