//! Schedules and weights, as IPVS means them, with real connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use edgesvc::dataplane::{Dataplane, Origin, Question, trace};
use edgesvc::desired::{Contribution, Verdict};
use edgesvc::model::balance::Schedule;
use edgesvc::model::{IpFamily, Protocol};

use super::world::*;

/// A second Service of the same form.
const OTHER: &str = "10.43.0.81";
const OTHER6: &str = "fd43::81";

fn scheduled(mut service: Contribution, schedule: Schedule, weights: &[u16]) -> Contribution {
    for frontend in &mut service.frontends {
        if let Verdict::Balance(balance) = &mut frontend.verdict {
            balance.schedule = schedule;
            balance.weights = weights.into();
        }
    }
    service
}

/// On 80/TCP of one address, over these backends.
fn at(name: &str, addr: &str, schedule: Schedule, numbers: &[u8], weights: &[u16]) -> Contribution {
    let addr: IpAddr = addr.parse().unwrap();
    scheduled(on_tcp(name, addr, endpoints(IpFamily::of(addr), numbers)), schedule, weights)
}

async fn opened(services: &[&Contribution]) -> Dataplane {
    let dataplane = Dataplane::open(options()).unwrap();
    let all = services.iter().map(|service| Arc::new((*service).clone())).collect();
    dataplane.converge(all).await.unwrap();
    dataplane
}

/// Who answers one connection.
fn one(addr: &str, port: u16) -> String {
    let answers = ask("client", "tcp", addr, port, 1);
    answers[0].split(' ').next().unwrap().to_owned()
}

fn row(addr: &str, port: u16, times: usize) -> Vec<String> {
    (0..times).map(|_| one(addr, port)).collect()
}

/// The order without its beginning: whose turn it is at first is nobody's business.
fn turned<'a>(order: &[&'a str], first: &str) -> Vec<&'a str> {
    let start = order.iter().position(|name| *name == first).unwrap();
    order.iter().cycle().skip(start).take(order.len()).copied().collect()
}

/// From each of these addresses, which it has to have, who answers.
const FROM: &str = "
import socket,sys
to,port=sys.argv[1],int(sys.argv[2])
for source in sys.argv[3:]:
  s=socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET,socket.SOCK_STREAM); s.settimeout(1.5)
  try: s.bind((source,0)); s.connect((to,port)); print(source,s.recv(100).decode().split()[0])
  except OSError as e: print(source,'error',e)
  s.close()
";

fn from_each(sources: &[String], addr: &str, port: u16) -> BTreeMap<String, String> {
    let mut command = python("client");
    let output = command.args(["-c", FROM, addr, &port.to_string()]).args(sources).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_once(' ').unwrap()).map(|(s, b)| (s.to_owned(), b.to_owned())).collect()
}

/// 64 addresses of the client, per family.
fn many_sources() -> [Vec<String>; 2] {
    sh("for n in $(seq 100 163); do
      ip -n client addr add 10.1.9.$n/24 dev eth0; ip -n client addr add fd01:9::$n/64 dev eth0 nodad
    done");
    let each = |prefix: &str| (100..=163).map(|number| format!("{prefix}{number}")).collect();
    [each("10.1.9."), each("fd01:9::")]
}

#[test]
fn rr_takes_strict_turns_on_every_frontend_by_itself() {
    in_world("balance::rr_takes_strict_turns_on_every_frontend_by_itself", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let web = scheduled(web(&[1, 2], None), Schedule::RoundRobin, &[]);
        let other = at("other", OTHER, Schedule::RoundRobin, &[1, 2], &[]);
        let other6 = at("other6", OTHER6, Schedule::RoundRobin, &[1, 2], &[]);
        let dataplane = opened(&[&web, &other, &other6]).await;
        // Everybody's connections in between: nobody moves another's turn.
        let places =
            [(VIP, 80), (OTHER, 80), ("10.1.9.1", 30080), (VIP6, 80), (OTHER6, 80), ("fd01:9::1", 30080), (OTHER, 80)];
        let mut seen: BTreeMap<(&str, u16), Vec<String>> = BTreeMap::new();
        for _ in 0..6 {
            for place in places {
                seen.entry(place).or_default().push(one(place.0, place.1));
            }
        }
        for (place, answers) in &seen {
            assert!(answers.windows(2).all(|pair| pair[0] != pair[1]), "{place:?}: {answers:?}");
            assert_eq!(names(answers), set(&["b1", "b2"]), "{place:?}");
        }
        // An endpoint that is replaced leaves the turn, and the chain, as they are.
        let replaced = at("other", OTHER, Schedule::RoundRobin, &[1, 3], &[]);
        let report = dataplane.apply(change(&other, &replaced)).await.unwrap();
        assert!(report.operations <= 8, "{report:?}");
        dataplane.apply(change(&replaced, &other)).await.unwrap();
        let last = &seen[&(OTHER, 80)].last().unwrap().clone();
        assert_ne!(one(OTHER, 80), *last);
        // The turn outlives the process too.
        let last = one(VIP, 80);
        let (_dataplane, report) = restart(dataplane, &[&web, &other, &other6]).await;
        assert_eq!(report.operations, 0);
        assert_ne!(one(VIP, 80), last);
    });
}

