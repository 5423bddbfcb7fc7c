//! What holds while the process is stopped, restarted or meddled with.

use std::process::Stdio;
use std::sync::Arc;

use edgesvc::dataplane::{Ceiling, Dataplane, Options};

use super::world::*;

#[test]
fn a_restart_with_the_same_services_changes_nothing() {
    in_world("restart::a_restart_with_the_same_services_changes_nothing", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let service = web(&[1, 2], Some(300));
        let first = with_web(service.clone()).await;
        let mine = names(&ask("client", "tcp", VIP, 80, 1));
        let entries = || sh("nft list map ip edgesvc affinity");
        assert!(entries().contains("10.43.0.80 . tcp . 80"));
        let (second, report) = restart(first, &[&service]).await;
        assert_eq!(report.operations, 0);
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 20)), mine, "affinity outlives the process");
        let less = web(&[if mine == set(&["b1"]) { 2 } else { 1 }], Some(300));
        let (_third, _) = restart(second, &[&less]).await;
        until("the chain it does not need goes", || {
            let listed = sh("nft list ruleset");
            !listed.contains("chain n-2") && listed.contains("chain n-1")
        })
        .await;
        assert!(!entries().contains("expires"), "the endpoint went meanwhile: {}", entries());
        assert_ne!(names(&ask("client", "tcp", VIP, 80, 20)), mine);
    });
}

#[test]
fn open_connections_survive_everything_that_happens_to_their_service() {
    in_world("restart::open_connections_survive_everything_that_happens_to_their_service", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (one, two, none) = (web(&[1], None), web(&[2], None), web(&[], None));
        let dataplane = with_web(one.clone()).await;
        let mut open = [
            Talk::over("tcp", "client", VIP, 80),
            Talk::over("tcp", "client", VIP6, 80),
            Talk::over("tcp", "client", "10.1.9.1", 30080),
            Talk::over("tcp", "node", VIP, 80),
        ];
        let mut all_hold = |when: &str| {
            for talk in &mut open {
                assert_eq!(talk.say(), "b1", "{when}");
            }
        };
        all_hold("fresh");
        dataplane.apply(change(&one, &two)).await.unwrap();
        all_hold("its endpoint is not ready any more");
        dataplane.apply(change(&two, &none)).await.unwrap();
        all_hold("no endpoint is ready");
        let (dataplane, _) = restart(dataplane, &[&two]).await;
        all_hold("a restart");
        let other = Options { cluster_cidrs: vec!["10.1.0.0/16".parse().unwrap()], ..options() };
        let dataplane = take_over(dataplane, other, Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(two.clone())]).await.unwrap();
        all_hold("tables made anew");
        drop(dataplane);
        until("the process is gone", || !sh("nft list ruleset").contains("flags owner")).await;
        all_hold("the process is gone");
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 5)), set(&["b2"]), "new ones are served too");
    });
}

/// What 3,000 connections meet while processes with these options, in turn, take over
/// from each other, and how many did.
async fn during_take_overs(turns: &[Options]) -> (Vec<String>, usize) {
    let (both, one) = (web(&[1, 2], None), web(&[1], None));
    let mut dataplane = with_web(both.clone()).await;
    let mut client = python("client");
    client.args(["-c", CLIENT, "tcp", VIP, "80", "3000"]).stdout(Stdio::piped());
    let client = client.spawn().unwrap();
    let answered = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap());
    let mut restarts = 0;
    while !answered.is_finished() {
        dataplane = take_over(dataplane, turns[restarts % turns.len()].clone(), Ceiling::default()).await;
        let wanted = if restarts % 2 == 0 { &one } else { &both };
        dataplane.converge(vec![Arc::new(wanted.clone())]).await.unwrap();
        restarts += 1;
    }
    let text = String::from_utf8(answered.await.unwrap().stdout).unwrap();
    println!("{restarts} restarts");
    assert!(restarts > 5, "{restarts}");
    (text.lines().map(str::to_owned).collect(), restarts)
}

#[test]
fn no_new_connection_is_lost_while_processes_take_over_from_each_other() {
    in_world("restart::no_new_connection_is_lost_while_processes_take_over_from_each_other", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let (answers, restarts) = during_take_overs(&[options()]).await;
        assert_eq!(answers.len(), 3000);
        assert_eq!(names(&answers), set(&["b1", "b2"]), "after {restarts} restarts");
    });
}

#[test]
fn a_process_with_other_options_makes_the_tables_anew_and_loses_no_new_connection() {
    in_world("restart::a_process_with_other_options_makes_the_tables_anew_and_loses_no_new_connection", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let other = Options { cluster_cidrs: vec!["10.1.0.0/16".parse().unwrap()], ..options() };
        let (answers, restarts) = during_take_overs(&[options(), other]).await;
        assert_eq!(answers.len(), 3000);
        assert_eq!(names(&answers), set(&["b1", "b2"]), "after {restarts} restarts");
    });
}

