//! `networking.k8s.io/v1`: IPAddress, ServiceCIDR, Ingress, IngressClass.

use super::Shape::{Int32, List, Object, String};
use super::Type;
use super::build::{inl, opt, own, ptr, req};
use super::values::PROTOCOLS;

pub(super) static TYPES: &[Type] = &[
    networking!(top "IPAddress" => "IPAddress is one address that something holds; its name is the address.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("IPAddressSpec"), "What holds it.").required(),
    ]),
    networking!(top "IPAddressList" => "IPAddressList is a list of IPAddresses.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("IPAddress")), "The objects."),
    ]),
    networking!("IPAddressSpec" => "IPAddressSpec says what holds an address.", [
        ptr(1, "parentRef", Object("ParentReference"), "The object that holds it; cannot be changed.").required(),
    ]),
    networking!("ParentReference" => "ParentReference names the object an address belongs to.", [
        opt(1, "group", String, "API group of the object; empty for the core group."),
        opt(2, "resource", String, "Resource of the object, in plural.").required(),
        opt(3, "namespace", String, "Namespace of the object."),
        opt(4, "name", String, "Name.").required(),
    ]),
    networking!(top "ServiceCIDR" => "ServiceCIDR is a range, or one of each family, that cluster IPs come from.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("ServiceCIDRSpec"), "The ranges."),
        own(3, "status", Object("ServiceCIDRStatus"), "Whether addresses are given out."),
    ]),
    networking!(top "ServiceCIDRList" => "ServiceCIDRList is a list of ServiceCIDRs.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("ServiceCIDR")), "The objects."),
    ]),
    networking!("ServiceCIDRSpec" => "ServiceCIDRSpec holds the ranges.", [
        opt(1, "cidrs", List(&String), "One range, or one of each family; only the second can be added later.").atomic(),
    ]),
    networking!("ServiceCIDRStatus" => "ServiceCIDRStatus is the observed state of the ranges.", [
        opt(1, "conditions", List(&Object("Condition")), "Conditions observed last, one of each type.").merge("type").keys(&["type"]),
    ]),
    networking!(top "Ingress" => "Ingress says which requests of HTTP go to which Service.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("IngressSpec"), "The rules."),
        own(3, "status", Object("IngressStatus"), "Observed state: load-balancer addresses."),
    ]),
    networking!(top "IngressList" => "IngressList is a list of Ingresses.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Ingress")), "The objects."),
    ]),
    networking!("IngressSpec" => "IngressSpec says which requests go where.", [
        ptr(4, "ingressClassName", String, "The IngressClass whose controller serves it."),
        ptr(1, "defaultBackend", Object("IngressBackend"), "Where requests go that no rule matches."),
        opt(2, "tls", List(&Object("IngressTLS")), "Certificates, by host.").atomic(),
        opt(3, "rules", List(&Object("IngressRule")), "Rules by host; without any all goes to defaultBackend.").atomic(),
    ]),
    networking!("IngressTLS" => "IngressTLS names the certificate of some hosts.", [
        opt(1, "hosts", List(&String), "Hosts the certificate is for.").atomic(),
        opt(2, "secretName", String, "Secret with the certificate and its key."),
    ]),
    networking!("IngressRule" => "IngressRule says where requests to a host go.", [
        opt(1, "host", String, "The host, or *. and a domain; every host when empty."),
        inl(2, "ingressRuleValue", "IngressRuleValue"),
    ]),
    networking!("IngressRuleValue" => "IngressRuleValue is what a rule does.", [
        ptr(1, "http", Object("HTTPIngressRuleValue"), "Rules by path."),
    ]),
    networking!("HTTPIngressRuleValue" => "HTTPIngressRuleValue is a list of paths and where they go.", [
        req(1, "paths", List(&Object("HTTPIngressPath")), "The paths.").atomic(),
    ]),
    networking!("HTTPIngressPath" => "HTTPIngressPath says where requests for a path go.", [
        opt(1, "path", String, "The path; begins with a slash."),
        ptr(3, "pathType", String, "Exact, Prefix (by element) or ImplementationSpecific.").required().one_of(&["Exact", "ImplementationSpecific", "Prefix"]),
        req(2, "backend", Object("IngressBackend"), "Where they go."),
    ]),
    networking!("IngressBackend" => "IngressBackend is where requests go: a Service or a resource.", [
        ptr(4, "service", Object("IngressServiceBackend"), "A Service."),
        ptr(3, "resource", Object("TypedLocalObjectReference"), "Another object of the namespace."),
    ]),
    networking!("IngressServiceBackend" => "IngressServiceBackend is a port of a Service.", [
        req(1, "name", String, "Name of the Service."),
        own(2, "port", Object("ServiceBackendPort"), "The port, by name or number."),
    ]),
    networking!(atomic "ServiceBackendPort" => "ServiceBackendPort is a port, by name or number.", [
        opt(1, "name", String, "Name of the port."),
        opt(2, "number", Int32, "Number of the port."),
    ]),
    networking!("IngressStatus" => "IngressStatus is the observed state of an Ingress.", [
        own(1, "loadBalancer", Object("IngressLoadBalancerStatus"), "Addresses the load balancer gave."),
    ]),
    networking!("IngressLoadBalancerStatus" => "IngressLoadBalancerStatus lists what the load balancer gave.", [
        opt(1, "ingress", List(&Object("IngressLoadBalancerIngress")), "Points at which traffic enters.").atomic(),
    ]),
    networking!("IngressLoadBalancerIngress" => "IngressLoadBalancerIngress is one point at which traffic enters.", [
        opt(1, "ip", String, "Address of the load balancer."),
        opt(2, "hostname", String, "Host name of the load balancer."),
        opt(4, "ports", List(&Object("IngressPortStatus")), "State of each port.").atomic(),
    ]),
    networking!("IngressPortStatus" => "IngressPortStatus is the state of one port of a load balancer.", [
        req(1, "port", Int32, "Port number."),
        req(2, "protocol", String, "TCP, UDP or SCTP.").one_of(PROTOCOLS),
        ptr(3, "error", String, "Why the port is not served, in CamelCase."),
    ]),
    networking!(top "IngressClass" => "IngressClass names the controller that serves Ingresses of this class.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("IngressClassSpec"), "The controller."),
    ]),
    networking!(top "IngressClassList" => "IngressClassList is a list of IngressClasses.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("IngressClass")), "The objects."),
    ]),
    networking!("IngressClassSpec" => "IngressClassSpec names a controller.", [
        opt(1, "controller", String, "Name of the controller, for instance example.com/ingress; cannot be changed."),
        ptr(2, "parameters", Object("IngressClassParametersReference"), "An object with more settings for the controller."),
    ]),
    networking!("IngressClassParametersReference" => "IngressClassParametersReference names an object with settings.", [
        ptr(1, "apiGroup", String, "API group of the object; the core group when absent."),
        req(2, "kind", String, "Kind of the object."),
        req(3, "name", String, "Name."),
        ptr(4, "scope", String, "Cluster (default) or Namespace."),
        ptr(5, "namespace", String, "Namespace of the object, for scope Namespace."),
    ]),
];
