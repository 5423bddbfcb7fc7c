//! DNS as clients see it: real `dig` against the cluster address, from the
//! client, the node and a backend (spec: DNS-based service discovery 1.1.0).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use support::{
    CLIENT, Edgesvc, Home, NODE, Place, World, eventually, pod, serve_datagrams, service, stream, wait_until,
};

const SERVER: &str = "10.43.0.10";
const SOON: Duration = Duration::from_secs(10);

/// Waits until the sorted short answer is what it must be.
#[track_caller]
fn answers(world: &World, place: Place, question: &[&str], expected: &[&str]) {
    eventually(SOON, || {
        let lines = world.dig(place, SERVER, question);
        if lines == expected { Ok(()) } else { Err(format!("{place} asks {question:?}: {lines:?}, not {expected:?}")) }
    });
}

/// Waits until the answer has this status and carries the zone's SOA.
#[track_caller]
fn refuses(world: &World, question: &[&str], status: &str) {
    eventually(SOON, || {
        let text = world.dig_whole(CLIENT, SERVER, question);
        let says = text.contains(&format!("status: {status},")) && text.contains("ANSWER: 0,");
        let soa = text.contains("hostmaster.cluster.local. ");
        if says && soa { Ok(()) } else { Err(format!("{question:?} is not {status} with a SOA:\n{text}")) }
    });
}

fn headless() -> String {
    service("head", "head", 80, "8080", "  clusterIP: None\n").replace("name: http", "name: web")
}

#[test]
fn a_service_has_a_srv_and_ptr_records() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let address = edgesvc.cluster_ip("web");
    for place in [CLIENT, NODE, "backend1"] {
        answers(&world, place, &["web.default.svc.cluster.local", "A"], &[address.as_str()]);
    }
    answers(&world, CLIENT, &["+tcp", "web.default.svc.cluster.local", "A"], &[address.as_str()]);
    answers(&world, CLIENT, &["WEB.Default.svc.cluster.local", "A"], &[address.as_str()]);
    let srv = "0 100 80 web.default.svc.cluster.local.";
    answers(&world, CLIENT, &["_http._tcp.web.default.svc.cluster.local", "SRV"], &[srv]);
    answers(&world, CLIENT, &["-x", &address], &["web.default.svc.cluster.local."]);
    answers(&world, CLIENT, &["dns-version.cluster.local", "TXT"], &["\"1.1.0\""]);
}

#[test]
fn names_that_are_not_there_are_told_from_types_that_are_not_there() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    answers(&world, CLIENT, &["web.default.svc.cluster.local", "A"], &[edgesvc.cluster_ip("web").as_str()]);
    refuses(&world, &["web.default.svc.cluster.local", "AAAA"], "NOERROR");
    refuses(&world, &["web.default.svc.cluster.local", "TXT"], "NOERROR");
    refuses(&world, &["default.svc.cluster.local", "A"], "NOERROR");
    refuses(&world, &["nope.default.svc.cluster.local", "A"], "NXDOMAIN");
    refuses(&world, &["web.nons.svc.cluster.local", "A"], "NXDOMAIN");
    refuses(&world, &["_http._udp.web.default.svc.cluster.local", "SRV"], "NXDOMAIN");
}

#[test]
fn a_headless_service_answers_with_its_ready_endpoints() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "head", "10.9.0.11", 8080), pod("two", "head", "10.9.0.12", 8080), headless()]));
    answers(&world, CLIENT, &["head.default.svc.cluster.local", "A"], &["10.9.0.11", "10.9.0.12"]);
    answers(&world, CLIENT, &["10-9-0-11.head.default.svc.cluster.local", "A"], &["10.9.0.11"]);
    answers(
        &world,
        CLIENT,
        &["_web._tcp.head.default.svc.cluster.local", "SRV"],
        &["0 50 8080 10-9-0-11.head.default.svc.cluster.local.", "0 50 8080 10-9-0-12.head.default.svc.cluster.local."],
    );
    edgesvc.cli(&["delete", "pod", "two", "--now"]).ok();
    answers(&world, CLIENT, &["head.default.svc.cluster.local", "A"], &["10.9.0.11"]);
    edgesvc.cli(&["delete", "pod", "one", "--now"]).ok();
    refuses(&world, &["head.default.svc.cluster.local", "A"], "NXDOMAIN");
}

