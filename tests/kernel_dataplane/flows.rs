//! Flows whose endpoint goes, comes or stays (spec section 8).

use edgesvc::dataplane::Dataplane;
use edgesvc::desired::{Contribution, FrontendAddr};
use edgesvc::model::{IpFamily, ObjectKey, Protocol};

use super::world::*;

/// `web` under another name: it may hold the same addresses later.
fn other(numbers: &[u8]) -> Contribution {
    Contribution { key: ObjectKey::new("t", "other"), ..web(numbers, None) }
}

/// `web` at an address outside the service ranges instead of its own.
fn external(numbers: &[u8]) -> Contribution {
    let mut service = web(numbers, None);
    service.cluster_ips.clear();
    service.frontends.retain(|frontend| {
        frontend.protocol == Protocol::Udp && frontend.addr == FrontendAddr::Virtual(VIP.parse().unwrap())
    });
    service.frontends[0].addr = FrontendAddr::Virtual("198.51.100.7".parse().unwrap());
    service
}

#[test]
fn a_client_leaves_an_endpoint_that_is_replaced() {
    in_world("flows::a_client_leaves_an_endpoint_that_is_replaced", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (first, second) = (web(&[1], None), web(&[2], None));
        let dataplane = with_web(first.clone()).await;
        let mut talks = [
            Talk::to("client", VIP, 80),
            Talk::to("client", VIP6, 80),
            Talk::to("client", "10.1.9.1", 30080),
            Talk::to("node", VIP, 80),
        ];
        for talk in &mut talks {
            assert_eq!(talk.say(), "b1");
        }
        dataplane.apply(change(&first, &second)).await.unwrap();
        assert_eq!(dataplane.flows(false).await.unwrap().deleted, 4);
        for talk in &mut talks {
            assert_eq!(talk.say(), "b2");
        }
        dataplane.apply(change(&second, &web(&[1, 2], None))).await.unwrap();
        assert_eq!(dataplane.flows(true).await.unwrap().deleted, 4);
        for talk in &mut talks {
            assert_eq!(talk.say(), "b2", "an endpoint more moves nobody");
        }
    });
}

#[test]
fn a_client_that_came_before_the_endpoints_is_served_when_they_are_there() {
    in_world("flows::a_client_that_came_before_the_endpoints_is_served_when_they_are_there", || async {
        let _server = serve("b1", 8080);
        let dataplane = Dataplane::open(options()).unwrap();
        // Our route is there and our tables are not: the packet goes nowhere, untranslated.
        let mut early = Talk::to("client", VIP, 80);
        assert_eq!(early.say(), "timeout");
        dataplane.converge(Vec::new()).await.unwrap();
        sh("ip route add 198.51.100.0/24 dev edgesvc0");
        let mut outside = Talk::to("client", "198.51.100.7", 80);
        assert_eq!(outside.say(), "timeout");
        let mut node_port = Talk::to("client", "10.1.9.1", 30080);
        assert_eq!(node_port.say(), "refused", "nobody listens there");
        let none = web(&[], None);
        dataplane.apply(vec![added(&none)]).await.unwrap();
        assert_eq!(early.say(), "refused");
        let mut shifted = external(&[1]);
        shifted.key = ObjectKey::new("t", "outside");
        let changes = vec![change(&none, &web(&[1], None)).remove(0), added(&shifted)];
        dataplane.apply(changes).await.unwrap();
        dataplane.flows(false).await.unwrap();
        assert_eq!([early.say(), outside.say(), node_port.say()], ["b1", "b1", "b1"]);
    });
}

#[test]
fn a_client_of_a_service_that_is_scaled_to_zero_and_back_is_served_again() {
    in_world("flows::a_client_of_a_service_that_is_scaled_to_zero_and_back_is_served_again", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (one, none, two) = (web(&[1], None), web(&[], None), web(&[2], None));
        let dataplane = with_web(one.clone()).await;
        let mut talk = Talk::to("client", VIP, 80);
        assert_eq!(talk.say(), "b1");
        dataplane.apply(change(&one, &none)).await.unwrap();
        assert_eq!(dataplane.flows(false).await.unwrap().deleted, 1);
        assert_eq!(talk.say(), "refused");
        dataplane.apply(change(&none, &two)).await.unwrap();
        assert_eq!(talk.say(), "b2");
    });
}

