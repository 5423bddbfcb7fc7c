//! Many Services, also where the kernel allows a transaction of some 400 KB only.

use std::net::SocketAddr;
use std::sync::Arc;

use edgesvc::dataplane::{Ceiling, Dataplane, Options};
use edgesvc::desired::{Change, Contribution};
use tokio::time::Instant;

use super::world::*;

/// One of many Services: 10.44.x.y:80/TCP with two endpoints.
fn many(number: u16, last: u8) -> Contribution {
    let [high, low] = number.to_be_bytes();
    let endpoints = vec![SocketAddr::from(([10, 1, 1, 2], 8080)), SocketAddr::from(([10, 1, 2, last], 8080))];
    on_tcp(&format!("many-{number}"), [10, 44, high, low].into(), endpoints)
}

/// The kernel's default, and more Services than fit into it.
pub(crate) const SMALL: Ceiling =
    Ceiling { send_buffer_bytes: 212_992, owned_tables: true, hear_buffer_bytes: 4 << 20 };
const TOO_MANY: u16 = 4_000;

fn all(count: u16) -> Vec<Arc<Contribution>> {
    (0..count).map(|number| Arc::new(many(number, 2))).collect()
}

#[test]
fn ten_thousand_services_fit_and_a_change_costs_the_change() {
    in_world("scale::ten_thousand_services_fit_and_a_change_costs_the_change", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let dataplane = Dataplane::open(options()).unwrap();
        let services = all(10_000);
        let begun = Instant::now();
        dataplane.converge(services.clone()).await.unwrap();
        println!("install of 10,000: {:?}", begun.elapsed());
        assert_eq!(names(&ask("client", "tcp", "10.44.39.15", 80, 20)), set(&["b1", "b2"]));
        let begun = Instant::now();
        for number in 0..200 {
            let report = dataplane.apply(change(&many(number, 2), &many(number, 3))).await.unwrap();
            assert!(report.operations <= 4, "{report:?}");
        }
        println!("200 changes: {:?}", begun.elapsed());
        let begun = Instant::now();
        dataplane.apply(change(&many(9_999, 2), &many(9_999, 3))).await.unwrap();
        println!("1 change: {:?}", begun.elapsed());
        let begun = Instant::now();
        dataplane.converge(services).await.unwrap();
        println!("adoption of 10,000: {:?}", begun.elapsed());
    });
}

#[test]
fn a_large_first_install_is_seen_whole_or_not_at_all() {
    in_world("scale::a_large_first_install_is_seen_whole_or_not_at_all", || async {
        let dataplane = Dataplane::open_below(options(), SMALL).unwrap();
        let services = all(TOO_MANY);
        let install = dataplane.converge(services);
        tokio::pin!(install);
        let has = |number: u16| {
            let [high, low] = number.to_be_bytes();
            let key = format!("10.44.{high}.{low} . tcp . 80");
            sh(&format!("nft get element ip edgesvc services '{{ {key} }}' 2>&1 || true")).contains("n-2")
        };
        let (mut looks, mut partial) = (0, Vec::new());
        loop {
            tokio::select! {
                done = &mut install => {
                    done.unwrap();
                    break;
                }
                () = tokio::task::yield_now() => {
                    let hooked = sh("nft list chains").contains("hook prerouting");
                    let seen = (hooked, hooked && has(0), hooked && has(TOO_MANY - 1));
                    looks += 1;
                    partial.extend(Some(seen).filter(|seen| !matches!(seen, (false, ..) | (true, true, true))));
                }
            }
        }
        assert!(partial.is_empty() && looks > 0, "{partial:?} of {looks}");
        assert!(has(0) && has(TOO_MANY - 1));
    });
}

#[test]
fn a_live_table_is_replaced_in_pieces_without_a_loss() {
    in_world("scale::a_live_table_is_replaced_in_pieces_without_a_loss", || async {
        let _server = serve("b1", 8080);
        let mut services = all(TOO_MANY);
        services.push(Arc::new(web(&[1], None)));
        let mut dataplane = Dataplane::open_below(options(), SMALL).unwrap();
        dataplane.converge(services.clone()).await.unwrap();
        let mut client = python("client");
        client.args(["-c", CLIENT, "tcp", VIP, "80", "1000"]).stdout(std::process::Stdio::piped());
        let client = client.spawn().unwrap();
        let answered = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap());
        let mut replaced = 0;
        // Other options make other rules: the table has to be made anew.
        while replaced < 2 || !answered.is_finished() {
            let cidr = format!("10.{}.0.0/16", 1 + replaced % 2).parse().unwrap();
            dataplane = take_over(dataplane, Options { cluster_cidrs: vec![cidr], ..options() }, SMALL).await;
            dataplane.converge(services.clone()).await.unwrap();
            replaced += 1;
        }
        let text = String::from_utf8(answered.await.unwrap().stdout).unwrap();
        let answers: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!((answers.len(), names(&answers)), (1000, set(&["b1"])), "{replaced} times");
        dataplane.converge(vec![Arc::new(web(&[1], None))]).await.unwrap();
        assert!(!sh("nft list map ip edgesvc services").contains("10.44.0.0"));
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 2)), set(&["b1"]));
    });
}

#[test]
fn many_changes_at_once_are_applied_in_portions() {
    in_world("scale::many_changes_at_once_are_applied_in_portions", || async {
        let _servers = [serve("b1", 8080), serve("b2", 8080)];
        let dataplane = Dataplane::open_below(options(), SMALL).unwrap();
        dataplane.converge(vec![Arc::new(web(&[1, 2], None))]).await.unwrap();
        let services = all(TOO_MANY);
        let changes: Vec<Change> = services.iter().map(|service| added(service)).collect();
        dataplane.apply(changes).await.unwrap();
        assert_eq!(names(&ask("client", "tcp", "10.44.15.159", 80, 20)), set(&["b1", "b2"]));
        let changes: Vec<Change> = services.iter().map(|service| removed(service)).collect();
        dataplane.apply(changes).await.unwrap();
        assert!(!sh("nft list map ip edgesvc services").contains("10.44."));
        assert_eq!(names(&ask("client", "tcp", VIP, 80, 20)), set(&["b1", "b2"]));
    });
}
