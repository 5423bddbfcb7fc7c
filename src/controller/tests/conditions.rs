//! A Service shows what of it is not served, as long as that is so.

use std::sync::Arc;

use super::*;
use crate::controller::{Cause, Trouble};
use crate::model::Claim;

fn trouble(world: &mut World, trouble: Trouble, services: &[(&str, &str)]) {
    let before = world.facts.clone();
    let cause = |(name, why): &(&str, &str)| {
        (key(Kind::Service, name), Cause { reason: "KernelRefused", message: (*why).to_owned() })
    };
    Arc::make_mut(&mut world.facts.troubles).replace(trouble, services.iter().map(cause));
    let tasks = dirty::by_facts(&world.snapshot, &before, &world.facts);
    world.play(tasks);
    world.settle();
}

fn shown(world: &World, name: &str) -> Vec<String> {
    let value = world.get(Kind::Service, name).unwrap();
    let text = |row: &Value| {
        format!(
            "{} {} {}",
            row["type"].as_str().unwrap(),
            row["status"].as_str().unwrap(),
            row["message"].as_str().unwrap()
        )
    };
    value["status"]["conditions"].as_array().into_iter().flatten().map(text).collect()
}

fn service(name: &str, status: Value) -> Draft {
    draft(Kind::Service, name, json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}, "status": status}))
}

#[test]
fn conditions_are_there_while_the_trouble_is_and_others_stay() {
    let other = json!({"type": "example.com/Mine", "status": "True", "message": "m"});
    let mut world =
        World::new([service("a", json!({"loadBalancer": {}, "conditions": [other]})), service("b", json!({}))]);
    assert_eq!(shown(&world, "a"), ["example.com/Mine True m"]);
    let written = world.written.len();
    trouble(&mut world, Trouble::Kernel, &[("a", "no room"), ("gone", "x")]);
    assert_eq!(world.written.len(), written + 1, "others cost nothing");
    let mine = "example.com/Mine True m".to_owned();
    assert_eq!(shown(&world, "a"), [mine.clone(), "edgesvc.io/NotProgrammed True no room".to_owned()]);
    trouble(&mut world, Trouble::Ports, &[("a", "99/SCTP"), ("b", "99/SCTP")]);
    assert_eq!(shown(&world, "a").len(), 3);
    assert_eq!(shown(&world, "b"), ["edgesvc.io/PortsNotServed True 99/SCTP"]);
    // Another cause: the trouble is as old as before.
    world.now += time::Duration::hours(1);
    trouble(&mut world, Trouble::Kernel, &[("a", "no memory")]);
    let value = world.get(Kind::Service, "a").unwrap();
    assert_eq!(value["status"]["conditions"][1]["message"], "no memory");
    assert_eq!(value["status"]["conditions"][1]["lastTransitionTime"], "2026-01-02T03:04:05Z");
    // Whoever takes it away.
    world.edit(Kind::Service, "b", json!({"status": {"conditions": []}}));
    world.settle();
    assert_eq!(shown(&world, "b"), ["edgesvc.io/PortsNotServed True 99/SCTP"]);
    trouble(&mut world, Trouble::Kernel, &[]);
    trouble(&mut world, Trouble::Ports, &[]);
    assert_eq!((shown(&world, "a"), shown(&world, "b")), (vec![mine], vec![]));
    assert!(world.get(Kind::Service, "b").unwrap()["status"].is_null());
}

#[test]
fn what_an_earlier_run_left_is_taken_away_and_no_claim_is_taken_with_it() {
    let stale = json!({"conditions": [{"type": "edgesvc.io/NotProgrammed", "status": "True", "message": "old"}]});
    let mut world = World::new([service("a", stale)]);
    assert_eq!(shown(&world, "a"), [""; 0]);
    let value = json!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80}]}});
    let claims = vec![Claim::ClusterIp("10.96.0.9".parse().unwrap())];
    for (name, claims) in [("first", claims.clone()), ("second", Vec::new())] {
        let op = Op::Put { draft: Box::new(draft(Kind::Service, name, value.clone())), expect: Expect::Any, claims };
        world.snapshot = world.snapshot.foresee(&[op]).unwrap();
    }
    trouble(&mut world, Trouble::Kernel, &[("first", "x"), ("second", "x")]);
    assert_eq!(shown(&world, "second").len(), 1, "it shows the address of another");
    assert_eq!(world.snapshot.held(Kind::Service, &key(Kind::Service, "first")), claims);
    assert!(world.snapshot.held(Kind::Service, &key(Kind::Service, "second")).is_empty());
}