#[test]
fn an_address_that_is_reused_leads_to_its_new_service() {
    in_world("flows::an_address_that_is_reused_leads_to_its_new_service", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (old, new) = (web(&[1], None), other(&[2]));
        let dataplane = with_web(old.clone()).await;
        let mut talk = Talk::to("client", VIP, 80);
        assert_eq!(talk.say(), "b1");
        dataplane.apply(vec![removed(&old)]).await.unwrap();
        assert_eq!(dataplane.flows(false).await.unwrap().deleted, 1);
        assert_eq!(talk.say(), "timeout", "an address nobody has");
        dataplane.apply(vec![added(&new)]).await.unwrap();
        assert_eq!(talk.say(), "b2");
        // Both in one step, the new one told first.
        dataplane.apply(vec![added(&old), removed(&new)]).await.unwrap();
        dataplane.flows(false).await.unwrap();
        assert_eq!(talk.say(), "b1");
    });
}

#[test]
fn a_restart_keeps_valid_flows_and_ends_those_of_services_that_went_meanwhile() {
    in_world("flows::a_restart_keeps_valid_flows_and_ends_those_of_services_that_went_meanwhile", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080), serve("node", 9000)];
        let _foreign = serve("b1", 30080);
        let (service, outside) = (web(&[1, 2], None), external(&[1]));
        let outside = Contribution { key: ObjectKey::new("t", "outside"), ..outside };
        let dataplane = with_web(service.clone()).await;
        dataplane.apply(vec![added(&outside)]).await.unwrap();
        let mut ours =
            [Talk::to("client", VIP, 80), Talk::to("client", VIP6, 80), Talk::to("client", "10.1.9.1", 30080)];
        let before: Vec<String> = ours.iter_mut().map(Talk::say).collect();
        let mut external = Talk::to("client", "198.51.100.7", 80);
        assert_eq!(external.say(), "b1");
        // Somebody else's flows: to a port of ours at another host, and to the box.
        let mut foreign = [Talk::to("client", "10.1.1.2", 30080), Talk::to("client", "10.1.9.1", 9000)];
        assert_eq!(foreign.each_mut().map(|talk| talk.say()), ["b1", "node"]);

        let (dataplane, report) = restart(dataplane, &[&service, &outside]).await;
        assert_eq!((dataplane.flows(true).await.unwrap().deleted, report.operations), (0, 0));
        assert_eq!(ours.iter_mut().map(Talk::say).collect::<Vec<_>>(), before, "valid flows stay where they are");
        assert_eq!(external.say(), "b1");

        let (dataplane, _) = restart(dataplane, &[]).await;
        assert_eq!(dataplane.flows(false).await.unwrap().deleted, 4, "cluster IPs, node port and external IP");
        let said: Vec<String> = ours.iter_mut().map(Talk::say).collect();
        assert_eq!(said, ["timeout", "timeout", "refused"]);
        assert_eq!(foreign.each_mut().map(|talk| talk.say()), ["b1", "node"]);
        let (dataplane, _) = restart(dataplane, &[&service]).await;
        let flows = dataplane.flows(false).await.unwrap();
        assert!(flows.deleted <= 3, "{flows:?}");
        assert!(ours.iter_mut().map(Talk::say).all(|name| name == "b1" || name == "b2"));
    });
}

