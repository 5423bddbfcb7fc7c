//! Schedules that go by open connections: lc, sed and nq.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use edgesvc::dataplane::{Ceiling, Dataplane};
use edgesvc::desired::{Contribution, Verdict};
use edgesvc::model::balance::Schedule;

use super::world::*;

/// Endpoints a, b and c: the third is another port of the second's address.
const NAMES: [&str; 3] = ["a", "b", "c"];

fn servers() -> [Server; 3] {
    [serve_as("a", "b1", 8080), serve_as("b", "b2", 8080), serve_as("c", "b2", 8081)]
}

/// `web` with a, b and c by this schedule, and weights where there are some.
fn live(schedule: Schedule, weights: &[u16]) -> Contribution {
    among(&NAMES, schedule, weights)
}

fn among(names: &[&str], schedule: Schedule, weights: &[u16]) -> Contribution {
    let mut service = web(&[1, 2], None);
    for frontend in &mut service.frontends {
        let Verdict::Balance(balance) = &mut frontend.verdict else { continue };
        let (a, b) = (balance.endpoints[0], balance.endpoints[1]);
        let c = std::net::SocketAddr::new(b.ip(), 8081);
        balance.endpoints = NAMES.iter().zip([a, b, c]).filter(|(n, _)| names.contains(n)).map(|(_, at)| at).collect();
        balance.schedule = schedule;
        balance.weights = weights.into();
    }
    service
}

/// A client that holds what it opens.
struct Client {
    child: Child,
    answers: BufReader<ChildStdout>,
}

const HOLDER: &str = "
import socket,sys
proto,addr,port=sys.argv[1],sys.argv[2],int(sys.argv[3])
held=[]
for line in sys.stdin:
  what,arg=line.split()
  if what=='open':
    said=[]
    for _ in range(int(arg)):
      s=socket.socket(socket.AF_INET6 if ':' in addr else socket.AF_INET,socket.SOCK_STREAM if proto=='tcp' else socket.SOCK_DGRAM)
      s.settimeout(2); s.connect((addr,port))
      if proto=='udp': s.send(b'x')
      name=s.recv(100).decode().split()[0]; held.append((name,s)); said.append(name)
    print(' '.join(said),flush=True)
  if what=='close':
    for name,s in held:
      if name==arg: s.close()
    held=[(name,s) for name,s in held if name!=arg]; print('closed',flush=True)
  if what=='take':
    held.pop()[1].close(); print('closed',flush=True)
";

impl Client {
    fn of(protocol: &str, addr: &str, port: u16) -> Client {
        Client::on("client", protocol, addr, port)
    }