#[test]
fn weights_are_kept_exactly_and_change_live() {
    in_world("balance::weights_are_kept_exactly_and_change_live", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let three = scheduled(web(&[1, 2], None), Schedule::Weighted, &[3, 1]);
        let dataplane = opened(&[&three]).await;
        for (addr, port) in [(VIP, 80), (VIP6, 80), ("10.1.9.1", 30080), ("fd01:9::1", 30080)] {
            let answers = row(addr, port, 12);
            let order = ["b1", "b1", "b2", "b1"];
            let round: Vec<&str> = turned(&order, "b2").into_iter().cycle().take(12).collect();
            let start = answers.iter().position(|name| name == "b2").unwrap();
            assert_eq!(answers[start..], round[..12 - start], "{addr}");
        }
        let heavier = scheduled(web(&[1, 2], None), Schedule::Weighted, &[10, 30]);
        dataplane.apply(change(&three, &heavier)).await.unwrap();
        for (addr, port) in [(VIP, 80), ("fd01:9::1", 30080)] {
            let answers = row(addr, port, 8);
            assert_eq!(answers.iter().filter(|name| *name == "b2").count(), 6, "{addr}: {answers:?}");
        }
        let equal = scheduled(web(&[1, 2], None), Schedule::Weighted, &[]);
        dataplane.apply(change(&heavier, &equal)).await.unwrap();
        let answers = row(VIP, 80, 4);
        assert!(answers.windows(2).all(|pair| pair[0] != pair[1]), "{answers:?}");
    });
}

#[test]
fn sh_keeps_a_client_where_it_is_and_spreads_many() {
    in_world("balance::sh_keeps_a_client_where_it_is_and_spreads_many", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let sources = many_sources();
        let service = scheduled(web(&[1, 2], None), Schedule::SourceHash, &[]);
        let weighted = at("other", OTHER, Schedule::SourceHash, &[1, 2], &[7, 1]);
        let dataplane = opened(&[&service, &weighted]).await;
        let places = [(VIP, 80, 0), ("10.1.9.1", 30080, 0), (VIP6, 80, 1), ("fd01:9::1", 30080, 1)];
        let mut first = BTreeMap::new();
        for (addr, port, family) in places {
            let answers = from_each(&sources[family], addr, port);
            let on_b1 = answers.values().filter(|name| *name == "b1").count();
            assert!(answers.len() == 64 && (16..=48).contains(&on_b1), "{addr}: {answers:?}");
            assert_eq!(answers.values().cloned().collect::<BTreeSet<_>>(), set(&["b1", "b2"]), "{addr}");
            first.insert(addr, answers);
        }
        assert_eq!(first[VIP], first["10.1.9.1"], "the client's address alone decides");
        let on_b1 = from_each(&sources[0], OTHER, 80).values().filter(|name| *name == "b1").count();
        assert!((45..=63).contains(&on_b1), "7 of 8: {on_b1}");
        // What trace says is what the kernel does.
        for (vip, family) in [(VIP, 0), (VIP6, 1)] {
            for (source, name) in first[vip].iter().take(8) {
                let from = Origin::Address(source.parse().unwrap());
                let to = (vip.parse::<IpAddr>().unwrap(), 80).into();
                let traced = trace(&Question { protocol: Protocol::Tcp, to, from }).unwrap();
                let number: u8 = name[1..].parse().unwrap();
                let family = if family == 0 { IpFamily::V4 } else { IpFamily::V6 };
                let expected = endpoints(family, &[number])[0].to_string();
                let told: Vec<&str> = traced.endpoints.iter().map(|leg| leg.endpoint.as_str()).collect();
                assert_eq!(told, [expected], "{source}: {:?}", traced.steps);
            }
        }
        let (_dataplane, _) = restart(dataplane, &[&service, &weighted]).await;
        for (addr, port, family) in places {
            assert_eq!(from_each(&sources[family], addr, port), first[addr], "after a restart");
        }
    });
}

#[test]
fn dh_sends_every_client_of_an_address_to_one_endpoint() {
    in_world("balance::dh_sends_every_client_of_an_address_to_one_endpoint", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let [sources, _] = many_sources();
        let services: Vec<Contribution> = (1..=16)
            .map(|host| at(&format!("s{host}"), &format!("10.43.1.{host}"), Schedule::DestinationHash, &[1, 2], &[]))
            .collect();
        let _dataplane = opened(&services.iter().collect::<Vec<_>>()).await;
        let mut chosen = BTreeSet::new();
        for host in 1..=16 {
            let answers = from_each(&sources[..8], &format!("10.43.1.{host}"), 80);
            let names: BTreeSet<String> = answers.into_values().collect();
            assert_eq!(names.len(), 1, "{host}: {names:?}");
            chosen.extend(names);
        }
        assert_eq!(chosen, set(&["b1", "b2"]), "addresses are spread");
        assert!(sh("nft list ruleset").contains("chain d-2"), "one chain for all of them");
    });
}
