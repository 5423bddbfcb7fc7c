//! A Service that the kernel refuses holds up no other.

use std::net::SocketAddr;
use std::sync::Arc;

use edgesvc::dataplane::{Ceiling, Dataplane, Options};
use edgesvc::desired::{Change, Contribution};

use super::scale::SMALL;
use super::world::*;

/// Service `name` on 10.43.1.`number`:80/TCP.
fn service(name: &str, number: u8, endpoints: Vec<SocketAddr>) -> Contribution {
    on_tcp(name, [10, 43, 1, number].into(), endpoints)
}

fn good(name: &str, number: u8) -> Contribution {
    service(name, number, vec![SocketAddr::from(([10, 1, 1, 2], 8080))])
}

/// An endpoint of the other family, which the room before never lets through: the
/// kernel refuses the element for its length.
fn bad(name: &str, number: u8) -> Contribution {
    service(name, number, vec!["[fd01:1::2]:8080".parse().unwrap()])
}

fn served(number: u8) -> bool {
    names(&ask("client", "tcp", &format!("10.43.1.{number}"), 80, 1)) == set(&["b1"])
}

fn refused(dataplane: &Dataplane) -> Vec<String> {
    dataplane.refused().borrow().keys().map(ToString::to_string).collect()
}

fn moved(before: &Contribution, after: &Contribution) -> Change {
    change(before, after).remove(0)
}

#[test]
fn a_service_that_the_kernel_refuses_is_named_and_all_others_are_installed() {
    in_world("refused::a_service_that_the_kernel_refuses_is_named_and_all_others_are_installed", || async {
        let _server = serve("b1", 8080);
        let dataplane = with_web(web(&[1], None)).await;
        let (one, two, three) = (good("one", 1), bad("two", 2), good("three", 3));
        dataplane.apply(vec![added(&one), added(&two), added(&three)]).await.unwrap();
        assert!(served(1) && served(3));
        assert_eq!(refused(&dataplane), ["t/two"]);
        let why = dataplane.refused().borrow().values().next().unwrap().clone();
        assert!(why.contains("add element ip edgesvc endpoints: Invalid argument"), "{why}");
        assert_eq!(ask("client", "tcp", "10.43.1.2", 80, 1), ["timeout"], "nothing of it is there");
        // A change of others meets no obstacle, one that is still refused changes nothing.
        let other = service("one", 4, one.frontends[0].endpoints().collect());
        dataplane.apply(vec![moved(&one, &other), moved(&two, &bad("two", 5))]).await.unwrap();
        assert!(served(4) && served(3));
        assert_eq!(refused(&dataplane), ["t/two"]);
        // Whatever was wished meanwhile, the kernel has none of it.
        dataplane.apply(vec![moved(&bad("two", 5), &good("two", 2))]).await.unwrap();
        assert!(served(2));
        assert_eq!(refused(&dataplane), [""; 0]);
        // One that was served and is refused is served as before.
        dataplane.apply(vec![moved(&good("two", 2), &bad("two", 2))]).await.unwrap();
        assert!(served(2));
        assert_eq!(refused(&dataplane), ["t/two"]);
        dataplane.apply(vec![removed(&bad("two", 2))]).await.unwrap();
        assert_eq!(refused(&dataplane), [""; 0]);
        let listed = sh("nft list table ip edgesvc");
        assert!(!listed.contains("10.43.1.2 ") && listed.contains("10.43.1.3"), "{listed}");
    });
}

