//! The roles there are, as objects that can only be read: what the API allows, in
//! Kubernetes' words. Both come from one table; these decide nothing.

use serde_json::{Value, json};

use crate::model::role::{BINDINGS, ROLES, Rule};
use crate::model::{Kind, ObjectKey};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Every built-in role and binding: kind, key, content. Roles held in one namespace
/// are not among them: those are named by the tokens, which the API shows.
pub(super) fn built_in() -> Vec<(Kind, ObjectKey, Value)> {
    let mut objects = Vec::new();
    for role in ROLES.iter() {
        let rules: Value = role.rules.iter().map(Rule::to_value).collect();
        objects.push((Kind::ClusterRole, ObjectKey::new("", role.name), json!({"metadata": marks(), "rules": rules})));
    }
    for (name, groups) in BINDINGS {
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
