//! Beside firewalls of others: Docker's, firewalld's, and hand-written ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use edgesvc::dataplane::{self, Ceiling, Dataplane, Options};

use super::world::*;

/// What Docker 28 writes for one bridge, here v-b1, whose container publishes no port.
const DOCKER: &str = "
docker() { # iptables or ip6tables, subnet, container
  $1-nft-restore <<EOF
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i v-b1 -o v-b1 -j DROP
-A DOCKER-BRIDGE -o v-b1 -j DOCKER
-A DOCKER-CT -o v-b1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i v-b1 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i v-b1 ! -o v-b1 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o v-b1 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s $2 ! -o v-b1 -j MASQUERADE
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d $3 ! -i v-b1 -j DROP
COMMIT
EOF
}
docker iptables 10.1.1.0/24 10.1.1.2/32; docker ip6tables fd01:1::/64 fd01:1::2/128
";

/// firewalld 1.3 with a zone that lets nothing in; `$TRANSLATED` is its own rule for
/// forwarded ports, which `StrictForwardPorts=yes` of 2.3 leaves out.
const FIREWALLD: &str = "
nft -f - <<EOF
table inet firewalld
delete table inet firewalld
table inet firewalld {
  chain filter_POLICIES { meta l4proto { icmp, ipv6-icmp } accept; }
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname lo accept
    ct state invalid drop
    jump filter_POLICIES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    $TRANSLATED
    iifname lo accept
    ct state invalid drop
    jump filter_POLICIES
    reject with icmpx admin-prohibited
  }
  chain nat_PREROUTING { type nat hook prerouting priority dstnat + 10; policy accept; }
  chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept; }
}
EOF
";

/// Docker 29 with its nftables backend, started with --bridge-accept-fwmark=0x2000/0x2000.
const DOCKER_NFT: &str = "
nft -f - <<EOF
table ip docker-bridges {
  chain filter-forward-in__v-b1 {
    ct state established,related counter accept
    iifname v-b1 counter accept
    counter drop
  }
  map filter-forward-in-jumps { type ifname : verdict; elements = { v-b1 : jump filter-forward-in__v-b1 } }
  chain filter-FORWARD {
    type filter hook forward priority filter; policy accept;
    meta mark & 0x2000 == 0x2000 counter accept
    oifname vmap @filter-forward-in-jumps
  }
  chain raw-PREROUTING {
    type filter hook prerouting priority raw; policy accept;
    ip daddr 10.1.1.2 iifname != v-b1 counter drop
  }
}
EOF
";

/// Another forward chain, in nft's own words: by policy, and by its last rule.
const NATIVE: [&str; 2] = [
    "nft add table inet filter
     nft add chain inet filter forward '{ type filter hook forward priority 0; policy drop; }'",
    "nft add chain inet filter forward '{ policy accept; }'; nft flush chain inet filter forward
     nft add rule inet filter forward tcp dport 9 accept; nft add rule inet filter forward counter reject",
];

fn is_served(vip: &str) -> bool {
    names(&ask("client", "tcp", vip, 80, 1)) == set(&["b1"])
}

/// Whether a firewall keeps the client away from the endpoint's own address.
fn is_closed(addr: &str, port: u16) -> bool {
    names(&ask("client", "tcp", addr, port, 1)) != set(&["b1"])
}

/// Rules without counters and comments.
fn iptables() -> String {
    sh("iptables-nft-save; ip6tables-nft-save").lines().filter(|line| !line.starts_with(['#', ':'])).collect()
}

async fn converged(options: Options) -> Dataplane {
    let dataplane = Dataplane::open(options).unwrap();
    dataplane.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
    dataplane
}

async fn cleaned_up(dataplane: Dataplane) -> Vec<String> {
    drop(dataplane);
    until("the tables are free", || !sh("nft list ruleset").contains("flags owner")).await;
    dataplane::cleanup().unwrap()
}