#[test]
fn at_the_start_too_and_what_a_process_before_us_left_serves_on() {
    in_world("refused::at_the_start_too_and_what_a_process_before_us_left_serves_on", || async {
        let _server = serve("b1", 8080);
        let first = with_web(good("old", 9)).await;
        let mut wanted: Vec<Contribution> = (20..120).map(|number| good(&format!("s{number}"), number)).collect();
        wanted.push(web(&[1], None));
        wanted.insert(50, bad("bad", 200));
        let second = take_over(first, options(), Ceiling::default()).await;
        let mut open = Talk::over("tcp", "client", "10.43.1.9", 80);
        assert_eq!(open.say(), "b1");
        second.converge(wanted.iter().cloned().map(Arc::new).collect()).await.unwrap();
        assert_eq!(refused(&second), ["t/bad"]);
        assert!(served(20) && served(119));
        assert!(!sh("nft list ruleset").contains("10.43.1.9 "), "what nobody wants any more is gone");
        assert_eq!(open.say(), "b1", "its connections go on");
        // Tables made anew by other options, and the repair of foreign changes, meet it too.
        let other = Options { cluster_cidrs: vec!["10.1.0.0/16".parse().unwrap()], ..options() };
        let old_kernel = Ceiling { owned_tables: false, ..Ceiling::default() };
        let third = take_over(second, other, old_kernel).await;
        third.converge(wanted.iter().cloned().map(Arc::new).collect()).await.unwrap();
        assert_eq!(refused(&third), ["t/bad"]);
        assert!(served(20) && served(119));
        sh("nft delete table ip edgesvc");
        until("the table is back", || sh("nft list ruleset").contains("10.43.1.119 ")).await;
        assert_eq!(refused(&third), ["t/bad"]);
        wanted[50] = good("bad", 200);
        third.converge(wanted.into_iter().map(Arc::new).collect()).await.unwrap();
        assert_eq!(refused(&third), [""; 0]);
        assert!(served(200));
    });
}

#[test]
fn a_service_of_five_thousand_endpoints_is_served_where_the_kernel_allows_small_transactions() {
    in_world(
        "refused::a_service_of_five_thousand_endpoints_is_served_where_the_kernel_allows_small_transactions",
        || async {
            let _server = serve("b1", 8080);
            let dataplane = Dataplane::open_below(options(), SMALL).unwrap();
            dataplane.converge(Vec::new()).await.unwrap();
            let some = |from: u16, to: u16| -> Vec<SocketAddr> {
                (from..to)
                    .map(|number| SocketAddr::from(([127, 1, number.to_be_bytes()[0], number.to_be_bytes()[1]], 80)))
                    .collect()
            };
            let large = service("large", 1, some(0, 5_000));
            dataplane.apply(vec![added(&large)]).await.unwrap();
            assert_eq!(refused(&dataplane), [""; 0]);
            let entry = sh("nft list map ip edgesvc services");
            assert!(entry.contains("10.43.1.1 . tcp . 80") && entry.contains("goto n-5000"), "{entry}");
            let less = service("large", 1, some(0, 2));
            dataplane.apply(vec![moved(&large, &less)]).await.unwrap();
            let back = service("large", 1, vec![SocketAddr::from(([10, 1, 1, 2], 8080))]);
            dataplane.apply(vec![moved(&less, &back)]).await.unwrap();
            assert!(served(1));
            let left = sh("nft list table ip edgesvc");
            assert!(!left.contains("127.1.19."), "nothing stays behind");
            // Twenty thousand that all move do not fit: that is one Service's trouble.
            let (huge, shifted) = (service("huge", 2, some(0, 20_000)), service("huge", 2, some(1, 20_001)));
            dataplane.apply(vec![added(&huge)]).await.unwrap();
            dataplane.apply(vec![moved(&huge, &shifted), added(&good("other", 3))]).await.unwrap();
            assert!(served(3));
            let why = dataplane.refused().borrow().values().next().unwrap().clone();
            assert!(why.contains("net.core.wmem_max"), "{why}");
            assert!(sh("nft list map ip edgesvc endpoints").contains("127.1.0.0 . 80"), "it stays as it was");
            dataplane.apply(vec![moved(&shifted, &good("huge", 2))]).await.unwrap();
            assert_eq!(refused(&dataplane), [""; 0]);
            assert!(served(2) && !sh("nft list table ip edgesvc").contains("127.1."));
        },
    );
}