#[test]
fn a_pod_with_hostname_and_subdomain_has_its_name() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let named = pod("one", "head", "10.9.0.11", 8080).replace("spec:\n", "spec:\n  hostname: pet\n  subdomain: head\n");
    edgesvc.apply(&stream(&[named, headless()]));
    answers(&world, CLIENT, &["pet.head.default.svc.cluster.local", "A"], &["10.9.0.11"]);
    answers(&world, CLIENT, &["-x", "10.9.0.11"], &["pet.head.default.svc.cluster.local."]);
}

#[test]
fn an_external_name_is_a_cname() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[
        service("web", "web", 80, "8080", ""),
        "apiVersion: v1\nkind: Service\nmetadata: {name: alias}\nspec:\n  type: ExternalName\n  externalName:          web.default.svc.cluster.local\n"
            .to_owned(),
    ]));
    let address = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &["alias.default.svc.cluster.local", "CNAME"], &["web.default.svc.cluster.local."]);
    let expected = [address.as_str(), "web.default.svc.cluster.local."];
    answers(&world, CLIENT, &["alias.default.svc.cluster.local", "A"], &expected);
}

#[test]
fn reverse_names_of_a_further_range_are_ours_while_its_service_cidr_is_there() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let denied = |text: &str| text.contains("status: NXDOMAIN,") && text.contains("hostmaster.cluster.local. ");
    let asks = |address: &str, ours: bool| {
        // The grace of a range that is going is ten seconds.
        eventually(2 * SOON, || {
            let text = world.dig_whole(CLIENT, SERVER, &["-x", address]);
            if denied(&text) == ours { Ok(()) } else { Err(format!("{address} ours={ours}: {text}")) }
        });
    };
    asks("10.50.0.9", false);
    edgesvc.apply(
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: more}\n\
         spec: {cidrs: [10.50.0.0/24, \"fd50::/112\"]}\n",
    );
    for address in ["10.50.0.9", "fd50::9"] {
        asks(address, true);
    }
    edgesvc.apply(&service("web", "web", 80, "8080", "  clusterIP: 10.50.0.9\n"));
    answers(&world, CLIENT, &["-x", "10.50.0.9"], &["web.default.svc.cluster.local."]);
    edgesvc.cli(&["delete", "service/web"]).ok();
    edgesvc.cli(&["delete", "servicecidr/more", "--wait=false"]).ok();
    for address in ["10.50.0.9", "fd50::9"] {
        asks(address, false);
    }
}

#[test]
fn a_dual_stack_service_answers_in_both_families() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let ranges = "10.43.0.0/16,fd43::/112";
    let edgesvc = Edgesvc::start_in(&world, &home, &["--service-cluster-ip-range", ranges]);
    edgesvc.apply(&service("web", "web", 80, "8080", "  ipFamilyPolicy: RequireDualStack\n"));
    let four = edgesvc.field("service", "web", &["spec", "clusterIPs", "0"]).unwrap();
    let six = edgesvc.field("service", "web", &["spec", "clusterIPs", "1"]).unwrap();
    answers(&world, CLIENT, &["web.default.svc.cluster.local", "A"], &[four.as_str()]);
    answers(&world, CLIENT, &["web.default.svc.cluster.local", "AAAA"], &[six.as_str()]);
    answers(&world, CLIENT, &["-x", &six], &["web.default.svc.cluster.local."]);
    let over_six = world.dig(CLIENT, "fd43::a", &["web.default.svc.cluster.local", "A"]);
    assert_eq!(over_six, [four]);
}

