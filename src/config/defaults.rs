//! Every default and every limit of the configuration, each with its reason.
//! `config/edgesvc.yaml` says the same to the user; a test holds the two equal.

use std::ops::RangeInclusive;

/// Where the configuration is read from when `--config` does not say; absent is fine.
pub const CONFIG_FILE: &str = "/etc/edgesvc/config.yaml";

/// State that must survive: the file hierarchy standard's place for it, and
/// what systemd's `StateDirectory=edgesvc` makes.
pub const DATA_DIR: &str = "/var/lib/edgesvc";

/// State that may go at a reboot: what systemd's `RuntimeDirectory=edgesvc` makes.
pub const RUN_DIR: &str = "/run/edgesvc";

/// The name of the API's Unix socket inside the run directory.
pub const SOCKET_NAME: &str = "edgesvc.sock";

/// Loopback, because an API that can redirect traffic is not offered to the
/// network unasked; 6443, because every Kubernetes client expects it.
pub const LISTEN: &str = "127.0.0.1:6443";

/// Off: `/metrics` on the API and the socket is enough for one box.
pub const METRICS_LISTEN: &str = "none";

/// Private, rarely used on home and plant networks, and the range k3s users
/// already know.
pub const SERVICE_CLUSTER_IP_RANGE: &str = "10.43.0.0/16";

/// Kubernetes' own range; below Linux's ephemeral ports (32768-60999).
pub const SERVICE_NODE_PORT_RANGE: &str = "30000-32767";

/// What every Service name ends in unless told otherwise, on every cluster.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// Which address of the service range DNS takes: the tenth, as kubeadm and k3s.
pub const CLUSTER_DNS_INDEX: u32 = 10;

/// Tables of the kernel: the only mode whose cost per packet does not grow.
pub const PROXY_MODE: &str = "nftables";

/// A bit that neither Kubernetes (0x4000, 0x8000), Docker's swarm, Tailscale (0xff0000)
/// nor wg-quick (51820) uses.
pub const FORWARD_MARK: &str = "0x2000";

/// What costs nothing for a packet.
pub const DATAPLANE_COUNTERS: &str = "connections";

/// About one line for each change a user would notice.
pub const LOG_LEVEL: &str = "info";

/// For people; `json` is for collectors.
pub const LOG_FORMAT: &str = "text";

/// The port of DNS, and of upstream servers given without one.
pub const DNS_PORT: u16 = 53;

/// The port of DNS over TLS.
pub const DNS_TLS_PORT: u16 = 853;

/// What the box's own programs know by name is what its clients expect to know.
pub const DNS_HOSTS: &str = "/etc/hosts";

/// Networks that no packet of the internet comes from: whoever opens DNS to the
/// LAN does not open it to the world.
pub const DNS_ALLOW: &str =
    "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,127.0.0.0/8,fc00::/7,fe80::/10,::1/128";

/// Above what a browser or a small office behind one address asks, and too little
/// for a forged flood to be worth it.
pub const DNS_RATE_LIMIT: &str = "100";

/// The largest rate that is still a limit.
pub const DNS_RATE_LIMIT_MAX: u32 = 1_000_000;

/// What clusters usually set: a moved headless Service is seen within that.
pub const DNS_TTL: &str = "30";

/// Longest time clients may be told to keep an answer, in seconds: CoreDNS' limit.
pub const DNS_TTL_MAX: u32 = 3600;

/// What clusters usually set, and what programs with certificates for such names expect.
pub const DNS_POD_RECORDS: &str = "insecure";

/// Off, as everywhere: it answers a name with an alias the client did not ask for.
pub const DNS_AUTOPATH: &str = "false";

/// Off: who asked what is private, and flash is small.
pub const DNS_QUERY_LOG: &str = "false";

/// IPv4 service ranges: a /8 is the largest private network there is, and a /30
/// is the smallest with an address left beside that of `kubernetes`.
pub const SERVICE_PREFIX_V4: RangeInclusive<u8> = 8..=30;

/// IPv6 service ranges: Kubernetes' allocator counts in 64 bits, so no shorter
/// than /64; no longer than /126 for the reason of the /30.
pub const SERVICE_PREFIX_V6: RangeInclusive<u8> = 64..=126;

/// One range a family: a Service has at most one cluster IP a family.
pub const SERVICE_RANGES_MAX: usize = 2;

/// Entries of one list: far above any real use, and small enough that a
/// mistaken file cannot make the dataplane's address sets large.
pub const LIST_ENTRIES_MAX: usize = 256;

/// Bytes of a configuration file: ours has under 5,000.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Bytes of a Unix socket's path without its final NUL (`sun_path` has 108).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Longest cluster domain: the longest Service name in front of it
/// (`label.label.svc.`, 132 bytes) must leave a legal DNS name of 253.
pub const CLUSTER_DOMAIN_BYTES_MAX: usize = 121;