    fn on(netns: &str, protocol: &str, addr: &str, port: u16) -> Client {
        let mut command = python(netns);
        command.args(["-c", HOLDER, protocol, addr, &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Client { child, answers }
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    /// Opens one after the other, and answers who they are with.
    fn open(&mut self, times: u32) -> String {
        self.tell(&format!("open {times}")).replace(' ', "")
    }

    fn close(&mut self, name: &str) {
        assert_eq!(self.tell(&format!("close {name}")), "closed");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// How often each of a, b and c has a turn in the slots of a frontend.
fn turns(family: &str, map: &str, key: &str) -> [usize; 3] {
    let listed = sh(&format!("nft list map {family} edgesvc {map} 2>/dev/null | tr ',' '\\n'"));
    let of = |endpoint: &str| listed.lines().filter(|line| line.contains(key) && line.contains(endpoint)).count();
    match family {
        "ip" => ["10.1.1.2 . 8080", "10.1.2.2 . 8080", "10.1.2.2 . 8081"].map(of),
        _ => ["fd01:1::2 . 8080", "fd01:2::2 . 8080", "fd01:2::2 . 8081"].map(of),
    }
}

fn vip_turns() -> [usize; 3] {
    turns("ip", "live-endpoints", "10.43.0.80 . tcp . 80")
}

/// Sockets of this namespace that listen to conntrack.
fn ears() -> usize {
    let listed = std::fs::read_to_string("/proc/net/netlink").unwrap();
    let listens = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1] == "12" && u32::from_str_radix(fields[3], 16).is_ok_and(|groups| groups & 7 == 7)
    };
    listed.lines().skip(1).filter(listens).count()
}

async fn followed(service: &Contribution) -> Dataplane {
    followed_below(service, Ceiling::default()).await
}

async fn followed_below(service: &Contribution, ceiling: Ceiling) -> Dataplane {
    let dataplane = Dataplane::open_below(options(), ceiling).unwrap();
    dataplane.converge(Vec::new()).await.unwrap();
    dataplane.apply(vec![added(service)]).await.unwrap();
    until("conntrack is heard", || ears() == 1).await;
    dataplane
}

#[test]
fn connections_that_stay_open_go_round_exactly() {
    in_world("live::connections_that_stay_open_go_round_exactly", || async {
        let _servers = servers();
        let _dataplane = followed(&live(Schedule::LeastConnection, &[])).await;
        for (addr, port) in [(VIP, 80), ("10.1.9.1", 30080), (VIP6, 80), ("fd01:9::1", 30080)] {
            let mut client = Client::of("tcp", addr, port);
            assert_eq!(client.open(60), "abc".repeat(20), "{addr}");
            // Connections that end at once take their turns all the same.
            let mut seen = String::new();
            for _ in 0..12 {
                seen += &client.open(1);
                client.tell("take 1");
            }
            assert_eq!(names(&seen.chars().map(String::from).collect::<Vec<_>>()), set(&NAMES), "{addr} {seen}");
        }
        let mut flows = Client::of("udp", VIP, 80);
        assert_eq!(flows.open(30), "abc".repeat(10), "flows of UDP");
    });
}

#[test]
fn the_next_connections_go_past_who_has_many_and_an_end_gives_the_turn_back() {
    in_world("live::the_next_connections_go_past_who_has_many_and_an_end_gives_the_turn_back", || async {
        let _servers = servers();
        let (only_a, all) = (among(&["a"], Schedule::LeastConnection, &[]), live(Schedule::LeastConnection, &[]));
        for (addr, family, map, key, port) in [
            (VIP, "ip", "live-endpoints", "10.43.0.80 . tcp . 80", 80),
            (VIP6, "ip6", "live-endpoints", "fd43::80 . tcp . 80", 80),
            ("10.1.9.1", "ip", "nodeport-live-endpoints", "tcp . 30080", 30080),
        ] {
            let dataplane = followed(&only_a).await;
            let mut client = Client::of("tcp", addr, port);
            assert_eq!(client.open(10), "a".repeat(10));
            dataplane.apply(change(&only_a, &all)).await.unwrap();
            until("it is known that a has ten", || turns(family, map, key)[0] <= 2).await;
            assert_eq!(client.open(10), "bc".repeat(5), "{addr}");
            client.close("a");
            until("a has none", || turns(family, map, key)[0] >= 7).await;
            assert_eq!(client.open(5), "aaaaa", "{addr}");
            client.close("b");
            until("b has none", || turns(family, map, key)[1] >= 7).await;
            assert_eq!(client.open(5), "bbbbb", "{addr}");
            drop(client);
            take_over(dataplane, options(), Ceiling::default()).await;
        }
    });
}

#[test]
fn sed_heeds_weights_and_nq_lets_the_idle_go_first() {
    in_world("live::sed_heeds_weights_and_nq_lets_the_idle_go_first", || async {
        let _servers = servers();
        let sed = live(Schedule::ShortestDelay, &[1, 3, 1]);
        let dataplane = followed(&sed).await;
        let first = || sh("nft list map ip edgesvc live-endpoints | tr ',' '\\n'");
        let is_b = |slot: &str| {
            first()
                .lines()
                .any(|line| line.contains("0.80 . tcp") && line.contains(slot) && line.contains("2.2 . 8080"))
        };
        until("the heavy one goes first, and second", || is_b("0x00000000") && is_b("0x00000001")).await;
        let mut client = Client::of("tcp", VIP, 80);
        let seen = client.open(25);
        let counts = NAMES.map(|name| seen.matches(name).count());
        assert_eq!(counts, [5, 15, 5], "{seen}");
        assert!(seen.starts_with("bb"), "{seen}");
        drop(client);
        until("all have ended", || sh("conntrack -L -p tcp 2>/dev/null").lines().all(|l| !l.contains("ESTAB"))).await;
        let nq = live(Schedule::NeverQueue, &[1, 9, 1]);
        dataplane.apply(change(&sed, &nq)).await.unwrap();
        let mut client = Client::of("tcp", VIP, 80);
        let mut first = Vec::from_iter(client.open(3).chars().map(String::from));
        first.sort();
        assert_eq!(first, NAMES, "each idle one");
        assert_eq!(client.open(7), "bbbbbbb", "then by weight");
        client.close("c");
        until("c is idle, and next", || {
            let is_c = client.open(1) == "c";
            if !is_c {
                client.tell("take 1");
            }
            is_c
        })
        .await;
    });
}

#[test]
fn one_who_starts_again_counts_what_is_open() {
    in_world("live::one_who_starts_again_counts_what_is_open", || async {
        let _servers = servers();
        let (only_a, all) = (among(&["a"], Schedule::LeastConnection, &[]), live(Schedule::LeastConnection, &[]));
        let dataplane = followed(&only_a).await;
        let mut client = Client::of("tcp", VIP, 80);
        assert_eq!(client.open(10), "a".repeat(10));
        let (dataplane, _) = restart(dataplane, &[&all]).await;
        until("it is known that a has ten", || vip_turns()[0] <= 2).await;
        assert_eq!(client.open(6), "bcbcbc");
        let differences = || edgesvc::dataplane::differences(&options(), &[std::sync::Arc::new(all.clone())]).unwrap();
        // Chains of before stay for a while.
        until("whose turn it is, is no difference", || differences().is_empty()).await;
        let (_dataplane, report) = restart(dataplane, &[&all]).await;
        assert_eq!(report.operations, 0);
        // Those that were open before anybody listened are not told of when they end.
        client.close("a");
        until("a has none", || vip_turns()[0] >= 7).await;
        assert_eq!(client.open(3), "aaa");
    });
}

#[test]
fn whoever_has_no_such_service_listens_to_nothing() {
    in_world("live::whoever_has_no_such_service_listens_to_nothing", || async {
        let (plain, lc) = (web(&[1, 2], None), live(Schedule::LeastConnection, &[]));
        let dataplane = with_web(plain.clone()).await;
        let threads = || {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
            let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
            names.filter(|name| name.trim() == "live").count()
        };
        assert_eq!((ears(), threads()), (0, 0));
        dataplane.apply(change(&plain, &lc)).await.unwrap();
        until("conntrack is heard", || ears() == 1).await;
        assert_eq!(threads(), 1);
        dataplane.apply(change(&lc, &plain)).await.unwrap();
        until("and not any more", || ears() == 0).await;
    });
}

#[test]
fn a_kernel_that_tells_of_nothing_lets_them_go_round() {
    in_world("live::a_kernel_that_tells_of_nothing_lets_them_go_round", || async {
        let _servers = servers();
        let setting = |value: u8| sh(&format!("echo {value} > /proc/sys/net/netfilter/nf_conntrack_events"));
        setting(0);
        let _dataplane = with_web(live(Schedule::LeastConnection, &[])).await;
        let mut client = Client::of("tcp", VIP, 80);
        assert_eq!(client.open(9), "abcabcabc");
        client.close("a");
        assert_eq!((client.open(3), ears()), ("abc".to_owned(), 0), "it is not known who has none");
        setting(1);
        until("conntrack is heard", || ears() == 1).await;
        until("b and c have four", || vip_turns()[0] >= 7).await;
        assert_eq!(client.open(3), "aaa");
    });
}

#[test]
fn words_that_were_lost_are_made_up_for() {
    in_world("live::words_that_were_lost_are_made_up_for", || async {
        let _servers = servers();
        let (only_a, all) = (among(&["a"], Schedule::LeastConnection, &[]), live(Schedule::LeastConnection, &[]));
        let few = Ceiling { hear_buffer_bytes: 4_096, ..Ceiling::default() };
        let dataplane = followed_below(&only_a, few).await;
        sh(&format!("ip netns exec client /usr/bin/python3 -c '{MANY_FLOWS}'"));
        dataplane.apply(change(&only_a, &all)).await.unwrap();
        let turns_of_a = || turns("ip6", "live-endpoints", "fd43::80 . udp . 80")[0];
        until("it is known that a has many", || turns_of_a() <= 2).await;
        // One system call, and more ends than anybody could hear of in time.
        sh("conntrack -F -f ipv6 2>/dev/null");
        until("a has none", || turns_of_a() >= 5).await;
        let listed = std::fs::read_to_string("/proc/net/netlink").unwrap();
        let ear = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|f| f[3] == "00000007");
        assert_ne!(ear.unwrap()[8], "0", "words were lost: {listed}");
        // Words of the last ends may still come between: what counts is that all have as many.
        let (mut client, mut seen) = (Client::of("udp", VIP6, 80), String::new());
        until("all have as many", || {
            seen += &client.open(6);
            let of = |name| seen.matches(name).count();
            of("a") == of("b") && of("b") == of("c")
        })
        .await;
    });
}

/// Flows to the Service, and ten times as many to somebody else.
const MANY_FLOWS: &str = "
import socket
def flow(): return socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)
for n in range(500):
  s=flow(); s.sendto(b\"x\",(\"fd43::80\",80)); s.close()
for n in range(5):
  s=flow()
  for port in range(1000,2000): s.sendto(b\"x\",(\"fd01:1::2\",port))
";

#[test]
fn affinity_and_sides_are_kept() {
    in_world("live::affinity_and_sides_are_kept", || async {
        let _servers = servers();
        let mut service = live(Schedule::LeastConnection, &[]);
        for frontend in &mut service.frontends {
            let Verdict::Balance(balance) = &mut frontend.verdict else { continue };
            let mut inside = balance.clone();
            inside.endpoints.truncate(2);
            frontend.inside = Some(inside);
        }
        let dataplane = followed(&service).await;
        let mut client = Client::of("tcp", VIP, 80);
        assert_eq!(client.open(1), "a");
        let mut box_itself = Client::on("node", "tcp", VIP, 80);
        let seen = box_itself.open(12);
        assert!(!seen.contains('c') && seen.contains('a') && seen.contains('b'), "{seen}");
        assert!(client.open(9).contains('c'));
        drop((client, box_itself));

        let mut bound = live(Schedule::LeastConnection, &[]);
        for frontend in &mut bound.frontends {
            let Verdict::Balance(balance) = &mut frontend.verdict else { continue };
            balance.affinity_seconds = Some(60);
        }
        dataplane.apply(change(&service, &bound)).await.unwrap();
        let mut client = Client::of("tcp", VIP, 80);
        let seen = client.open(10);
        assert_eq!(names(&seen.chars().map(String::from).collect::<Vec<_>>()).len(), 1, "{seen}");
        until("who has ten has no turn", || vip_turns().iter().any(|turns| *turns <= 2)).await;
        let mut other = Client::on("node", "tcp", VIP, 80);
        assert_ne!(other.open(1), seen[..1]);
    });
}