/// A resolver that knows one address for every A question.
const UPSTREAM: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.9.0.13", 53))
while True:
    q, peer = s.recvfrom(4096)
    end = 12
    while q[end]:
        end += q[end] + 1
    question = q[12:end + 5]
    answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + bytes([192, 0, 2, 7])
    s.sendto(q[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + answer, peer)
"#;

#[test]
fn other_names_are_forwarded() {
    let world = World::new();
    let _upstream = serve_datagrams(&world, "backend3", UPSTREAM, 53);
    let home = Arc::new(Home::new());
    let _edgesvc = Edgesvc::start_in(&world, &home, &["--upstream-dns", "10.9.0.13"]);
    answers(&world, CLIENT, &["www.example.com", "A"], &["192.0.2.7"]);
}

/// What the kubelet writes for a Pod of the namespace `default`.
const POD_RESOLV_CONF: &str =
    "nameserver 10.43.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";

/// Looks names up through the C library, with its first argument for resolv.conf.
const LOOK_UP: &str = r#"
printf '%s' "$1" >/run/pod-resolv.conf
mount --bind /run/pod-resolv.conf /etc/resolv.conf
shift
for name; do echo "$name $(getent ahostsv4 "$name" | awk 'NR == 1 { print $1 }')"; done
"#;

#[test]
fn a_container_finds_services_by_the_resolv_conf_of_a_pod() {
    let world = World::new();
    let _upstream = serve_datagrams(&world, "backend3", UPSTREAM, 53);
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--upstream-dns", "10.9.0.13"]);
    let db = service("db", "db", 80, "8080", "").replace("name: db", "name: db\n  namespace: shop");
    let shop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".to_owned();
    let pods = [pod("one", "head", "10.9.0.11", 8080), headless()];
    edgesvc.apply(&stream(&[shop, service("web", "web", 80, "8080", ""), db, stream(&pods)]));
    answers(&world, "backend1", &["head.default.svc.cluster.local", "A"], &["10.9.0.11"]);
    let web = edgesvc.cluster_ip("web");
    let found = edgesvc.cli(&["get", "service", "db", "-n", "shop", "-o", "jsonpath={.spec.clusterIP}"]).ok();
    let expected = [
        ("web", web.as_str()),
        ("web.default", &web),
        ("web.default.svc", &web),
        ("web.default.svc.cluster.local", &web),
        ("web.default.svc.cluster.local.", &web),
        ("WEB.Default", &web),
        ("db.shop", found.trim()),
        // Of another namespace: the bare name is asked for last, and this upstream knows all.
        ("db", "192.0.2.7"),
        ("head", "10.9.0.11"),
        ("10-9-0-11.head", "10.9.0.11"),
        ("www.example.com", "192.0.2.7"),
        ("a.b.c.d.example.com", "192.0.2.7"),
    ];
    let names = expected.iter().map(|(name, _)| *name);
    let words: Vec<&str> =
        ["unshare", "--mount", "sh", "-c", LOOK_UP, "sh", POD_RESOLV_CONF].into_iter().chain(names).collect();
    let lines: Vec<String> = expected.iter().map(|(name, addr)| format!("{name} {addr}")).collect();
    assert_eq!(world.run("backend1", &words).ok().lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_dead_upstream_is_a_servfail_and_the_zone_still_answers() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--upstream-dns", "10.9.0.13"]);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    eventually(SOON, || {
        let text = world.run(CLIENT, &["dig", "@10.43.0.10", "+time=8", "+tries=1", "www.example.com", "A"]).stdout;
        if text.contains("status: SERVFAIL,") { Ok(()) } else { Err(text) }
    });
    answers(&world, CLIENT, &["web.default.svc.cluster.local", "A"], &[edgesvc.cluster_ip("web").as_str()]);
}

#[test]
fn garbage_on_the_dns_port_stops_nothing() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    for garbage in ["x", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "GET / HTTP/1.1\r\n\r\n"] {
        drop(world.run_with(CLIENT, &["socat", "-t", "0.1", "-", "UDP4:10.43.0.10:53"], garbage));
        drop(world.run_with(CLIENT, &["socat", "-t", "0.1", "-", "TCP4:10.43.0.10:53"], garbage));
    }
    answers(&world, CLIENT, &["web.default.svc.cluster.local", "A"], &[edgesvc.cluster_ip("web").as_str()]);
}

