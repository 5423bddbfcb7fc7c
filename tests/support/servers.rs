//! Backends that say who they are and whom they saw.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::{Place, World, wait_until};

/// Answers `NAME from ADDRESS` to every GET, on both families; its own sockets
/// refuse nothing, so that refusals in tests are edgesvc's.
const HTTP: &str = r#"
import http.server, socket, sys
name, port = sys.argv[1], int(sys.argv[2])
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        seen = self.client_address[0].removeprefix("::ffff:")
        body = f"{name} from {seen}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 1024
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = name, port
Server(("::", port), Answer).serve_forever()
"#;

/// Answers `NAME from ADDRESS` to every datagram.
const UDP: &str = r#"
import socket, sys
name, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", port))
while True:
    data, seen = s.recvfrom(2048)
    s.sendto(f"{name} from {seen[0].removeprefix('::ffff:')}\n".encode(), seen)
"#;

/// An HTTP server at `place` that answers with the place's name.
pub(crate) fn echo_name(world: &World, place: Place, port: u16) -> Server {
    start(world, place, HTTP, port, "-tlnH")
}

/// A UDP server at `place` that answers with the place's name.
pub(crate) fn echo_udp(world: &World, place: Place, port: u16) -> Server {
    serve_datagrams(world, place, UDP, port)
}

/// A server of its own program, called with the place's name and the port.
pub(crate) fn serve_program(world: &World, place: Place, program: &str, port: u16) -> Server {
    start(world, place, program, port, "-tlnH")
}

/// The same of one that answers datagrams.
pub(crate) fn serve_datagrams(world: &World, place: Place, program: &str, port: u16) -> Server {
    start(world, place, program, port, "-ulnH")
}

/// A system bus on which everybody may do everything, in a world in which root is the only
/// user; ready when this returns.
pub(crate) fn system_bus(world: &World, place: Place) -> Child {
    world.run_with(place, &["sh", "-c", "mkdir -p /run/dbus; cat >/run/dbus/bus.conf"], BUS).ok();
    let mut bus = world.command(place, "dbus-daemon");
    bus.args(["--config-file=/run/dbus/bus.conf", "--nofork"]);
    let bus = bus.spawn().expect("nsenter runs");
    let socket = ["test", "-S", "/run/dbus/system_bus_socket"];
    assert!(wait_until(Duration::from_secs(20), || world.run(place, &socket).code == 0), "no bus at {place}");
    bus
}

const BUS: &str = r#"
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true"/><allow receive_requested_reply="true"/><allow receive_type="signal"/>
<allow receive_type="method_call"/></policy></busconfig>
"#;

/// A running backend; dies with this value.
pub(crate) struct Server {
    child: Child,
    inner: String,
}

fn start(world: &World, place: Place, program: &str, port: u16, sockets: &str) -> Server {
    let mut command = world.command(place, "python3");
    command.args(["-c", program, place, &port.to_string()]).stdin(Stdio::null());
    let child = command.spawn().expect("nsenter runs");
    let port = format!(":{port} ");
    let listens = || world.run(place, &["ss", sockets]).stdout.contains(&port);
    assert!(wait_until(Duration::from_secs(20), listens), "no server on port {port}at {place}");
    let inner = World::inner_pid(&child).expect("the server runs");
    Server { child, inner }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(std::process::Command::new("kill").args(["-KILL", &self.inner]).status());
        drop(self.child.wait());
    }
}
