//! Kernels that lack what we use: each fallback is taken, and named.

use super::kernels::{BOTH_FAMILIES, answering, both_answer, web};
use super::machine::*;
use crate::support::{CLIENT, NODE_ADDRESS, eventually};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// A Debian kernel without these modules, with the Service `web` of the daemon.
fn without(modules: &[&str]) -> Machine {
    serving(DEBIAN_13, modules, &web(""))
}

fn serving(kernel: Kernel, modules: &[&str], manifest: &str) -> Machine {
    let mut machine = Machine::boot(kernel);
    machine.hide(modules);
    for proto in ["tcp", "udp"] {
        machine.serve("backend1", proto, 8080);
        machine.serve("backend2", proto, 8080);
    }
    machine.start(BOTH_FAMILIES);
    machine.apply(manifest);
    machine
}

/// `web` with this schedule.
fn balanced(schedule: &str) -> String {
    let annotated = format!("  name: web\n  annotations: {{edgesvc.io/balance: {schedule}}}\nspec:");
    web("").replace("  name: web\nspec:", &annotated)
}

/// TCP and UDP reach the Service, at a cluster IP of each family and a node port.
fn serves(machine: &mut Machine) {
    for (proto, at, port) in [("tcp", "10.43.0.80", 80), ("udp", "fd43::80", 80), ("tcp", NODE_ADDRESS, 30080)] {
        eventually(SOON, || answering(&machine.ask_from(CLIENT, proto, at, port, 1)));
    }
}

/// Without these modules the relay takes over; the log and the doctor name this option.
fn relayed(modules: &[&str], option: &str) {
    let mut machine = without(modules);
    let log = machine.log();
    let warning = log.lines().find(|line| line.contains("falling back to --proxy-mode relay")).unwrap_or_default();
    assert!(warning.contains(option), "{option}: {log}");
    serves(&mut machine);
    let doctor = machine.sh(DOCTOR).text;
    let failure = doctor.lines().find(|line| line.starts_with("failure  kernel ")).unwrap_or_default();
    assert!(failure.contains(option), "{option}: {doctor}");
}

#[test]
fn without_nf_tables_the_relay_carries() {
    relayed(&["nf_tables"], "CONFIG_NF_TABLES,");
}

#[test]
fn without_translation_the_relay_carries() {
    relayed(&["nf_nat"], "CONFIG_NFT_NAT, CONFIG_NF_NAT");
}

#[test]
fn without_refusals_in_one_family_the_relay_carries() {
    relayed(&["nft_reject_ipv6"], "CONFIG_NFT_REJECT_IPV6");
}

#[test]
fn without_refusals_the_relay_carries() {
    relayed(&["nft_reject"], "CONFIG_NFT_REJECT,");
}

#[test]
fn without_random_choice_the_relay_carries() {
    relayed(&["nft_numgen"], "CONFIG_NFT_NUMGEN");
}

#[test]
fn without_hashes_chance_stands_in() {
    let mut machine = serving(DEBIAN_13, &["nft_hash"], &balanced("sh"));
    let log = machine.log();
    assert!(log.contains("CONFIG_NFT_HASH") && log.contains("are balanced at random"), "{log}");
    serves(&mut machine);
    both_answer(&mut machine, CLIENT, "tcp", "10.43.0.80", 80);
    let doctor = machine.sh(DOCTOR).text;
    let line = doctor.lines().find(|line| line.starts_with("warning  kernel ")).unwrap_or_default();
    assert!(line.contains("CONFIG_NFT_HASH") && doctor.contains("0 failed"), "{doctor}");
}

#[test]
fn without_a_word_of_conntrack_services_are_served() {
    let mut machine = serving(DEBIAN_13, &["nf_conntrack_netlink"], &balanced("lc"));
    let log = machine.log();
    assert!(log.contains("CONFIG_NF_CT_NETLINK") && log.contains("until they time out"), "{log}");
    serves(&mut machine);
    both_answer(&mut machine, CLIENT, "tcp", "10.43.0.80", 80);
    let doctor = machine.sh(DOCTOR).text;
    for check in ["kernel ", "connection events "] {
        let named =
            |line: &str| line.starts_with(&format!("warning  {check}")) && line.contains("CONFIG_NF_CT_NETLINK");
        assert!(doctor.lines().any(named) && doctor.contains("0 failed"), "{check}: {doctor}");
    }
}

#[test]
fn without_types_of_addresses_sets_stand_in() {
    sets_stand_in(DEBIAN_13);
}

#[test]
fn without_types_of_addresses_and_guards_sets_stand_in() {
    sets_stand_in(DEBIAN_11);
}

fn sets_stand_in(kernel: Kernel) {
    let mut machine = serving(kernel, &["nft_fib*"], &web(""));
    let log = machine.log();
    assert!(log.contains("CONFIG_NFT_FIB_IPV4") && log.contains("sets of the box's addresses are kept"), "{log}");
    serves(&mut machine);
    let doctor = machine.sh(DOCTOR).text;
    let line = doctor.lines().find(|line| line.starts_with("warning  kernel ")).unwrap_or_default();
    assert!(line.contains("CONFIG_NFT_FIB_IPV4") && doctor.contains("0 failed"), "{doctor}");
}

#[test]
fn without_dummy_links_a_pair_holds_the_addresses_of_dns() {
    let mut machine = without(&["dummy"]);
    let link = machine.ok("/foreign/bin/ip -d address show edgesvc0");
    assert!(link.contains("veth") && link.contains("10.43.0.10"), "{link}");
    serves(&mut machine);
}

#[test]
fn without_any_kind_of_link_loopback_holds_the_addresses_of_dns() {
    let mut machine = Machine::boot_with(DEBIAN_13, "alone");
    machine.hide(&["dummy", "veth", "bridge"]);
    machine.start(BOTH_FAMILIES);
    let log = machine.log();
    assert!(log.contains("edgesvc0 cannot be made") && log.contains("CONFIG_DUMMY"), "{log}");
    let addresses = machine.ok("/foreign/bin/ip address show lo");
    assert!(addresses.contains("10.43.0.10") && addresses.contains("fd43::a"), "{addresses}");
    let answer = machine.ok("nslookup kubernetes.default.svc.cluster.local 10.43.0.10");
    assert!(answer.contains("10.43.0.1"), "{answer}");
}

#[test]
fn without_ipv6_the_rest_is_served() {
    let mut machine = Machine::boot_with(DEBIAN_13, "alone ipv6.disable=1");
    machine.ok("/foreign/bin/ip address add 10.9.0.11/32 dev lo");
    machine.serve("node", "tcp", 8080);
    machine.start("");
    machine.apply(&web("").replace("RequireDualStack", "SingleStack").replace(", \"fd43::80\"", ""));
    eventually(SOON, || answering(&machine.ask_from("node", "tcp", "10.43.0.80", 80, 1)));
}
