use ipnet::IpNet;

use super::super::ranges::{Plan, plan};

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn held(ours: &[&str], theirs: &[&str]) -> Vec<(IpNet, bool)> {
    let side = |texts: &[&str], own: bool| nets(texts).into_iter().map(move |range| (range, own)).collect::<Vec<_>>();
    [side(ours, true), side(theirs, false)].concat()
}

#[test]
fn routes_follow_the_ranges_and_those_of_the_box_stay() {
    let wanted = nets(&["10.43.0.0/16", "192.168.5.0/24", "fd43::/112"]);
    let made = plan(&held(&["10.50.0.0/24"], &["192.168.5.0/24", "10.0.0.0/8"]), &wanted);
    assert_eq!(
        made,
        Plan {
            set: nets(&["10.43.0.0/16", "fd43::/112"]),
            remove: nets(&["10.50.0.0/24"]),
            foreign: nets(&["192.168.5.0/24"]),
        }
    );
}

#[test]
fn a_route_of_ours_gives_way_to_one_of_the_box_that_came_later() {
    let both = held(&["10.50.0.0/24"], &["10.50.0.0/24"]);
    assert_eq!(plan(&both, &nets(&["10.50.0.0/24"])).remove, nets(&["10.50.0.0/24"]));
}
