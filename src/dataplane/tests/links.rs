use std::net::Ipv4Addr;

use netlink_packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use rtnetlink::RouteMessageBuilder;

use super::super::links::{BoxLink, BoxLinks, Way, read_link, shared_links, way_of};

fn link(name: &str, kind: Option<&str>, master: Option<u32>) -> BoxLink {
    BoxLink { name: name.to_owned(), kind: kind.map(str::to_owned), master, hairpin: false }
}

fn links() -> BoxLinks {
    BoxLinks::from([
        (1, link("lo", None, None)),
        (2, link("eth0", None, None)),
        (3, link("docker0", Some("bridge"), None)),
        (4, link("veth1", Some("veth"), Some(3))),
        (5, link("br-lan", Some("bridge"), None)),
        (6, link("eth1", None, Some(5))),
        (7, link("vxlan0", Some("vxlan"), None)),
        (8, link("edgesvc0", Some("veth"), None)),
        (9, link("edgesvc1", Some("veth"), None)),
    ])
}

fn route(out: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new().output_interface(out).build()
}

#[test]
fn an_endpoint_is_off_the_box_behind_a_gateway_a_wire_or_a_tunnel() {
    let way = |out| way_of(&route(out), &links());
    let off_box = Way { off_box: true, bridge: None };
    assert_eq!(way(1), Way::default());
    assert_eq!(way(2), off_box);
    assert_eq!(way(3), Way { off_box: false, bridge: Some(3) }, "a bridge of guests");
    assert_eq!(way(4), Way::default());
    assert_eq!(way(5), Way { off_box: true, bridge: Some(5) }, "a bridge with a wire in it");
    assert_eq!(way(7), off_box);
    assert_eq!(way(99), Way::default(), "a link that is gone");
    let mut by_gateway = route(4);
    by_gateway.attributes.push(RouteAttribute::Gateway(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(way_of(&by_gateway, &links()), off_box);
    let mut local = route(1);
    local.header.kind = RouteType::Local;
    assert_eq!(way_of(&local, &links()), Way::default());
}

#[test]
fn two_hosts_can_sit_on_any_link_but_ours_and_lo() {
    assert_eq!(shared_links(&links()).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_link_tells_kind_master_and_hairpin_mode() {
    let mut message = LinkMessage::default();
    let port = |on| {
        let data = InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(on)]);
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(data),
        ])
    };
    message.attributes = vec![LinkAttribute::IfName("veth1".to_owned()), LinkAttribute::Controller(3), port(true)];
    assert_eq!(read_link(&message), BoxLink { hairpin: true, ..link("veth1", Some("veth"), Some(3)) });
    message.attributes[2] = port(false);
    assert_eq!(read_link(&message), link("veth1", Some("veth"), Some(3)));
    message.attributes.truncate(1);
    assert_eq!(read_link(&message), link("veth1", None, None), "hardware");
}
