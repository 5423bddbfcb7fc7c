//! A world of its own for a test: its network is the node; clients and backends
//! are namespaces joined to it by veth pairs.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use edgesvc::dataplane::{Ceiling, Dataplane, Options, Report};
use edgesvc::desired::{Balance, Change, Contribution, Frontend, FrontendAddr, Verdict};
use edgesvc::model::{IpFamily, ObjectKey, Protocol};
use tokio::time::Instant;

const WORLD: &str = "EDGESVC_TEST_WORLD";

/// Runs `body` in a world of its own.
pub(crate) fn in_world<F: Future<Output = ()>>(name: &str, body: impl FnOnce() -> F) {
    if std::env::var_os(WORLD).is_none() {
        let exe = std::env::current_exe().unwrap();
        let mut unshare = Command::new("unshare");
        unshare.args(["-Urnm", "--kill-child", "--fork", "--pid", "--mount-proc"]).arg(exe).args([
            "--exact",
            name,
            "--nocapture",
        ]);
        let output = unshare.env(WORLD, "1").output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}\n{err}");
        println!("{out}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        sh(TOPOLOGY);
        // Until IPv6 neighbours have found each other, the first packets are lost.
        for (netns, number) in [("client", 9), ("b1", 1), ("b2", 2)] {
            let heard = |from: &str, addr: String| ask(from, "udp", &addr, 9, 1) == ["refused fast"];
            until("neighbours hear each other", || heard("node", format!("fd01:{number}::2"))).await;
            until("neighbours hear each other", || heard(netns, format!("fd01:{number}::1"))).await;
        }
        body().await;
    });
}

pub(crate) const TOPOLOGY: &str = "
mount -t tmpfs tmpfs /run
ip link set lo up
add() { # name, number
  ip netns add $1
  ip link add v-$1 type veth peer name eth0 netns $1
  ip addr add 10.1.$2.1/24 dev v-$1; ip addr add fd01:$2::1/64 dev v-$1 nodad; ip link set v-$1 up
  ip -n $1 link set lo up; ip -n $1 addr add 10.1.$2.2/24 dev eth0; ip -n $1 addr add fd01:$2::2/64 dev eth0 nodad
  ip -n $1 link set eth0 up; ip -n $1 route add default via 10.1.$2.1; ip -n $1 route add default via fd01:$2::1
}
add client 9; add b1 1; add b2 2
";

/// `nft list ruleset` without what was counted.
pub(crate) fn listing() -> String {
    sh("nft list ruleset 2>&1 | sed -E 's/ counter packets [0-9]+ bytes [0-9]+//'")
}

pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("bash").args(["-ec", script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Answers `name peer-address` on TCP and UDP, both families.
pub(crate) const SERVER: &str = "
import socket,sys,threading
name,port=sys.argv[1],int(sys.argv[2])
t=socket.socket(socket.AF_INET6,socket.SOCK_STREAM); t.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)
t.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,0); t.bind(('::',port)); t.listen(1024)
def say(a): return (name+' '+a[0].replace('::ffff:','')+chr(10)).encode()
def tcp():
  while True:
    c,a=t.accept()
    def one(c=c,a=a):
      c.sendall(say(a))
      while True:
        d=c.recv(100)
        if not d: break
        c.sendall(d)
      c.close()
    threading.Thread(target=one,daemon=True).start()
threading.Thread(target=tcp,daemon=True).start()
def udp(f,any):
  u=socket.socket(f,socket.SOCK_DGRAM)
  if f==socket.AF_INET6: u.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,1)
  u.bind((any,port))
  while True:
    d,a=u.recvfrom(100); u.sendto(say(a),a)
threading.Thread(target=udp,args=(socket.AF_INET6,'::'),daemon=True).start()
print('up',flush=True)
udp(socket.AF_INET,'0.0.0.0')
";