#[test]
fn beside_docker_services_reach_containers_whose_ports_are_not_published() {
    in_world("firewalls::beside_docker_services_reach_containers_whose_ports_are_not_published", || async {
        let _server = serve("b1", 8080);
        sh(DOCKER);
        let before = iptables();
        assert!(is_closed("10.1.1.2", 8080), "Docker closes it");
        let alone = converged(Options { forward_mark: None, ..options() }).await;
        assert!(is_closed(VIP, 80) && is_closed(VIP6, 80) && iptables() == before, "no mark, no rule");
        let dataplane = take_over(alone, options(), Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
        assert!(is_served(VIP) && is_served(VIP6), "{}", sh("nft list ruleset"));
        assert_eq!(names(&ask("client", "udp", VIP, 80, 2)), set(&["b1"]));
        assert_eq!(names(&ask("client", "tcp", "10.1.9.1", 30080, 2)), set(&["b1"]));
        assert_eq!(names(&ask("b2", "tcp", VIP, 80, 2)), set(&["b1"]));
        assert!(is_closed("10.1.1.2", 8080), "nothing else is opened");
        let users = sh("iptables-nft -S DOCKER-USER");
        assert!(users.contains("--mark 0x2000/0x2000 -m comment --comment edgesvc -j ACCEPT"), "{users}");
        // Docker starts again, or somebody flushes.
        for damage in [DOCKER, "iptables-nft -F DOCKER-USER; ip6tables-nft -F DOCKER-USER"] {
            sh(damage);
            until(damage, || is_served(VIP) && is_served(VIP6)).await;
        }
        // The administrator's own rules go first, whenever they are written.
        sh("iptables-nft -A DOCKER-USER -s 10.1.9.2 -j DROP");
        until("the administrator's rule holds", || is_closed(VIP, 80)).await;
        assert_eq!(names(&ask("b2", "tcp", VIP, 80, 1)), set(&["b1"]));
        sh("iptables-nft -D DOCKER-USER -s 10.1.9.2 -j DROP; iptables-nft -A DOCKER-USER -j RETURN");
        until("before the end that Docker once wrote", || is_served(VIP)).await;
        sh("iptables-nft -D DOCKER-USER -j RETURN");
        // A process that is told to leave firewalls alone takes back what one before it did.
        let alone = take_over(dataplane, Options { forward_mark: None, ..options() }, Ceiling::default()).await;
        alone.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
        assert_eq!(iptables(), before);
        let dataplane = take_over(alone, options(), Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
        assert!(is_served(VIP));
        let removed = cleaned_up(dataplane).await;
        assert!(removed.contains(&"our rule in ip filter DOCKER-USER".to_owned()), "{removed:?}");
        assert_eq!(iptables(), before, "Docker's rules are as they were");
    });
}

#[test]
fn beside_docker_with_nftables_the_mark_is_what_it_accepts() {
    in_world("firewalls::beside_docker_with_nftables_the_mark_is_what_it_accepts", || async {
        let _server = serve("b1", 8080);
        sh(DOCKER_NFT);
        let before = sh("nft -s list table ip docker-bridges");
        let alone = converged(Options { forward_mark: None, ..options() }).await;
        assert!(is_closed("10.1.1.2", 8080) && is_closed(VIP, 80));
        let dataplane = take_over(alone, options(), Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
        assert!(is_served(VIP) && is_closed("10.1.1.2", 8080));
        assert_eq!(sh("nft -s list table ip docker-bridges"), before, "Docker's own table is left alone");
    });
}

#[test]
fn a_forward_chain_that_drops_by_policy_lets_services_pass() {
    in_world("firewalls::a_forward_chain_that_drops_by_policy_lets_services_pass", || async {
        let _server = serve("b1", 8080);
        sh("iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP");
        let _dataplane = with_web(web(&[1], None)).await;
        assert!(is_served(VIP) && is_served(VIP6));
        assert!(is_closed("10.1.1.2", 8080));
        for table in NATIVE {
            sh(table);
            until(table, || is_served(VIP) && is_served(VIP6)).await;
            assert!(is_closed("10.1.1.2", 8080), "{table}");
        }
        // One that opens needs no rule of ours.
        sh("nft flush chain inet filter forward; iptables-nft -P FORWARD ACCEPT; ip6tables-nft -P FORWARD ACCEPT");
        until("ours are gone", || !sh("nft list table inet filter; iptables-nft -S").contains("2000")).await;
        assert!(is_served(VIP));
    });
}

#[test]
fn beside_firewalld_services_work_and_go_on_when_it_is_reloaded() {
    in_world("firewalls::beside_firewalld_services_work_and_go_on_when_it_is_reloaded", || async {
        let _server = serve("b1", 8080);
        let own = FIREWALLD.replace("$TRANSLATED", "ct status dnat accept");
        sh(&own);
        assert!(is_closed("10.1.1.2", 8080));
        let dataplane = with_web(web(&[1], None)).await;
        let whole = || sh("nft list table inet firewalld");
        assert!(is_served(VIP) && is_served(VIP6));
        assert!(!whole().contains("edgesvc"), "its own rule is enough");
        let mut open = Talk::over("tcp", "client", VIP, 80);
        assert_eq!(open.say(), "b1");
        for _ in 0..3 {
            sh(&own);
            assert!(is_served(VIP) && is_served(VIP6));
            assert_eq!(open.say(), "b1");
        }
        let strict = FIREWALLD.replace("$TRANSLATED", "");
        for _ in 0..2 {
            sh(&strict);
            until("our rule is there", || is_served(VIP) && is_served(VIP6)).await;
            assert!(is_closed("10.1.1.2", 8080));
            assert_eq!(open.say(), "b1");
        }
        let removed = cleaned_up(dataplane).await;
        assert!(removed.contains(&"our rule in inet firewalld filter_FORWARD".to_owned()), "{removed:?}");
        assert!(!whole().contains("edgesvc"));
    });
}

#[test]
fn strict_reverse_path_filters_and_a_box_without_a_default_route_do_no_harm() {
    in_world("firewalls::strict_reverse_path_filters_and_a_box_without_a_default_route_do_no_harm", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let _dataplane = with_web(web(&[1, 2], None)).await;
        assert_eq!(sh("ip route show default; ip -6 route show default"), "");
        sh("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done");
        assert_eq!(sh("cat /proc/sys/net/ipv4/conf/edgesvc0/rp_filter"), "1\n");
        for from in ["client", "node", "b1"] {
            for (vip, port) in [(VIP, 80), (VIP6, 80), ("10.1.9.1", 30080), ("fd01:9::1", 30080)] {
                assert_eq!(names(&ask(from, "tcp", vip, port, 20)), set(&["b1", "b2"]), "{from} {vip}");
            }
            assert_eq!(names(&ask(from, "udp", VIP, 80, 20)), set(&["b1", "b2"]), "{from}");
        }
    });
}

/// Our base chains that every forwarded packet, or every one to the box, meets.
fn hooked() -> BTreeSet<String> {
    let text = sh("nft list table ip edgesvc; nft list table ip6 edgesvc");
    let mut chain = "";
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ") {
            chain = name.trim_end_matches(" {");
        }
        let every = ["hook forward", "hook postrouting", "hook input"].iter().any(|hook| line.contains(hook));
        if line.starts_with("type filter") && every {
            found.insert(chain.to_owned());
        }
    }
    found
}