#[test]
fn families_and_protocols_of_a_port_are_balanced_apart() {
    in_world("flows::families_and_protocols_of_a_port_are_balanced_apart", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let mut service = web(&[1], None);
        for frontend in &mut service.frontends {
            let numbers: &[u8] = if frontend.protocol == Protocol::Udp { &[2] } else { &[1] };
            let family = frontend.addr.family();
            if family == IpFamily::V4
                && let edgesvc::desired::Verdict::Balance(balance) = &mut frontend.verdict
            {
                balance.endpoints = endpoints(family, numbers);
            }
        }
        let _dataplane = with_web(service).await;
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 5)), set(&["b1"]));
        assert_eq!(names(&ask("client", "udp", VIP, 80, 5)), set(&["b2"]));
        assert_eq!(names(&ask("client", "udp", VIP6, 80, 5)), set(&["b1"]));
    });
}

/// `web` with these backends, and these that only keep the flows they have.
fn keeping(numbers: &[u8], kept: &[u8]) -> Contribution {
    let mut service = web(numbers, None);
    for frontend in &mut service.frontends {
        frontend.kept = endpoints(frontend.addr.family(), kept);
    }
    service
}

#[test]
fn flows_to_an_endpoint_that_terminates_and_serves_stay_until_it_is_gone() {
    in_world("flows::flows_to_an_endpoint_that_terminates_and_serves_stay_until_it_is_gone", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (one, draining, gone) = (web(&[1], None), keeping(&[2], &[1]), web(&[2], None));
        let dataplane = with_web(one.clone()).await;
        let mut talks = [Talk::to("client", VIP, 80), Talk::to("client", VIP6, 80)];
        assert_eq!(talks.each_mut().map(|talk| talk.say()), ["b1", "b1"]);
        let report = dataplane.apply(change(&one, &draining)).await.unwrap();
        assert!(report.operations > 0);
        assert_eq!(dataplane.flows(true).await.unwrap().deleted, 0);
        assert_eq!(talks.each_mut().map(|talk| talk.say()), ["b1", "b1"]);
        assert_eq!(names(&ask("client", "udp", VIP, 80, 10)), set(&["b2"]), "new flows go elsewhere");
        let report = dataplane.apply(change(&draining, &gone)).await.unwrap();
        assert_eq!(report.operations, 0, "the kernel's tables know nothing of it");
        assert_eq!(dataplane.flows(false).await.unwrap().deleted, 2);
        assert_eq!(talks.each_mut().map(|talk| talk.say()), ["b2", "b2"]);
    });
}

#[test]
fn a_client_that_waits_for_a_dead_endpoint_is_led_to_a_live_one() {
    in_world("flows::a_client_that_waits_for_a_dead_endpoint_is_led_to_a_live_one", || async {
        let _server = serve("b2", 8080);
        // b1 is dead: nothing comes back from it.
        sh(
            "ip netns exec b1 nft 'add table inet dead; add chain inet dead in { type filter hook input priority 0; policy drop; }'",
        );
        let (dead, live) = (web(&[1], None), web(&[2], None));
        let dataplane = with_web(dead.clone()).await;
        for vip in [VIP, VIP6] {
            dataplane.converge(vec![std::sync::Arc::new(dead.clone())]).await.unwrap();
            let mut client = python("client");
            client.args(["-c", PATIENT, vip]).stdout(std::process::Stdio::piped());
            let client = client.spawn().unwrap();
            until("it knocks", || {
                sh("conntrack -L -p tcp 2>/dev/null; conntrack -L -f ipv6 -p tcp 2>/dev/null").contains("SYN_SENT")
            })
            .await;
            dataplane.apply(change(&dead, &live)).await.unwrap();
            let answer = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap()).await.unwrap();
            assert_eq!(names(&[String::from_utf8(answer.stdout).unwrap()]), set(&["b2"]), "{vip}");
        }
        assert_eq!(dataplane.flows(false).await.unwrap().deleted, 2);
    });
}