#[test]
fn the_table_that_stands_in_goes_when_nobody_needs_it() {
    in_world("restart::the_table_that_stands_in_goes_when_nobody_needs_it", || async {
        let service = web(&[1], None);
        let stands_in = || sh("nft list tables").contains("edgesvc-stand-in");
        let dataplane = with_web(service.clone()).await;
        assert!(!stands_in(), "nothing was replaced");
        let other = Options { cluster_cidrs: vec!["10.1.0.0/16".parse().unwrap()], ..options() };
        let dataplane = take_over(dataplane, other.clone(), Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(service.clone())]).await.unwrap();
        assert!(stands_in(), "it is there until no packet can be in it");
        assert!(!sh("nft list table ip edgesvc-stand-in").contains("hook"), "and out of the packets' way");
        until("it goes", || !stands_in()).await;
        // That of a process that was killed while it stood in, on a kernel that knows no owners.
        sh("nft add table ip edgesvc-stand-in; nft add chain ip edgesvc-stand-in output \
            '{ type nat hook output priority -101; }'");
        let dataplane = take_over(dataplane, other, Ceiling::default()).await;
        dataplane.converge(vec![Arc::new(service.clone())]).await.unwrap();
        assert!(!stands_in(), "the next process removes it");
        sh("nft add table ip6 edgesvc-stand-in");
        drop(dataplane);
        until("the process is gone", || !sh("nft list ruleset").contains("flags owner")).await;
        edgesvc::dataplane::cleanup().unwrap();
        assert!(!sh("nft list tables").contains("edgesvc"), "cleanup too");
    });
}

#[test]
fn tables_without_an_owner_are_repaired() {
    in_world("restart::tables_without_an_owner_are_repaired", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let service = web(&[1], None);
        let old = Ceiling { owned_tables: false, hear_buffer_bytes: 16 << 10, ..Ceiling::default() };
        let dataplane = Dataplane::open_below(options(), old).unwrap();
        assert!(dataplane.warnings().iter().any(|warning| warning.contains("6.9")), "{:?}", dataplane.warnings());
        dataplane.converge(vec![Arc::new(service.clone())]).await.unwrap();
        let whole = listing;
        let before = whole();
        assert!(!before.contains("flags owner"), "{before}");
        let mut open = Talk::over("tcp", "client", VIP, 80);
        assert_eq!(open.say(), "b1");
        for damage in [
            "nft flush ruleset",
            "nft delete table ip edgesvc",
            "nft delete table ip6 edgesvc; nft delete table ip edgesvc-anchor",
            "nft delete element ip edgesvc services '{ 10.43.0.80 . tcp . 80 }'",
            "nft add element ip edgesvc cluster-ips '{ 10.1.1.2 }'",
            "nft flush chain ip edgesvc dispatch",
            "nft add chain ip edgesvc n-7",
            // More notices than a socket holds, of which the last says what happened.
            "{ echo 'add table ip theirs'; echo 'add set ip theirs s { type ipv4_addr; }'
               printf 'add element ip theirs s { '
               for i in $(seq 0 4999); do printf '10.7.%d.%d, ' $((i / 256)) $((i % 256)); done; echo '}'
               echo 'flush chain ip edgesvc dispatch'; } | nft -f -; nft delete table ip theirs",
        ] {
            sh(damage);
            until(damage, || sorted(&whole()) == sorted(&before)).await;
            assert_eq!(names(&ask("client", "tcp", VIP, 80, 1)), set(&["b1"]), "{damage}");
            assert_eq!(open.say(), "b1", "{damage}");
        }
        let lost = sh("awk '$2 == 12 { lost += $9 } END { print lost }' /proc/net/netlink");
        assert_ne!(lost.trim(), "0", "notices were to be lost");
        // And the next change finds what it expects.
        let report = dataplane.apply(change(&service, &web(&[2], None))).await.unwrap();
        assert!(report.operations < 20, "{report:?}");
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 2)), set(&["b2"]));
        // A newer kernel, as it were: the tables get their owner.
        let (_dataplane, _) = restart(dataplane, &[&web(&[2], None)]).await;
        assert!(whole().contains("flags owner"));
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 2)), set(&["b2"]));
    });
}

#[test]
fn a_second_process_is_told_that_the_tables_are_taken() {
    in_world("restart::a_second_process_is_told_that_the_tables_are_taken", || async {
        let service = web(&[1], None);
        let _first = with_web(service.clone()).await;
        let second = Dataplane::open(options()).unwrap();
        let error = second.converge(vec![Arc::new(service)]).await.unwrap_err();
        assert!(error.to_string().contains("another running edgesvc"), "{error}");
        let error = edgesvc::dataplane::cleanup().unwrap_err();
        assert!(error.to_string().contains("another running edgesvc"), "{error}");
    });
}

/// Lines in any order: elements are told in the order of their hashes.
fn sorted(listed: &str) -> Vec<String> {
    let mut words: Vec<String> = listed
        .lines()
        .map(|line| line.trim().trim_start_matches("elements = {").trim_end_matches([',', '}']).trim().to_owned())
        .collect();
    words.sort();
    words
}