/// `proto address port times`: prints one line per try: the answer, or the error and how long it took.
pub(crate) const CLIENT: &str = "
import socket,sys,time
proto,addr,port,times=sys.argv[1],sys.argv[2],int(sys.argv[3]),int(sys.argv[4])
f=socket.AF_INET6 if ':' in addr else socket.AF_INET
for _ in range(times):
  s=socket.socket(f,socket.SOCK_STREAM if proto=='tcp' else socket.SOCK_DGRAM); s.settimeout(1.5)
  if len(sys.argv)>5: s.bind((sys.argv[5],0))
  t=time.time()
  try:
    s.connect((addr,port))
    if proto=='udp': s.send(b'x')
    print(s.recv(100).decode().strip())
  except ConnectionRefusedError: print('refused', 'fast' if time.time()-t<0.5 else 'slow')
  except PermissionError: print('refused fast')
  except (TimeoutError,socket.timeout): print('timeout')
  except OSError as e: print('error',e)
  s.close()
";

/// A backend process, ended with the test.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub(crate) fn python(netns: &str) -> Command {
    if netns == "node" {
        return Command::new("/usr/bin/python3");
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns, "/usr/bin/python3"]);
    command
}

pub(crate) fn serve(netns: &str, port: u16) -> Server {
    serve_as(netns, netns, port)
}

/// A backend that calls itself so.
pub(crate) fn serve_as(name: &str, netns: &str, port: u16) -> Server {
    use std::io::{BufRead as _, BufReader};
    let mut command = python(netns);
    command.args(["-c", SERVER, name, &port.to_string()]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "up");
    Server(child)
}

