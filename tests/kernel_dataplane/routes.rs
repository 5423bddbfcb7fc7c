//! The way to endpoints: found in the box's routing tables, or asked for one by one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use edgesvc::dataplane::Dataplane;
use edgesvc::desired::Contribution;
use tokio::time::Instant;

use super::world::*;

/// Service `name` at `addr` with these endpoints.
fn service(name: &str, addr: &str, endpoints: &[IpAddr]) -> Contribution {
    let endpoints = endpoints.iter().map(|addr| SocketAddr::new(*addr, 80)).collect();
    on_tcp(name, addr.parse().unwrap(), endpoints)
}

/// Routes of every sort, and rules as VPNs set them.
const ROUTES: &str = "
for n in 4 6; do
  if test $n = 4; then p=10.; g=10.1.9.2; l=32; else p=fd; g=fd01:9::2; l=128; fi
  net() { if test $n = 4; then echo 10.$1.0.0/$((16 + ${2:-0})); else echo fd$1::/$((32 + ${2:-0})); fi; }
  ip -$n route add $(net 50) via $g
  ip -$n route add $(net 50 8) dev v-b1
  ip -$n route add $(net 51) via $g metric 10
  ip -$n route add $(net 51) dev v-b1 metric 20
  ip -$n route add $(net 52) via $g metric 20
  ip -$n route add $(net 52) dev v-b1 metric 10
  ip -$n route add blackhole $(net 53)
  ip -$n route add unreachable $(net 54)
  test $n = 6 || ip route add $(net 55) nexthop via $g dev v-client nexthop dev v-b1
  ip -$n route add throw $(net 56) table 77
  ip -$n route add $(net 56) dev v-b1
  ip -$n route add default via $g table 77
  ip -$n route add default via $g table 78
  ip -$n rule add pref 100 fwmark 0x1/0xff lookup 77
  ip -$n rule add pref 200 lookup main suppress_prefixlength 0
  ip -$n rule add pref 300 not fwmark 0xca6c lookup 78
  ip -$n rule add pref 150 to $(net 57) lookup 77
  ip -$n rule add pref 160 from $(net 58) lookup 77
  ip -$n rule add pref 180 ipproto udp dport 53 lookup 77
  ip -$n rule add pref 170 iif v-client lookup 77
done
";

fn everywhere() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> =
        (50..60).flat_map(|net: u8| [[10, net, 0, 1], [10, net, 200, 1]]).map(IpAddr::from).collect();
    found.extend(
        (50..60)
            .flat_map(|net: u8| [format!("fd{net}::1"), format!("fd{net}:0:8000::1")])
            .map(|text| text.parse::<IpAddr>().unwrap()),
    );
    found.extend(
        ["10.1.1.2", "10.1.9.1", "fd01:1::2", "fd01:9::1", "127.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap()),
    );
    found
}

fn off_box() -> String {
    sh("nft list set ip edgesvc off-box; nft list set ip6 edgesvc off-box")
}

#[test]
fn the_way_is_the_same_whether_it_is_asked_for_or_found_in_the_tables() {
    in_world("routes::the_way_is_the_same_whether_it_is_asked_for_or_found_in_the_tables", || async {
        sh(ROUTES);
        let services = |addrs: &[IpAddr]| -> Vec<Contribution> {
            let four: Vec<IpAddr> = addrs.iter().filter(|addr| addr.is_ipv4()).copied().collect();
            let six: Vec<IpAddr> = addrs.iter().filter(|addr| addr.is_ipv6()).copied().collect();
            let name = |family: &str| format!("{family}-{}", addrs.len());
            let (four, six) = (service(&name("four"), VIP, &four), service(&name("six"), VIP6, &six));
            [four, six].into_iter().filter(|one| !one.frontends[0].verdict.endpoints().is_empty()).collect()
        };
        let mut asked = Vec::new();
        for addr in everywhere() {
            let dataplane = Dataplane::open(options()).unwrap();
            dataplane.converge(services(&[addr]).into_iter().map(Arc::new).collect()).await.unwrap();
            if off_box().contains(&format!("{addr} }}")) {
                asked.push(addr);
            }
            drop(dataplane);
            until("the tables are free", || !sh("nft list ruleset").contains("flags owner")).await;
        }
        let dataplane = Dataplane::open(options()).unwrap();
        dataplane.converge(services(&everywhere()).into_iter().map(Arc::new).collect()).await.unwrap();
        let listed = off_box();
        let is_listed = |addr: &IpAddr| listed.split([' ', ',', '\n', '\t']).any(|word| word == addr.to_string());
        let found: Vec<IpAddr> = everywhere().into_iter().filter(is_listed).collect();
        println!("{} of {} are off the box", found.len(), everywhere().len());
        assert_eq!(found, asked);
        assert!(found.len() > 10 && found.len() < everywhere().len() - 10, "{found:?}");
    });
}

#[test]
fn a_change_of_routes_costs_little_with_twenty_thousand_endpoints() {
    in_world("routes::a_change_of_routes_costs_little_with_twenty_thousand_endpoints", || async {
        let addr = |number: u16| IpAddr::from([10, 60, number.to_be_bytes()[0], number.to_be_bytes()[1]]);
        let services: Vec<Arc<Contribution>> = (0..200u16)
            .map(|number| {
                let endpoints: Vec<IpAddr> = (0..100).map(|one| addr(number * 100 + one)).collect();
                Arc::new(service(&format!("s-{number}"), &format!("10.43.8.{number}"), &endpoints))
            })
            .collect();
        sh("ip route add 10.60.0.0/16 dev v-b1");
        let dataplane = Dataplane::open(options()).unwrap();
        let begun = Instant::now();
        dataplane.converge(services.clone()).await.unwrap();
        println!("installed in {:?}", begun.elapsed());
        let count = || sh("nft list set ip edgesvc off-box").matches("10.60.").count();
        assert_eq!(count(), 0);
        let begun = Instant::now();
        sh("ip route replace 10.60.0.0/16 via 10.1.9.2");
        until("all are off the box", || count() == 20_000).await;
        println!("followed in {:?}, listing included", begun.elapsed());
        let begun = Instant::now();
        for number in 0..20 {
            sh(&format!("ip route add 10.61.{number}.0/24 dev v-b1"));
        }
        // A change of a Service waits for none of that for long.
        dataplane.apply(vec![removed(&services[0])]).await.unwrap();
        let took = begun.elapsed();
        println!("20 changes of routes and one of a Service: {took:?}");
        assert!(took < Duration::from_secs(4), "{took:?}");
    });
}
