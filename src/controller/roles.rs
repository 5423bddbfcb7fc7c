//! The roles there are, as objects that can only be read: what the API allows, in
//! Kubernetes' words. Both come from one table; these decide nothing.

use serde_json::{Value, json};

use super::{Scene, draft};
use crate::model::object::ParseError;
use crate::model::role::{BINDINGS, NAMESPACED, ROLES, Rule, group_of};
use crate::model::{Kind, ObjectKey};
use crate::store::Op;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Every built-in role and binding of the whole box: kind, key, content.
pub(super) fn built_in() -> Vec<(Kind, ObjectKey, Value)> {
    let mut objects = Vec::new();
    for role in ROLES.iter() {
        let rules: Value = role.rules.iter().map(Rule::to_value).collect();
        objects.push((Kind::ClusterRole, ObjectKey::new("", role.name), json!({"metadata": marks(), "rules": rules})));
    }
    for (name, groups) in BINDINGS {
        objects.push((Kind::ClusterRoleBinding, ObjectKey::new("", name), binding(name, groups)));
    }
    objects
}

/// Says in a namespace which groups hold roles there. They hold them whether or not
/// somebody is in them, so the bindings are there as long as the namespace lives.
pub(super) fn reconcile(scene: &mut Scene<'_>, namespace: &ObjectKey) -> Result<Vec<Op>, ParseError> {
    let found = scene.snapshot.get(Kind::Namespace, namespace);
    if found.is_none_or(|namespace| namespace.meta.deleting) {
        return Ok(Vec::new());
    }
    let mut ops = Vec::new();
    for role in NAMESPACED {
        let key = ObjectKey::new(&namespace.name, role);
        let Some(group) = group_of(role, Some(&namespace.name)) else { continue };
        if scene.snapshot.get(Kind::RoleBinding, &key).is_some() {
            continue;
        }
        let mut value = binding(role, &[&group]);
        let mut metadata = scene.metadata(&key);
        for member in ["annotations", "labels"] {
            draft::set(
                &mut metadata,
                member,
                value.pointer(&format!("/metadata/{member}")).cloned().unwrap_or_default(),
            );
        }
        draft::set(&mut value, "metadata", metadata);
        ops.push(draft::create(Kind::RoleBinding, &value, Vec::new())?);
    }
    Ok(ops)
}

fn binding(role: &str, groups: &[&str]) -> Value {
    let subject = |group: &&str| json!({"kind": "Group", "apiGroup": RBAC, "name": group});
    json!({
        "metadata": marks(), "subjects": groups.iter().map(subject).collect::<Vec<_>>(),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
    })
}

fn marks() -> Value {
    json!({
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    })
}
