//! Columns of `rbac.authorization.k8s.io`.

use serde_json::Value;

use super::super::read::{list, text};
use super::{AGE, Column, NAME, column};

const CREATED: Column = Column { r#type: "date", ..column("Created At", 0, "When the object was created.") };

pub(super) static CLUSTER_ROLE: [Column; 2] = [NAME, CREATED];
pub(super) static ROLE: [Column; 2] = CLUSTER_ROLE;
pub(super) static BINDING: [Column; 6] = [
    NAME,
    column("Role", 0, "The role."),
    AGE,
    column("Users", 1, "Users that have it."),
    column("Groups", 1, "Groups that have it."),
    column("ServiceAccounts", 1, "ServiceAccounts that have it."),
];

/// The cells of a binding.
pub(super) fn binding(value: &Value, name: &Value, age: &Value) -> Vec<Value> {
    let role = format!("{}/{}", text(value, "/roleRef/kind"), text(value, "/roleRef/name"));
    let subjects = |kind: &str| {
        let named = list(value, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
        let shown = named.map(|subject| match text(subject, "/namespace") {
            "" => text(subject, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "/name")),
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let (users, groups, accounts) = (subjects("User"), subjects("Group"), subjects("ServiceAccount"));
    vec![name.clone(), role.into(), age.clone(), users.into(), groups.into(), accounts.into()]
}
