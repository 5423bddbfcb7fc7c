//! Bytes, ends and limits.

use super::support::{CLIENT, NODE, NODE_ADDRESS, World, eventually};
use super::*;

#[test]
fn both_directions_carry_every_byte_and_end_each_for_itself() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, BOTH_FAMILIES);
    edgesvc.apply(&web("", SPEC, &[11, 12, 13]));
    let four = edgesvc.field("service", "web", &["spec", "clusterIPs", "0"]).unwrap();
    let six = edgesvc.field("service", "web", &["spec", "clusterIPs", "1"]).unwrap();
    answers(&world, CLIENT, &four, 80);
    // Less than is copied, about where splicing begins, and much more.
    for bytes in ["1", "262144", "262145", "30000000"] {
        for host in [four.as_str(), six.as_str()] {
            assert_eq!(ask(&world, CLIENT, &["echo", host, "80", bytes]), "same", "{bytes} bytes over {host}");
        }
    }
    assert_eq!(ask(&world, CLIENT, &["reset", &four, "80"]), "reset", "a broken endpoint is no orderly end");
}

#[test]
fn a_thousand_connections_while_endpoints_come_and_go_lose_none() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("edgesvc.io/balance: rr", SPEC, &[11, 12, 13]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    let met = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| names(&world, CLIENT, &host, 80, 1000));
        let mut changes = 0;
        while !connecting.is_finished() || changes < 4 {
            let hosts: &[u8] = [&[11, 12][..], &[13], &[11, 12, 13], &[12, 13]][changes % 4];
            edgesvc.apply(&slice(4, hosts));
            changes += 1;
        }
        connecting.join().unwrap()
    });
    let lost: Vec<_> = met.iter().filter(|name| !name.starts_with("backend")).collect();
    assert!(met.len() == 1000 && lost.is_empty(), "{lost:?}");
}

#[test]
fn what_is_over_a_limit_is_refused_at_once_and_others_still_get_through() {
    let world = World::new();
    let _servers = endpoints(&world);
    let home = Arc::new(Home::new());
    // 600 descriptors: 300 for the relay, 50 connections, 25 for one Service.
    let command = home.run_under(&world, &["prlimit", "--nofile=600:600"], &["--proxy-mode", "relay"]);
    let edgesvc = Edgesvc::start_command(&world, &home, command);
    edgesvc.apply(&web("", SPEC, &[11, 12, 13]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    let said = ask(&world, CLIENT, &["fill", &host, "80", "60"]);
    let numbers: Vec<f64> = said.split(' ').map(|word| word.parse().unwrap()).collect();
    assert_eq!(numbers[..2], [25.0, 35.0], "{said}");
    assert!(numbers[2] < 1.0, "a refusal took {} s", numbers[2]);
    let metrics = edgesvc.http("/metrics").ok();
    assert!(metrics.contains("edgesvc_relay_refused_total 35\n"), "{metrics}");
    // The places come back when their connections end.
    answers(&world, CLIENT, &host, 80);
}

#[test]
fn a_client_that_reads_nothing_holds_its_endpoint_back_and_nobody_else() {
    let world = World::new();
    let _server = serve_program(&world, "backend1", ENDPOINT_PROGRAM, 8080);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("", SPEC, &[11]));
    let host = edgesvc.cluster_ip("web");
    answers(&world, CLIENT, &host, 80);
    let _stalled: Vec<Held> = (0..3).map(|_| hold(&world, CLIENT, &["stall", &host, "80"])).collect();
    let flooded = || {
        let said = world.run_with(NODE, &["socat", "-t", "2", "-", "TCP4:10.9.0.11:8080"], "flooded\n").ok();
        said.trim().parse::<u64>().unwrap()
    };
    // What the sockets on the way hold, and no more: the endpoint cannot write on.
    let mut before = flooded();
    eventually(SOON, || {
        let now = flooded();
        let still = now == std::mem::replace(&mut before, now) && now > 0;
        if still { Ok(()) } else { Err(format!("{now} bytes and counting")) }
    });
    assert!(before < 64 << 20, "{before} bytes are somewhere");
    answers(&world, CLIENT, &host, 80);
    let status = std::fs::read_to_string(format!("/proc/{}/status", edgesvc.pid())).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
    let kilobytes: u64 = rss.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kilobytes < 200_000, "resident: {rss}");
}

#[test]
fn a_stop_waits_for_open_connections_and_then_cuts_them() {
    let world = World::new();
    let _servers = endpoints(&world);
    let edgesvc = relay(&world, &[]);
    edgesvc.apply(&web("", SPEC, &[11]));
    answers(&world, CLIENT, NODE_ADDRESS, 30080);
    let mut held = hold(&world, CLIENT, &["hold", NODE_ADDRESS, "30080", "1"]);
    assert_eq!(held.said, "backend1");
    let home = Arc::clone(&edgesvc.home);
    assert_eq!(edgesvc.stop(), 0);
    let seen = held.again();
    assert!(["ConnectionResetError", "BrokenPipeError"].contains(&seen.as_str()), "a cut is no orderly end: {seen}");
    assert_eq!(names(&world, CLIENT, NODE_ADDRESS, 30080, 1), ["ConnectionRefusedError"]);
    let edgesvc = Edgesvc::start_in(&world, &home, &["--proxy-mode", "relay"]);
    answers(&world, CLIENT, NODE_ADDRESS, 30080);
    drop(edgesvc);
}