#[test]
fn a_service_answers_as_soon_as_it_is_acknowledged() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    for n in 0..20 {
        edgesvc.apply(&service(&format!("web-{n}"), "web", 80, "8080", ""));
        let name = format!("web-{n}.default.svc.cluster.local");
        // Once: a denial would be remembered by whoever asked.
        assert_eq!(world.dig(CLIENT, SERVER, &[&name, "A"]), [edgesvc.cluster_ip(&format!("web-{n}"))]);
    }
}

#[test]
fn a_question_leaves_no_entry_in_conntrack() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    for place in [CLIENT, NODE, "backend1"] {
        for way in ["+notcp", "+tcp"] {
            answers(&world, place, &[way, "web.default.svc.cluster.local", "A"], &[&edgesvc.cluster_ip("web")]);
        }
    }
    let entries = world.run(NODE, &["conntrack", "-L"]).ok();
    assert!(!entries.contains(SERVER), "{entries}");
}

#[test]
fn the_lan_may_ask_where_it_is_allowed_and_nowhere_else() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let flags = ["--dns-listen", "192.168.5.1,10.9.0.1:5300", "--dns-allow", "192.168.5.0/24"];
    let edgesvc = Edgesvc::start_in(&world, &home, &flags);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let address = edgesvc.cluster_ip("web");
    for way in ["+notcp", "+tcp"] {
        let found = world.dig(CLIENT, "192.168.5.1", &[way, "web.default.svc.cluster.local", "A"]);
        assert_eq!(found, [address.as_str()], "{way}");
        let text = world.dig_whole("backend1", "10.9.0.1", &[way, "-p", "5300", "web.default.svc.cluster.local"]);
        assert!(text.contains("status: REFUSED,") && text.contains("ANSWER: 0,"), "{way}: {text}");
    }
    // The cluster address is not asked for permission.
    answers(&world, "backend1", &["web.default.svc.cluster.local", "A"], &[&address]);
}

/// Holds port 53 of an address, which may come later, until its input ends.
const TAKES_THE_PORT: &str = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 15, 1)
s.bind((sys.argv[1], 53))
print(flush=True)
sys.stdin.read()";

