//! Services and Endpoints.

use super::Shape::{Bool, Int32, IntOrString, List, Map, Object, String};
use super::Type;
use super::build::{opt, own, ptr, req};
use super::values::{PROTOCOLS, TRAFFIC_POLICIES};

pub(super) static TYPES: &[Type] = &[
    core!(top "Service" => "Service gives a set of pods one stable address and one DNS name, and spreads connections over the ready ones.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("ServiceSpec"), "What the Service offers and to which pods it sends."),
        own(3, "status", Object("ServiceStatus"), "Observed state: load-balancer addresses and conditions."),
    ]),
    core!(top "ServiceList" => "ServiceList is a list of Services.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Service")), "The objects."),
    ]),
    core!("ServiceSpec" => "ServiceSpec says what a Service offers and to which pods it sends.", [
        opt(1, "ports", List(&Object("ServicePort")), "The ports offered; at least one unless headless or ExternalName.").merge("port").keys(&["port", "protocol"]),
        opt(2, "selector", Map(&String), "Labels of the pods to send to; without it you keep the endpoints yourself.").atomic(),
        opt(3, "clusterIP", String, "The virtual address, allocated when empty; None makes the Service headless."),
        opt(18, "clusterIPs", List(&String), "The virtual addresses, at most one of each family; the first is clusterIP.").atomic(),
        opt(4, "type", String, "ClusterIP (default), NodePort, LoadBalancer or ExternalName.").one_of(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]),
        opt(5, "externalIPs", List(&String), "Further addresses of this box at which the Service answers; routing them here is up to you.").atomic(),
        opt(7, "sessionAffinity", String, "ClientIP keeps a client on one endpoint; None (default) does not.").one_of(&["ClientIP", "None"]),
        opt(8, "loadBalancerIP", String, "Deprecated wish for the load-balancer address."),
        opt(9, "loadBalancerSourceRanges", List(&String), "Client CIDRs the load-balancer address admits; all when empty.").atomic(),
        opt(10, "externalName", String, "Host name DNS answers with (CNAME), for type ExternalName."),
        opt(11, "externalTrafficPolicy", String, "Local sends external traffic only to endpoints of this node and keeps client addresses; Cluster sends to all.").one_of(TRAFFIC_POLICIES),
        opt(12, "healthCheckNodePort", Int32, "Port of the health check, allocated for type LoadBalancer with externalTrafficPolicy Local."),
        opt(13, "publishNotReadyAddresses", Bool, "Publish endpoints in DNS and slices before they are ready."),
        ptr(14, "sessionAffinityConfig", Object("SessionAffinityConfig"), "Settings of session affinity."),
        opt(19, "ipFamilies", List(&String), "IPv4 and IPv6, in the order of clusterIPs.").atomic().one_of(&["", "IPv4", "IPv6"]),
        ptr(17, "ipFamilyPolicy", String, "SingleStack (default), PreferDualStack or RequireDualStack.").one_of(&["PreferDualStack", "RequireDualStack", "SingleStack"]),
        ptr(20, "allocateLoadBalancerNodePorts", Bool, "false gives a LoadBalancer Service no node ports."),
        ptr(21, "loadBalancerClass", String, "Load-balancer implementation to use; set only at creation."),
        ptr(22, "internalTrafficPolicy", String, "Local sends internal traffic only to endpoints of this node; Cluster (default) to all.").one_of(TRAFFIC_POLICIES),
        ptr(23, "trafficDistribution", String, "Preference for near endpoints: PreferSameZone, PreferSameNode or PreferClose."),
    ]),
    core!("ServicePort" => "ServicePort is one port of a Service.", [
        opt(1, "name", String, "Name, needed and unique when there are several; part of SRV names."),
        opt(2, "protocol", String, "TCP (default), UDP or SCTP.").default("TCP").one_of(PROTOCOLS),
        ptr(6, "appProtocol", String, "Application protocol, for instance http or kubernetes.io/h2c."),
        req(3, "port", Int32, "The port the Service offers."),
        own(4, "targetPort", IntOrString, "Port number or container port name on the pods; as port when absent."),
        opt(5, "nodePort", Int32, "Port on the node's addresses for NodePort and LoadBalancer, allocated when 0."),
    ]),
    core!("ServiceStatus" => "ServiceStatus is the observed state of a Service.", [
        own(1, "loadBalancer", Object("LoadBalancerStatus"), "Addresses the load balancer gave."),
        opt(2, "conditions", List(&Object("Condition")), "Conditions observed last, one of each type.").merge("type").keys(&["type"]),
    ]),
    core!("SessionAffinityConfig" => "SessionAffinityConfig holds settings of session affinity.", [
        ptr(1, "clientIP", Object("ClientIPConfig"), "Settings of affinity by client address."),
    ]),
    core!("ClientIPConfig" => "ClientIPConfig holds settings of affinity by client address.", [
        ptr(1, "timeoutSeconds", Int32, "Seconds a client stays with its endpoint; 1 to 86400, default 10800."),
    ]),
    core!("LoadBalancerStatus" => "LoadBalancerStatus lists what the load balancer gave.", [
        opt(1, "ingress", List(&Object("LoadBalancerIngress")), "Points at which traffic enters.").atomic(),
    ]),
    core!("LoadBalancerIngress" => "LoadBalancerIngress is one point at which traffic enters.", [
        opt(1, "ip", String, "Address of the load balancer."),
        opt(2, "hostname", String, "Host name of the load balancer."),
        ptr(3, "ipMode", String, "VIP (default) or Proxy: how traffic to the address is delivered."),
        opt(4, "ports", List(&Object("PortStatus")), "State of each port.").atomic(),
    ]),
    core!("PortStatus" => "PortStatus is the state of one port of a load balancer.", [
        req(1, "port", Int32, "Port number."),
        req(2, "protocol", String, "TCP, UDP or SCTP.").one_of(PROTOCOLS),
        ptr(3, "error", String, "Why the port is not served, in CamelCase."),
    ]),
    core!(top "Endpoints" => "Endpoints lists the addresses behind a Service. Deprecated: use EndpointSlice of discovery.k8s.io/v1.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        opt(2, "subsets", List(&Object("EndpointSubset")), "Groups of addresses that share the same ports.").atomic(),
    ]),
    core!(top "EndpointsList" => "EndpointsList is a list of Endpoints.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Endpoints")), "The objects."),
    ]),
    core!("EndpointSubset" => "EndpointSubset is a group of addresses with the same ports.", [
        opt(1, "addresses", List(&Object("EndpointAddress")), "Addresses that are ready.").atomic(),
        opt(2, "notReadyAddresses", List(&Object("EndpointAddress")), "Addresses that are not ready.").atomic(),
        opt(3, "ports", List(&Object("EndpointPort")), "Ports of these addresses.").atomic(),
    ]),
    core!(atomic "EndpointAddress" => "EndpointAddress is one address behind a Service.", [
        req(1, "ip", String, "The address; not loopback or link-local."),
        opt(3, "hostname", String, "Host name."),
        ptr(4, "nodeName", String, "Node the endpoint runs on."),
        ptr(2, "targetRef", Object("ObjectReference"), "The object behind the address."),
    ]),
    core!(atomic "EndpointPort" => "EndpointPort is one port of endpoints.", [
        opt(1, "name", String, "Name of the Service's port."),
        req(2, "port", Int32, "Port number."),
        opt(3, "protocol", String, "TCP, UDP or SCTP.").one_of(PROTOCOLS),
        ptr(4, "appProtocol", String, "Application protocol, for instance http or kubernetes.io/h2c."),
    ]),
];
