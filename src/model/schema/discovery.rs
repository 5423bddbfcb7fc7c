//! `discovery.k8s.io/v1`: EndpointSlice.

use super::Shape::{Bool, Int32, List, Map, Object, String};
use super::Type;
use super::build::{opt, own, ptr, req};
use super::values::PROTOCOLS;

pub(super) static TYPES: &[Type] = &[
    discovery!(top "EndpointSlice" => "EndpointSlice lists a part of the endpoints behind a Service, all of one address type.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(4, "addressType", String, "IPv4, IPv6 or FQDN; cannot be changed.").one_of(&["FQDN", "IPv4", "IPv6"]),
        own(2, "endpoints", List(&Object("Endpoint")), "The endpoints; at most 1000.").atomic(),
        own(3, "ports", List(&Object("discovery.EndpointPort")), "Ports that every endpoint of this slice offers; at most 100.").atomic(),
    ]),
    discovery!(top "EndpointSliceList" => "EndpointSliceList is a list of EndpointSlices.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("EndpointSlice")), "The objects."),
    ]),
    discovery!("Endpoint" => "Endpoint is one backend of a Service.", [
        req(1, "addresses", List(&String), "Its addresses, all alike; only the first is used.").set(),
        own(2, "conditions", Object("EndpointConditions"), "Whether it is ready, serving, terminating."),
        ptr(3, "hostname", String, "Host name, unique in the Service; gives it a DNS name of its own."),
        ptr(4, "targetRef", Object("ObjectReference"), "The object behind the endpoint, usually a Pod."),
        opt(5, "deprecatedTopology", Map(&String), "Topology labels of v1beta1. Deprecated."),
        ptr(6, "nodeName", String, "Node it runs on."),
        ptr(7, "zone", String, "Zone it runs in."),
        ptr(8, "hints", Object("EndpointHints"), "From where it should be preferred."),
    ]),
    discovery!(atomic "discovery.EndpointPort" as "EndpointPort" => "EndpointPort is one port of the endpoints of a slice.", [
        ptr(1, "name", String, "Name of the Service's port; unique in the slice."),
        ptr(2, "protocol", String, "TCP (default), UDP or SCTP.").one_of(PROTOCOLS),
        ptr(3, "port", Int32, "Port number; absent means all ports, for whoever knows what to do with it."),
        ptr(4, "appProtocol", String, "Application protocol, for instance http or kubernetes.io/h2c."),
    ]),
    discovery!("EndpointConditions" => "EndpointConditions says whether an endpoint takes connections.", [
        ptr(1, "ready", Bool, "Takes new connections; unknown counts as ready."),
        ptr(2, "serving", Bool, "As ready, but also true while terminating and still answering."),
        ptr(3, "terminating", Bool, "Is being deleted."),
    ]),
    discovery!("EndpointHints" => "EndpointHints says from where an endpoint should be preferred.", [
        opt(1, "forZones", List(&Object("ForZone")), "Zones that should prefer it; at most 8.").atomic(),
        opt(2, "forNodes", List(&Object("ForNode")), "Nodes that should prefer it; at most 8.").atomic(),
    ]),
    discovery!("ForZone" => "ForZone names a zone.", [
        req(1, "name", String, "Name of the zone."),
    ]),
    discovery!("ForNode" => "ForNode names a node.", [
        req(1, "name", String, "Name of the node."),
    ]),
];