#[test]
fn packets_meet_no_chain_of_ours_that_nothing_needs() {
    in_world("firewalls::packets_meet_no_chain_of_ours_that_nothing_needs", || async {
        let _server = serve("b1", 8080);
        let plain = web(&[1], None);
        let dataplane = with_web(plain.clone()).await;
        assert_eq!(hooked(), set(&[]));
        // A firewall, whatever it does, may look at the mark.
        sh("nft 'table inet theirs { chain forward { type filter hook forward priority 0; }; }'");
        until("packets are marked", || hooked() == set(&["mark-forwarded"])).await;
        let (dataplane, report) = restart(dataplane, &[&plain]).await;
        assert_eq!((report.operations, hooked()), (0, set(&["mark-forwarded"])), "and the next process adopts it");
        // A client that is to be remembered.
        let keeps = web(&[1], Some(10));
        dataplane.apply(change(&plain, &keeps)).await.unwrap();
        assert_eq!(hooked(), set(&["mark-forwarded", "remember-forwarded", "remember-local"]));
        assert!(is_served(VIP) && is_served(VIP6));
        sh("nft delete table inet theirs");
        dataplane.apply(change(&keeps, &plain)).await.unwrap();
        until("they are gone", || hooked().is_empty()).await;
        assert!(is_served(VIP) && is_served(VIP6));
        // Tables made anew serve the same, and so does the one that stands in meanwhile.
        sh("nft 'table inet theirs { chain forward { type filter hook forward priority 0; }; }'");
        dataplane.apply(change(&plain, &keeps)).await.unwrap();
        let other = Options { forward_mark: Some(0x4000), ..options() };
        let dataplane = take_over(dataplane, other, Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(keeps)]).await.unwrap();
        assert_eq!(hooked(), set(&["mark-forwarded", "remember-forwarded", "remember-local"]));
        assert!(sh("nft list table ip edgesvc").contains("0x00004000"));
        until("nothing stands in any more", || !sh("nft list tables").contains("stand-in")).await;
        assert!(is_served(VIP) && is_served(VIP6));
    });
}