/// An address that comes later, and one that is replaced as a DHCP server replaces it.
#[test]
fn the_lan_is_answered_at_addresses_that_come_and_go() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let flags = ["--dns-listen", "c0:5300,192.168.5.9,br7", "--dns-allow", "192.168.5.0/24,fe80::/10,fd05::/64"];
    let edgesvc = Edgesvc::start_in(&world, &home, &flags);
    let ip = |words: &[&str]| drop(world.run(NODE, &[&["ip"], words].concat()).ok());
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let cluster_ip = edgesvc.cluster_ip("web");
    let is_answered = |at: &str, port: &str| {
        let words = ["-p", port, "+tries=1", "+time=1", "web.default.svc.cluster.local", "A"];
        ["+notcp", "+tcp"]
            .iter()
            .all(|way| world.dig(CLIENT, at, &[&[*way], &words[..]].concat()) == [cluster_ip.as_str()])
    };
    #[track_caller]
    fn comes(what: impl Fn() -> bool) {
        assert!(wait_until(SOON, what), "not answered in time");
    }
    comes(|| is_answered("192.168.5.1", "5300") && is_answered("fd05::1", "5300"));
    let doctor = || {
        let (data, run) = (home.text_path("data"), home.text_path("run"));
        let words = [&["doctor", "--data-dir", &data, "--run-dir", &run], &flags[..]].concat();
        home.tool(&world, &words).stdout
    };
    edgesvc.wait_for_line(SOON, |line| line.contains("no address there") && line.contains("192.168.5.9:53"));
    let found = doctor();
    assert!(found.contains("warning  DNS for the LAN") && found.contains("192.168.5.9:53, br7:53"), "{found}");
    // A lease changes, and the address that was named comes.
    ip(&["address", "add", "192.168.5.9/24", "dev", "c0"]);
    comes(|| is_answered("192.168.5.9", "53") && is_answered("192.168.5.9", "5300"));
    edgesvc.wait_for_line(SOON, |line| line.contains("has an address there") && line.contains("192.168.5.9:53"));
    ip(&["address", "del", "192.168.5.9/24", "dev", "c0"]);
    let listens = |at: &str| world.run(NODE, &["ss", "-lntuH"]).stdout.contains(at);
    assert!(wait_until(SOON, || !listens("192.168.5.9:5300")), "an address that is gone is listened on");
    ip(&["address", "add", "192.168.5.9/24", "dev", "c0"]);
    comes(|| is_answered("192.168.5.9", "53") && is_answered("192.168.5.9", "5300"));
    // A link that is made later, at whose address another program has the port for a while.
    let mut other = world.command(NODE, "python3");
    other.args(["-c", TAKES_THE_PORT, "192.168.5.10"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = other.spawn().unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    ip(&["link", "add", "br7", "type", "bridge"]);
    ip(&["address", "add", "192.168.5.10/32", "dev", "br7"]);
    edgesvc.wait_for_line(SOON, |line| line.contains("cannot be opened") && line.contains("192.168.5.10:53"));
    drop(other.stdin.take());
    other.wait().unwrap();
    comes(|| is_answered("192.168.5.10", "53"));
    ip(&["link", "delete", "br7"]);
    assert!(wait_until(SOON, || !listens("192.168.5.10:53")), "a link that is gone is listened on");
}

#[test]
fn verified_pod_names_and_search_paths_follow_the_pods() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--dns-pod-records", "verified", "--dns-autopath", "true"]);
    edgesvc.apply(&stream(&[service("web", "web", 80, "8080", ""), pod("one", "web", "10.9.0.11", 8080)]));
    answers(&world, CLIENT, &["10-9-0-11.default.pod.cluster.local", "A"], &["10.9.0.11"]);
    refuses(&world, &["10-9-0-12.default.pod.cluster.local", "A"], "NXDOMAIN");
    let (name, address) = ("web.default.default.svc.cluster.local", edgesvc.cluster_ip("web"));
    answers(&world, "backend1", &[name, "A"], &[&address, "web.default.svc.cluster.local."]);
    refuses(&world, &[name, "A"], "NXDOMAIN");
    edgesvc.cli(&["delete", "pod", "one", "--now"]).ok();
    refuses(&world, &["10-9-0-11.default.pod.cluster.local", "A"], "NXDOMAIN");
}

#[test]
fn a_stub_zone_and_the_hosts_file_answer_before_the_upstreams() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let hosts = home.file("hosts", "192.0.2.5 printer.lan\n");
    let _upstream = serve_datagrams(&world, "backend3", UPSTREAM, 53);
    let flags = ["--upstream-dns", "10.9.0.12", "--dns-stub-zones", "corp.example=10.9.0.13", "--dns-hosts", &hosts];
    let _edgesvc = Edgesvc::start_in(&world, &home, &flags);
    answers(&world, CLIENT, &["db.corp.example", "A"], &["192.0.2.7"]);
    answers(&world, CLIENT, &["printer.lan", "A"], &["192.0.2.5"]);
}

#[test]
fn metrics_and_the_query_log_tell_of_questions() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &["--upstream-dns", "10.9.0.13", "--dns-query-log", "true"]);
    answers(&world, CLIENT, &["kubernetes.default.svc.cluster.local", "A"], &["10.43.0.1"]);
    let text = edgesvc.http("/metrics").ok();
    for line in [
        "edgesvc_dns_questions_total{type=\"A\",result=\"NOERROR\"} 1",
        "edgesvc_dns_latency_seconds_count{source=\"zone\"} 1",
        "edgesvc_dns_latency_seconds_bucket{le=\"+Inf\",source=\"zone\"} 1",
        "edgesvc_dns_cache_entries 0",
        "edgesvc_dns_upstream_healthy{server=\"10.9.0.13:53\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
    edgesvc.wait_for_line(SOON, |line| line.contains("DNS question") && line.contains("kubernetes.default"));
}