/// The answers to `times` tries.
pub(crate) fn ask(netns: &str, protocol: &str, addr: &str, port: u16, times: u32) -> Vec<String> {
    let mut command = python(netns);
    command.args(["-c", CLIENT, protocol, addr, &port.to_string(), &times.to_string()]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn names(answers: &[String]) -> BTreeSet<String> {
    answers.iter().map(|answer| answer.split(' ').next().unwrap().to_owned()).collect()
}

pub(crate) fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

pub(crate) fn options() -> Options {
    Options {
        service_ranges: vec!["10.43.0.0/16".parse().unwrap(), "fd43::/112".parse().unwrap()],
        forward_mark: Some(0x2000),
        cluster_dns: vec!["10.43.0.10".parse().unwrap(), "fd43::a".parse().unwrap()],
        ..Options::default()
    }
}

pub(crate) const VIP: &str = "10.43.0.80";
pub(crate) const VIP6: &str = "fd43::80";

pub(crate) fn endpoints(family: IpFamily, numbers: &[u8]) -> Vec<SocketAddr> {
    let addr = |number: &u8| -> IpAddr {
        match family {
            IpFamily::V4 => format!("10.1.{number}.2").parse().unwrap(),
            IpFamily::V6 => format!("fd01:{number}::2").parse().unwrap(),
        }
    };
    numbers.iter().map(|number| SocketAddr::new(addr(number), 8080)).collect()
}

/// Service `web` on TCP and UDP 80 and node port 30080 with these backends.
pub(crate) fn web(numbers: &[u8], affinity_seconds: Option<u32>) -> Contribution {
    let mut frontends = Vec::new();
    for family in IpFamily::BOTH {
        let verdict = match endpoints(family, numbers) {
            none if none.is_empty() => Verdict::Refuse,
            endpoints => Verdict::Balance(Balance { endpoints, affinity_seconds, ..Balance::default() }),
        };
        let vip = if family == IpFamily::V4 { VIP } else { VIP6 };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for (addr, port) in
                [(FrontendAddr::Virtual(vip.parse().unwrap()), 80), (FrontendAddr::NodePort(family), 30080)]
            {
                frontends.push(Frontend {
                    addr,
                    protocol,
                    port,
                    verdict: verdict.clone(),
                    source_ranges: Vec::new(),
                    inside: None,
                    kept: Vec::new(),
                });
            }
        }
    }
    frontends.sort();
    Contribution {
        key: ObjectKey::new("t", "web"),
        cluster_ips: vec![VIP.parse().unwrap(), VIP6.parse().unwrap()],
        frontends,
        relayed: false,
        health: None,
        records: Arc::default(),
    }
}

/// Service `name` on 80/TCP of one address, with these endpoints.
pub(crate) fn on_tcp(name: &str, addr: IpAddr, endpoints: Vec<SocketAddr>) -> Contribution {
    let verdict = Verdict::Balance(Balance { endpoints, ..Balance::default() });
    let frontend = Frontend {
        addr: FrontendAddr::Virtual(addr),
        protocol: Protocol::Tcp,
        port: 80,
        verdict,
        source_ranges: Vec::new(),
        inside: None,
        kept: Vec::new(),
    };
    Contribution {
        key: ObjectKey::new("t", name),
        cluster_ips: vec![addr],
        frontends: vec![frontend],
        relayed: false,
        health: None,
        records: Arc::default(),
    }
}

pub(crate) fn change(before: &Contribution, after: &Contribution) -> Vec<Change> {
    let side = |contribution: &Contribution| Some(Arc::new(contribution.clone()));
    vec![Change { key: before.key.clone(), before: side(before), after: side(after) }]
}

pub(crate) async fn with_web(contribution: Contribution) -> Dataplane {
    let dataplane = Dataplane::open(options()).unwrap();
    dataplane.converge(vec![Arc::new(contribution)]).await.unwrap();
    dataplane
}

/// Waits until `check` holds.
pub(crate) async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !check() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A client that keeps its socket: UDP, or TCP with one connection.
pub(crate) struct Talk {
    child: Child,
    answers: std::io::BufReader<std::process::ChildStdout>,
}

const TALK: &str = "
import socket,sys
proto,addr,port=sys.argv[1],sys.argv[2],int(sys.argv[3])
s=socket.socket(socket.AF_INET6 if ':' in addr else socket.AF_INET,socket.SOCK_STREAM if proto=='tcp' else socket.SOCK_DGRAM)
s.settimeout(1)
name=None
try:
  s.connect((addr,port))
  if proto=='tcp': name=s.recv(100).decode().strip()
except OSError: pass
for line in sys.stdin:
  try: s.send(b'x'); answer=s.recv(100).decode().strip(); print(name or answer,flush=True)
  except (TimeoutError,socket.timeout): print('timeout',flush=True)
  except OSError: print('refused',flush=True)
";

impl Talk {
    pub(crate) fn to(netns: &str, addr: &str, port: u16) -> Talk {
        Talk::over("udp", netns, addr, port)
    }

    pub(crate) fn over(protocol: &str, netns: &str, addr: &str, port: u16) -> Talk {
        let mut command = python(netns);
        command.args(["-c", TALK, protocol, addr, &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = std::io::BufReader::new(child.stdout.take().unwrap());
        Talk { child, answers }
    }

    /// Who answers.
    pub(crate) fn say(&mut self) -> String {
        use std::io::{BufRead as _, Write as _};
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A new process takes over: its first handle may meet the last thread of the old one.
pub(crate) async fn restart(old: Dataplane, contributions: &[&Contribution]) -> (Dataplane, Report) {
    let wanted: Vec<Arc<Contribution>> = contributions.iter().map(|one| Arc::new((*one).clone())).collect();
    let dataplane = take_over(old, options(), Ceiling::default()).await;
    let report = dataplane.converge(wanted).await.unwrap();
    (dataplane, report)
}

/// Opens again as soon as the thread of the old process lets go of its tables.
pub(crate) async fn take_over(old: Dataplane, options: Options, ceiling: Ceiling) -> Dataplane {
    drop(old);
    until("the tables are free", || !sh("nft list ruleset").contains("flags owner")).await;
    Dataplane::open_below(options, ceiling).unwrap()
}

pub(crate) fn added(after: &Contribution) -> Change {
    Change { key: after.key.clone(), before: None, after: Some(Arc::new(after.clone())) }
}

pub(crate) fn removed(before: &Contribution) -> Change {
    Change { key: before.key.clone(), before: Some(Arc::new(before.clone())), after: None }
}
