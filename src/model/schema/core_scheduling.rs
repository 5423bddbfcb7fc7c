//! Scheduling of pods: affinity, tolerations, spreading, claims.

use super::Shape::{Int32, Int64, List, Map, Object, Quantity, String};
use super::Type;
use super::build::{opt, ptr, req};
use super::values::{NODE_POLICIES, TAINT_EFFECTS};

pub(super) static TYPES: &[Type] = &[
    core!("Affinity" => "Affinity holds scheduling constraints.", [
        ptr(1, "nodeAffinity", Object("NodeAffinity"), "Constraints on nodes."),
        ptr(2, "podAffinity", Object("PodAffinity"), "Pods to be near to."),
        ptr(3, "podAntiAffinity", Object("PodAntiAffinity"), "Pods to be away from."),
    ]),
    core!("NodeAffinity" => "NodeAffinity constrains the nodes of a pod.", [
        ptr(1, "requiredDuringSchedulingIgnoredDuringExecution", Object("NodeSelector"), "Terms a node must satisfy to receive the pod."),
        opt(2, "preferredDuringSchedulingIgnoredDuringExecution", List(&Object("PreferredSchedulingTerm")), "Weighted terms preferred when a node is chosen.").atomic(),
    ]),
    core!("PodAffinity" => "PodAffinity places a pod near others.", [
        opt(1, "requiredDuringSchedulingIgnoredDuringExecution", List(&Object("PodAffinityTerm")), "Terms a node must satisfy to receive the pod.").atomic(),
        opt(2, "preferredDuringSchedulingIgnoredDuringExecution", List(&Object("WeightedPodAffinityTerm")), "Weighted terms preferred when a node is chosen.").atomic(),
    ]),
    core!("PodAntiAffinity" => "PodAntiAffinity places a pod away from others.", [
        opt(1, "requiredDuringSchedulingIgnoredDuringExecution", List(&Object("PodAffinityTerm")), "Terms a node must satisfy to receive the pod.").atomic(),
        opt(2, "preferredDuringSchedulingIgnoredDuringExecution", List(&Object("WeightedPodAffinityTerm")), "Weighted terms preferred when a node is chosen.").atomic(),
    ]),
    core!(atomic "NodeSelector" => "NodeSelector selects nodes; one term must hold.", [
        req(1, "nodeSelectorTerms", List(&Object("NodeSelectorTerm")), "The terms.").atomic(),
    ]),
    core!(atomic "NodeSelectorTerm" => "NodeSelectorTerm is one term; all its parts must hold.", [
        opt(1, "matchExpressions", List(&Object("NodeSelectorRequirement")), "Requirements on labels.").atomic(),
        opt(2, "matchFields", List(&Object("NodeSelectorRequirement")), "Requirements on fields.").atomic(),
    ]),
    core!("NodeSelectorRequirement" => "NodeSelectorRequirement is one requirement.", [
        req(1, "key", String, "Key."),
        req(2, "operator", String, "In, NotIn, Exists, DoesNotExist, Gt or Lt.").one_of(&["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"]),
        opt(3, "values", List(&String), "Values to compare with.").atomic(),
    ]),
    core!("PreferredSchedulingTerm" => "PreferredSchedulingTerm is a weighted preference.", [
        req(1, "weight", Int32, "Weight, 1 to 100."),
        req(2, "preference", Object("NodeSelectorTerm"), "The term."),
    ]),
    core!("PodAffinityTerm" => "PodAffinityTerm selects pods and a topology domain.", [
        ptr(1, "labelSelector", Object("LabelSelector"), "Selects pods by label."),
        opt(2, "namespaces", List(&String), "Namespaces the term applies to.").atomic(),
        req(3, "topologyKey", String, "Node label that names the topology domain."),
        ptr(4, "namespaceSelector", Object("LabelSelector"), "Selects namespaces by label."),
        opt(5, "matchLabelKeys", List(&String), "Pod label keys whose values are added to the selector.").atomic(),
        opt(6, "mismatchLabelKeys", List(&String), "Pod label keys whose values must differ.").atomic(),
    ]),
    core!("WeightedPodAffinityTerm" => "WeightedPodAffinityTerm is a weighted term.", [
        req(1, "weight", Int32, "Weight, 1 to 100."),
        req(2, "podAffinityTerm", Object("PodAffinityTerm"), "The term."),
    ]),
    core!("Toleration" => "Toleration lets a pod onto nodes with a taint.", [
        opt(1, "key", String, "Key of the taint; all keys when empty with Exists."),
        opt(2, "operator", String, "Equal (default), Exists, Lt or Gt.").one_of(&["Equal", "Exists", "Gt", "Lt"]),
        opt(3, "value", String, "Value."),
        opt(4, "effect", String, "Effect of the taint; all when empty.").one_of(TAINT_EFFECTS),
        ptr(5, "tolerationSeconds", Int64, "Seconds a NoExecute taint is tolerated."),
    ]),
    core!("TopologySpreadConstraint" => "TopologySpreadConstraint spreads pods over topology domains.", [
        req(1, "maxSkew", Int32, "Largest difference allowed."),
        req(2, "topologyKey", String, "Node label that names the topology domain."),
        req(3, "whenUnsatisfiable", String, "DoNotSchedule or ScheduleAnyway.").one_of(&["DoNotSchedule", "ScheduleAnyway"]),
        ptr(4, "labelSelector", Object("LabelSelector"), "Selects pods by label."),
        ptr(5, "minDomains", Int32, "Least number of domains."),
        ptr(6, "nodeAffinityPolicy", String, "Honor or Ignore.").one_of(NODE_POLICIES),
        ptr(7, "nodeTaintsPolicy", String, "Honor or Ignore.").one_of(NODE_POLICIES),
        opt(8, "matchLabelKeys", List(&String), "Pod label keys whose values are added to the selector.").atomic(),
    ]),
    core!("PodSchedulingGate" => "PodSchedulingGate keeps a pod from being scheduled.", [
        req(1, "name", String, "Name."),
    ]),
    core!("PodSchedulingGroup" => "PodSchedulingGroup names the group a pod is scheduled with.", [
        ptr(1, "podGroupName", String, "Name of the PodGroup."),
    ]),
    core!("PodResourceClaim" => "PodResourceClaim is a claim the pod needs.", [
        req(1, "name", String, "Name."),
        ptr(3, "resourceClaimName", String, "Name of the ResourceClaim."),
        ptr(4, "resourceClaimTemplateName", String, "Template a claim is made from."),
    ]),
    core!("PodResourceClaimStatus" => "PodResourceClaimStatus is the state of one claim.", [
        req(1, "name", String, "Name."),
        ptr(2, "resourceClaimName", String, "Name of the ResourceClaim."),
    ]),
    core!("PodExtendedResourceClaimStatus" => "PodExtendedResourceClaimStatus is the claim that backs extended resources.", [
        req(1, "requestMappings", List(&Object("ContainerExtendedResourceRequest")), "Which request serves which container.").atomic(),
        req(2, "resourceClaimName", String, "Name of the ResourceClaim."),
    ]),
    core!("NodeAllocatableResourceClaimStatus" => "NodeAllocatableResourceClaimStatus is a claim that takes node resources.", [
        req(1, "resourceClaimName", String, "Name of the ResourceClaim."),
        opt(2, "containers", List(&String), "Containers that use the claim.").set(),
        req(3, "resources", Map(&Quantity), "Compute resources."),
    ]),
    core!("ContainerExtendedResourceRequest" => "ContainerExtendedResourceRequest maps a container's resource to a request.", [
        req(1, "containerName", String, "Name of the container."),
        req(2, "resourceName", String, "Name of the resource."),
        req(3, "requestName", String, "Name of the request."),
    ]),
];
