//! The roles there are, as objects that can only be read: what the API allows, in
//! Kubernetes' words. Who may do what is decided by the API, not by these.

use serde_json::{Value, json};

use crate::model::{Kind, ObjectKey};

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
const ALL: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const RBAC: &str = "rbac.authorization.k8s.io";

/// Every built-in role and binding: kind, key, content.
pub(super) fn built_in() -> Vec<(Kind, ObjectKey, Value)> {
    let roles = [
        ("cluster-admin", cluster_admin()),
        ("admin", admin()),
        ("edit", edit()),
        ("view", view()),
        ("system:basic-user", basic_user()),
        ("system:public-info-viewer", public()),
    ];
    let bindings = [
        ("cluster-admin", &["system:masters"][..]),
        ("system:basic-user", &["system:authenticated"]),
        ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
    ];
    let mut objects = Vec::new();
    for (name, rules) in roles {
        objects.push((Kind::ClusterRole, ObjectKey::new("", name), json!({"metadata": marks(), "rules": rules})));
    }
    for (name, groups) in bindings {
        let subject = |group: &&str| json!({"kind": "Group", "apiGroup": RBAC, "name": group});
        let subjects: Vec<Value> = groups.iter().map(subject).collect();
        let content = json!({
            "metadata": marks(), "subjects": subjects,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        });
        objects.push((Kind::ClusterRoleBinding, ObjectKey::new("", name), content));
    }
    objects
}

fn marks() -> Value {
    json!({
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    })
}

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

fn cluster_admin() -> Vec<Value> {
    vec![rule(&["*"], "*", &["*"]), json!({"verbs": ["*"], "nonResourceURLs": ["*"]})]
}

fn admin() -> Vec<Value> {
    let own = [
        rule(&["create"], "authorization.k8s.io", &["localsubjectaccessreviews"]),
        rule(&READ, RBAC, &["rolebindings", "roles"]),
    ];
    own.into_iter().chain(edit()).collect()
}

fn edit() -> Vec<Value> {
    let own = [
        rule(&READ, "", &["secrets"]),
        rule(&WRITE, "", &["configmaps", "events", "pods", "secrets", "serviceaccounts", "services"]),
        rule(&WRITE, "events.k8s.io", &["events"]),
        rule(&WRITE, "networking.k8s.io", &["ingresses"]),
        rule(&ALL, "coordination.k8s.io", &["leases"]),
    ];
    own.into_iter().chain(view()).collect()
}

fn view() -> Vec<Value> {
    let core = [
        "configmaps",
        "endpoints",
        "events",
        "namespaces",
        "namespaces/status",
        "pods",
        "pods/status",
        "serviceaccounts",
        "services",
        "services/status",
    ];
    vec![
        rule(&READ, "", &core),
        rule(&READ, "events.k8s.io", &["events"]),
        rule(&READ, "discovery.k8s.io", &["endpointslices"]),
        rule(&READ, "networking.k8s.io", &["ingresses", "ingresses/status"]),
    ]
}

fn basic_user() -> Vec<Value> {
    vec![
        rule(&["create"], "authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        rule(&["create"], "authentication.k8s.io", &["selfsubjectreviews"]),
    ]
}

fn public() -> Vec<Value> {
    vec![json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]})]
}