#[test]
fn a_client_that_knocked_before_the_tables_is_led_to_an_endpoint() {
    in_world("flows::a_client_that_knocked_before_the_tables_is_led_to_an_endpoint", || async {
        let _server = serve("b1", 8080);
        // A box with a way to everywhere, and somebody who has connections tracked. So it is in
        // the moment between a foreign flush and the end of our transaction, too.
        sh("ip route add default via 10.1.1.2; ip -6 route add default via fd01:1::2
            echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
            nft 'add table inet other; add chain inet other in { type filter hook prerouting priority 0; }
                 add rule inet other in ct state new'");
        let clients = [VIP, VIP6].map(|vip| {
            let mut client = python("client");
            client.args(["-c", PATIENT, vip]).stdout(std::process::Stdio::piped()).spawn().unwrap()
        });
        until("both knock", || {
            let seen = ["ipv4", "ipv6"].map(|family| sh(&format!("conntrack -L -f {family} -p tcp 2>/dev/null")));
            seen.iter().all(|entries| entries.contains("SYN_SENT"))
        })
        .await;
        let dataplane = with_web(web(&[1], None)).await;
        for client in clients {
            let answer = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap()).await.unwrap();
            assert_eq!(names(&[String::from_utf8(answer.stdout).unwrap()]), set(&["b1"]));
        }
        assert_eq!(dataplane.flows(false).await.unwrap().deleted, 2);
    });
}

/// Connects with more patience than it needs, and prints who answers.
const PATIENT: &str = "
import socket,sys
s=socket.create_connection((sys.argv[1],80),timeout=20)
print(s.recv(100).decode().strip())
";

#[test]
fn one_walk_serves_every_change_that_waits_and_none_of_them_waits_for_it() {
    in_world("flows::one_walk_serves_every_change_that_waits_and_none_of_them_waits_for_it", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (one, two) = (web(&[1], None), web(&[2], None));
        let dataplane = with_web(one.clone()).await;
        // A table that takes a while to walk.
        sh("ip netns exec client /usr/bin/python3 -c '
import socket
for n in range(20):
  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
  for port in range(1000,1200): s.sendto(b\"x\",(\"10.1.1.2\",port))
'");
        let before = dataplane.flows(true).await.unwrap();
        let begun = tokio::time::Instant::now();
        let (mut now, mut next) = (&one, &two);
        for _ in 0..200 {
            dataplane.apply(change(now, next)).await.unwrap();
            (now, next) = (next, now);
        }
        let took = begun.elapsed();
        let after = dataplane.flows(false).await.unwrap();
        println!("200 changes: {took:?}, walks: {}", after.walks - before.walks);
        assert!(after.walks - before.walks < 200, "{before:?} {after:?}");
    });
}

#[test]
fn no_datagram_of_a_new_client_is_lost_while_endpoints_come_and_go() {
    in_world("flows::no_datagram_of_a_new_client_is_lost_while_endpoints_come_and_go", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let sides = [web(&[1], None), web(&[2], None), web(&[1, 2], None)];
        let dataplane = with_web(sides[0].clone()).await;
        for vip in [VIP, VIP6] {
            for protocol in ["udp", "tcp"] {
                let mut client = python("client");
                client.args(["-c", CLIENT, protocol, vip, "80", "1500"]).stdout(std::process::Stdio::piped());
                let client = client.spawn().unwrap();
                let answered = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap());
                let mut changes = 0;
                while !answered.is_finished() {
                    let (now, next) = (&sides[changes % 3], &sides[(changes + 1) % 3]);
                    dataplane.apply(change(now, next)).await.unwrap();
                    changes += 1;
                    tokio::task::yield_now().await;
                }
                dataplane.apply(change(&sides[changes % 3], &sides[0])).await.unwrap();
                let text = String::from_utf8(answered.await.unwrap().stdout).unwrap();
                let answers: Vec<String> = text.lines().map(str::to_owned).collect();
                assert_eq!(answers.len(), 1500);
                assert_eq!(names(&answers), set(&["b1", "b2"]), "{protocol} {vip} after {changes} changes");
                assert!(changes > 10, "{changes}");
            }
        }
        println!("{:?}", dataplane.flows(true).await.unwrap());
    });
}
