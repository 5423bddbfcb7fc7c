//! Namespaces and nodes.

use super::Shape::{Bool, Int32, Int64, List, Map, Object, Quantity, String, Time};
use super::Type;
use super::build::{opt, own, ptr, req};
use super::values::TAINT_EFFECTS;

pub(super) static TYPES: &[Type] = &[
    core!("NodeSpec" => "NodeSpec is the desired behaviour of a node.", [
        opt(1, "podCIDR", String, "Range of pod addresses on the node."),
        opt(7, "podCIDRs", List(&String), "Ranges of pod addresses, at most one of each family.").merge_set().set(),
        opt(3, "providerID", String, "Id the cloud gave the machine."),
        opt(4, "unschedulable", Bool, "Whether new pods are kept off."),
        opt(5, "taints", List(&Object("Taint")), "Marks that repel pods which do not tolerate them.").atomic(),
        ptr(6, "configSource", Object("NodeConfigSource"), "Deprecated: no longer used."),
        opt(2, "externalID", String, "Deprecated: no longer used."),
    ]),
    core!("NodeStatus" => "NodeStatus is the observed state of a node.", [
        opt(1, "capacity", Map(&Quantity), "All resources of the node."),
        opt(2, "allocatable", Map(&Quantity), "Resources pods may use."),
        opt(3, "phase", String, "Deprecated: no longer used.").one_of(&["Pending", "Running", "Terminated"]),
        opt(4, "conditions", List(&Object("NodeCondition")), "Conditions observed last, one of each type.").merge("type").keys(&["type"]),
        opt(5, "addresses", List(&Object("NodeAddress")), "Addresses the node is reached at.").merge("type").keys(&["type"]),
        own(6, "daemonEndpoints", Object("NodeDaemonEndpoints"), "Ports of daemons on the node."),
        own(7, "nodeInfo", Object("NodeSystemInfo"), "Versions and ids of the node."),
        opt(8, "images", List(&Object("ContainerImage")), "Container images on the node.").atomic(),
        opt(9, "volumesInUse", List(&String), "Volumes in use.").atomic(),
        opt(10, "volumesAttached", List(&Object("AttachedVolume")), "Volumes attached.").atomic(),
        ptr(11, "config", Object("NodeConfigStatus"), "Deprecated: no longer used."),
        opt(12, "runtimeHandlers", List(&Object("NodeRuntimeHandler")), "Runtime handlers and what they can do.").atomic(),
        ptr(13, "features", Object("NodeFeatures"), "What the container runtime can do."),
        opt(14, "declaredFeatures", List(&String), "Features the node declares.").atomic(),
    ]),
    core!("Taint" => "Taint repels pods that do not tolerate it.", [
        req(1, "key", String, "Key."),
        opt(2, "value", String, "Value."),
        req(3, "effect", String, "NoSchedule, PreferNoSchedule or NoExecute.").one_of(TAINT_EFFECTS),
        ptr(4, "timeAdded", Time, "When the taint was added."),
    ]),
    core!("NodeConfigSource" => "NodeConfigSource named a source of kubelet configuration. Deprecated.", [
        ptr(2, "configMap", Object("ConfigMapNodeConfigSource"), "Reference to the ConfigMap."),
    ]),
    core!("ConfigMapNodeConfigSource" => "ConfigMapNodeConfigSource named a ConfigMap with kubelet configuration. Deprecated.", [
        req(1, "namespace", String, "Namespace of the object."),
        req(2, "name", String, "Name."),
        opt(3, "uid", String, "Unique id of the object."),
        opt(4, "resourceVersion", String, "Version of the object."),
        req(5, "kubeletConfigKey", String, "Key of the ConfigMap that holds the configuration."),
    ]),
    core!("NodeCondition" => "NodeCondition is one aspect of a node's state.", [
        req(1, "type", String, "Kind of this entry."),
        req(2, "status", String, "True, False or Unknown."),
        own(3, "lastHeartbeatTime", Time, "When the condition was last reported."),
        own(4, "lastTransitionTime", Time, "When the status changed last."),
        opt(5, "reason", String, "One-word reason for programs."),
        opt(6, "message", String, "Explanation for people."),
    ]),
    core!("NodeAddress" => "NodeAddress is an address of a node.", [
        req(1, "type", String, "Hostname, InternalIP, ExternalIP, InternalDNS or ExternalDNS."),
        req(2, "address", String, "The address."),
    ]),
    core!("NodeDaemonEndpoints" => "NodeDaemonEndpoints lists ports of daemons on a node.", [
        own(1, "kubeletEndpoint", Object("DaemonEndpoint"), "Where the kubelet listens."),
    ]),
    core!("DaemonEndpoint" => "DaemonEndpoint is the port of one daemon.", [
        req(1, "Port", Int32, "Port number."),
    ]),
    core!("NodeSystemInfo" => "NodeSystemInfo holds versions and ids of a node.", [
        req(1, "machineID", String, "Id of the installation."),
        req(2, "systemUUID", String, "Id of the hardware."),
        req(3, "bootID", String, "Id of this boot."),
        req(4, "kernelVersion", String, "Kernel version."),
        req(5, "osImage", String, "Name of the operating system's release."),
        req(6, "containerRuntimeVersion", String, "Container runtime and version."),
        req(7, "kubeletVersion", String, "Version of the node's agent."),
        req(8, "kubeProxyVersion", String, "Deprecated: no longer meaningful."),
        req(9, "operatingSystem", String, "Operating system, for instance linux."),
        req(10, "architecture", String, "Architecture, for instance arm64."),
        ptr(11, "swap", Object("NodeSwapStatus"), "Swap of the node."),
    ]),
    core!("NodeSwapStatus" => "NodeSwapStatus describes the swap of a node.", [
        ptr(1, "capacity", Int64, "Bytes of swap."),
    ]),
    core!("ContainerImage" => "ContainerImage is an image on a node.", [
        own(1, "names", List(&String), "Names it is known by.").atomic(),
        opt(2, "sizeBytes", Int64, "Its size."),
    ]),
    core!("AttachedVolume" => "AttachedVolume is a volume attached to a node.", [
        req(1, "name", String, "Name."),
        req(2, "devicePath", String, "Path of the device."),
    ]),
    core!("NodeConfigStatus" => "NodeConfigStatus described the kubelet configuration in use. Deprecated.", [
        ptr(1, "assigned", Object("NodeConfigSource"), "Configuration to be used."),
        ptr(2, "active", Object("NodeConfigSource"), "Configuration in use."),
        ptr(3, "lastKnownGood", Object("NodeConfigSource"), "Configuration to fall back to."),
        opt(4, "error", String, "Why the assigned one is not in use."),
    ]),
    core!("NodeRuntimeHandler" => "NodeRuntimeHandler is a runtime handler of a node.", [
        own(1, "name", String, "Name; empty for the default one."),
        ptr(2, "features", Object("NodeRuntimeHandlerFeatures"), "What it can do."),
    ]),
    core!("NodeRuntimeHandlerFeatures" => "NodeRuntimeHandlerFeatures says what a runtime handler can do.", [
        ptr(1, "recursiveReadOnlyMounts", Bool, "Recursive read-only mounts."),
        ptr(2, "userNamespaces", Bool, "User namespaces."),
    ]),
    core!("NodeFeatures" => "NodeFeatures says what the container runtime can do.", [
        ptr(1, "supplementalGroupsPolicy", Bool, "Supplemental groups policies."),
    ]),
    core!(top "Node" => "Node is a machine of the cluster: here, this box.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("NodeSpec"), "Desired behaviour of the node."),
        own(3, "status", Object("NodeStatus"), "Observed state of the node."),
    ]),
    core!(top "NodeList" => "NodeList is a list of Nodes.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Node")), "The objects."),
    ]),
    core!(top "Namespace" => "Namespace is a scope for names and the unit of access rules.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("NamespaceSpec"), "Desired behaviour of the namespace."),
        own(3, "status", Object("NamespaceStatus"), "Observed state of the namespace."),
    ]),
    core!(top "NamespaceList" => "NamespaceList is a list of Namespaces.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Namespace")), "The objects."),
    ]),
    core!("NamespaceSpec" => "NamespaceSpec is the desired behaviour of a namespace.", [
        opt(1, "finalizers", List(&String), "Must be empty before the namespace is removed.").atomic(),
    ]),
    core!("NamespaceStatus" => "NamespaceStatus is the observed state of a namespace.", [
        opt(1, "phase", String, "Active or Terminating.").one_of(&["Active", "Terminating"]),
        opt(2, "conditions", List(&Object("NamespaceCondition")), "Conditions observed last, one of each type.").merge("type").keys(&["type"]),
    ]),
    core!("NamespaceCondition" => "NamespaceCondition is one aspect of a namespace's deletion.", [
        req(1, "type", String, "Kind of this entry."),
        req(2, "status", String, "True, False or Unknown."),
        own(4, "lastTransitionTime", Time, "When the status changed last."),
        opt(5, "reason", String, "One-word reason for programs."),
        opt(6, "message", String, "Explanation for people."),
    ]),
];
