//! `rbac.authorization.k8s.io/v1`: roles and who has them.

use super::Shape::{List, Object, String};
use super::Type;
use super::build::{opt, own, ptr, req};

pub(super) static TYPES: &[Type] = &[
    rbac!(top "ClusterRole" => "ClusterRole is a set of permissions, in every namespace or outside of them.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "rules", List(&Object("PolicyRule")), "The permissions.").not_required().atomic(),
        ptr(3, "aggregationRule", Object("AggregationRule"), "Which roles the permissions are gathered from."),
    ]),
    rbac!(top "ClusterRoleList" => "ClusterRoleList is a list of ClusterRoles.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("ClusterRole")), "The objects."),
    ]),
    rbac!(top "Role" => "Role is a set of permissions in its namespace.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "rules", List(&Object("PolicyRule")), "The permissions.").not_required().atomic(),
    ]),
    rbac!(top "RoleList" => "RoleList is a list of Roles.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("Role")), "The objects."),
    ]),
    rbac!("PolicyRule" => "PolicyRule allows verbs on resources, or on other paths.", [
        req(1, "verbs", List(&String), "Verbs; * is all.").atomic(),
        opt(2, "apiGroups", List(&String), "API groups; * is all, empty text the core group.").atomic(),
        opt(3, "resources", List(&String), "Resources in plural; * is all.").atomic(),
        opt(4, "resourceNames", List(&String), "Names of objects; all when empty.").atomic(),
        opt(5, "nonResourceURLs", List(&String), "Paths that are no resources; * at the end is any rest.").atomic(),
    ]),
    rbac!("AggregationRule" => "AggregationRule says which ClusterRoles permissions are gathered from.", [
        opt(1, "clusterRoleSelectors", List(&Object("LabelSelector")), "Labels of the ClusterRoles; any may match.").atomic(),
    ]),
    rbac!(top "ClusterRoleBinding" => "ClusterRoleBinding gives a ClusterRole to subjects, in every namespace.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        opt(2, "subjects", List(&Object("Subject")), "Who has the role.").atomic(),
        req(3, "roleRef", Object("RoleRef"), "The role; cannot be changed."),
    ]),
    rbac!(top "ClusterRoleBindingList" => "ClusterRoleBindingList is a list of ClusterRoleBindings.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("ClusterRoleBinding")), "The objects."),
    ]),
    rbac!(top "RoleBinding" => "RoleBinding gives a role to subjects, in its namespace.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        opt(2, "subjects", List(&Object("Subject")), "Who has the role.").atomic(),
        req(3, "roleRef", Object("RoleRef"), "The role; cannot be changed."),
    ]),
    rbac!(top "RoleBindingList" => "RoleBindingList is a list of RoleBindings.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        req(2, "items", List(&Object("RoleBinding")), "The objects."),
    ]),
    rbac!(atomic "Subject" => "Subject is a user, a group or a ServiceAccount.", [
        req(1, "kind", String, "User, Group or ServiceAccount."),
        opt(2, "apiGroup", String, "API group of the kind."),
        req(3, "name", String, "Name."),
        opt(4, "namespace", String, "Namespace of a ServiceAccount."),
    ]),
    rbac!(atomic "RoleRef" => "RoleRef names a role.", [
        own(1, "apiGroup", String, "API group of the role."),
        req(2, "kind", String, "ClusterRole or Role."),
        req(3, "name", String, "Name."),
    ]),
];
