//! The tables of spec/service.md sections 4.3 and 5, and what holds for any pool.

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("n", name)
}

fn bands(range: &str) -> [String; 3] {
    let range = net(range);
    let (first, dynamic, last) = Pool::of_network(range).parts();
    [first, dynamic, last].map(|value| pool::addr(range, value).to_string())
}

#[test]
fn bands_are_those_of_kubernetes() {
    assert_eq!(bands("10.96.0.0/16"), ["10.96.0.1", "10.96.1.1", "10.96.255.254"]);
    assert_eq!(bands("10.0.0.0/20"), ["10.0.0.1", "10.0.1.1", "10.0.15.254"]);
    assert_eq!(bands("10.0.0.0/24"), ["10.0.0.1", "10.0.0.17", "10.0.0.254"]);
    assert_eq!(bands("10.0.0.0/27"), ["10.0.0.1", "10.0.0.17", "10.0.0.30"]);
    assert_eq!(bands("10.0.0.0/28"), ["10.0.0.1", "10.0.0.1", "10.0.0.14"]);
    assert_eq!(bands("fd00::/112"), ["fd00::1", "fd00::101", "fd00::ffff"]);
    assert_eq!(Pool::of_ports(&(30_000..=32_767)).parts(), (30_000, 30_086, 32_767));
}

#[test]
fn case_55_the_static_band_is_left_alone_while_there_is_room() {
    let mut claims = Claims::new();
    let mut rng = fastrand::Rng::with_seed(1);
    for n in 0..300 {
        let addr = cluster_ip(&claims, net("10.96.0.0/16"), &mut rng).unwrap();
        assert!(addr > "10.96.1.0".parse::<IpAddr>().unwrap(), "{addr}");
        assert_eq!(claims.insert(Claim::ClusterIp(addr), key(&n.to_string())), None);
    }
}

#[test]
fn case_54_a_small_range_is_given_out_to_the_last_address() {
    let (range, mut claims) = (net("10.0.0.0/28"), Claims::new());
    let mut rng = fastrand::Rng::with_seed(2);
    for n in 0..14 {
        let addr = cluster_ip(&claims, range, &mut rng).unwrap();
        claims.insert(Claim::ClusterIp(addr), key(&n.to_string()));
    }
    assert_eq!(cluster_ip(&claims, range, &mut rng), Err(AllocateError::Full));
    let freed: IpAddr = "10.0.0.7".parse().unwrap();
    claims.remove(&Claim::ClusterIp(freed));
    assert_eq!(cluster_ip(&claims, range, &mut rng), Ok(freed));
}

#[test]
fn requests_are_granted_anywhere_usable() {
    let mut claims = Claims::new();
    claims.insert(Claim::ClusterIp("10.96.0.1".parse().unwrap()), key("kubernetes"));
    let ask = |addr: &str, owner: &str| {
        requested_cluster_ip(&claims, &[net("10.96.0.0/16")], addr.parse().unwrap(), &key(owner))
    };
    assert_eq!(ask("10.96.0.10", "a"), Ok(()));
    assert!(matches!(ask("10.96.0.1", "a"), Err(AllocateError::Taken(_))));
    assert_eq!(ask("10.96.0.1", "kubernetes"), Ok(()), "its own address");
    for addr in ["10.96.0.0", "10.96.255.255", "1.2.3.4", "fd00::1"] {
        assert!(matches!(ask(addr, "a"), Err(AllocateError::OutOfRange { .. })), "{addr}");
    }
}

#[test]
fn cases_35_and_36_node_ports_asked_for_by_number() {
    let mut claims = Claims::new();
    claims.insert(Claim::NodePort(30_007), key("a"));
    let range = 30_000..=32_767;
    let ask = |port| requested_node_port(&claims, &range, port, &key("b"));
    assert!(matches!(ask(30_007), Err(AllocateError::Taken(_))));
    assert!(ask(29_999).unwrap_err().to_string().contains("30000-32767"));
    assert_eq!(ask(30_008), Ok(()));
}

#[test]
fn the_widest_pools_are_no_more_work_than_small_ones() {
    let mut rng = fastrand::Rng::with_seed(3);
    let addr = cluster_ip(&Claims::new(), net("fd00::/64"), &mut rng).unwrap();
    assert!(net("fd00::/64").contains(&addr));
    assert_eq!(first_cluster_ip(net("10.43.0.0/16")).to_string(), "10.43.0.1");
}

proptest! {
    /// Whatever is taken: a pick is free and in the pool, and only a full pool has none.
    #[test]
    fn a_pick_is_free_and_only_a_full_pool_has_none(
        taken in proptest::collection::btree_set(30_000_u16..30_040, 0..=40),
        seed in any::<u64>(),
    ) {
        let range = 30_000..=30_039;
        let claims: Claims = taken.iter().map(|port| (Claim::NodePort(*port), key("x"))).collect();
        match node_port(&claims, &range, &mut fastrand::Rng::with_seed(seed)) {
            Ok(port) => {
                prop_assert!(range.contains(&port) && !taken.contains(&port));
                // The band of 16 is touched only when all above it is taken.
                prop_assert!(port >= 30_016 || (30_016..30_040).all(|port| taken.contains(&port)));
            }
            Err(error) => prop_assert!(error == AllocateError::Full && taken.len() == 40),
        }
    }
}
