//! Who may do what, as one table: the built-in roles as rules, and the groups that
//! hold them. The API decides by it and shows it.
//!
//! A role belongs to a user through a group, wherever the group was said: in a
//! certificate (O), in the token's entry, in what a ServiceAccount was granted, or by
//! the Unix socket. So
//! `kubectl auth whoami` shows the reason of every permission: `edgesvc:edit` is the
//! role edit everywhere, `edgesvc:edit:shop` in namespace shop.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Kind, service_account};

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// Everybody whose credentials were good.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Everybody without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// What our own groups begin with.
const OWN: &str = "edgesvc:";
/// The role of programs that ask who their own clients are.
const DELEGATOR: &str = "auth-delegator";
const DELEGATING: &str = "edgesvc:auth-delegator";
/// Matches whatever stands there.
pub const ANY: &str = "*";
/// Who may change these may give himself anything.
const PERMISSIONS_GROUP: &str = "rbac.authorization.k8s.io";

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// One permission, as a PolicyRule of `rbac.authorization.k8s.io` has it: all
/// combinations of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What may be done.
    pub verbs: Vec<&'static str>,
    /// In which API groups.
    pub groups: Vec<&'static str>,
    /// Plurals, with their subresource where they have one.
    pub resources: Vec<String>,
    /// Only these objects; empty is all.
    pub names: Vec<String>,
    /// Paths that name no resource; a final `*` is any rest.
    pub paths: Vec<&'static str>,
}

/// A named set of rules.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// What it allows.
    pub rules: Vec<Rule>,
}

/// A role held, everywhere or in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// Its name.
    pub role: &'static str,
    /// Where; everywhere without one.
    pub namespace: Option<&'a str>,
}

/// Every role there is.
pub static ROLES: LazyLock<[Role; 8]> = LazyLock::new(|| {
    [
        Role { name: "cluster-admin", rules: everything() },
        Role { name: "edit", rules: edit() },
        Role { name: "view", rules: view() },
        Role { name: "system:auth-delegator", rules: auth_delegator() },
        Role { name: "system:basic-user", rules: basic_user() },
        Role { name: "system:discovery", rules: vec![paths(&DISCOVERY_PATHS)] },
        Role { name: "system:public-info-viewer", rules: vec![paths(&PUBLIC_PATHS)] },
        Role { name: "system:service-account-issuer-discovery", rules: vec![paths(&ISSUER_PATHS)] },
    ]
});

/// What anybody may see.
const PUBLIC_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
/// What anybody with a name may see: what is served, and its schema.
const DISCOVERY_PATHS: [&str; 11] = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];

/// The roles that may be held in one namespace.
pub const NAMESPACED: [&str; 2] = ["edit", "view"];

/// What programs need to tell our tokens from others.
const ISSUER_PATHS: [&str; 4] =
    ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"];

/// The group that holds a role given by a person: `admin`, `edit`, `view` or
/// `auth-delegator`.
pub fn group_of(role: &str, namespace: Option<&str>) -> Option<String> {
    match (role, namespace) {
        ("admin", None) => Some(MASTERS.to_owned()),
        ("edit" | "view" | DELEGATOR, None) => Some(format!("{OWN}{role}")),
        ("edit" | "view", Some(namespace)) => Some(format!("{OWN}{role}:{namespace}")),
        _ => None,
    }
}

/// The roles a group holds.
pub fn grants_of(group: &str) -> Vec<Grant<'_>> {
    let everywhere = |role| Grant { role, namespace: None };
    match group {
        MASTERS => return vec![everywhere("cluster-admin")],
        AUTHENTICATED => {
            return ["system:basic-user", "system:discovery", "system:public-info-viewer"].map(everywhere).to_vec();
        }
        UNAUTHENTICATED => return vec![everywhere("system:public-info-viewer")],
        service_account::EVERY => return vec![everywhere("system:service-account-issuer-discovery")],
        DELEGATING => return vec![everywhere("system:auth-delegator")],
        _ => {}
    }
    let Some(own) = group.strip_prefix(OWN) else { return Vec::new() };
    let (role, namespace) = own.split_once(':').map_or((own, None), |(role, namespace)| (role, Some(namespace)));
    // An empty namespace would be all of them: a group cut short must not hold more.
    match (NAMESPACED.into_iter().find(|known| *known == role), namespace) {
        (Some(_), Some("")) | (None, _) => Vec::new(),
        (Some(role), namespace) => vec![Grant { role, namespace }],
    }
}

/// Whether some of these groups can do whatever the others can: nobody gives away
/// what he does not hold.
pub fn include(held: &[String], wanted: &[String]) -> bool {
    let held: Vec<Grant<'_>> = held.iter().flat_map(|group| grants_of(group)).collect();
    let known = |grant: Grant<'_>| {
        held.iter().any(|own| {
            let at_least =
                own.role == grant.role || own.role == "cluster-admin" || (own.role, grant.role) == ("edit", "view");
            at_least && (own.namespace.is_none() || own.namespace == grant.namespace)
        })
    };
    wanted.iter().flat_map(|group| grants_of(group)).all(known)
}

/// Bindings of groups that are always there, as role and groups.
pub const BINDINGS: [(&str, &[&str]); 8] = [
    ("cluster-admin", &[MASTERS]),
    ("edit", &["edgesvc:edit"]),
    ("view", &["edgesvc:view"]),
    ("system:auth-delegator", &[DELEGATING]),
    ("system:basic-user", &[AUTHENTICATED]),
    ("system:discovery", &[AUTHENTICATED]),
    ("system:public-info-viewer", &[AUTHENTICATED, UNAUTHENTICATED]),
    ("system:service-account-issuer-discovery", &[service_account::EVERY]),
];

impl Rule {
    /// As a PolicyRule.
    pub fn to_value(&self) -> Value {
        if self.resources.is_empty() {
            return json!({"verbs": self.verbs, "nonResourceURLs": self.paths});
        }
        let mut rule = json!({"verbs": self.verbs, "apiGroups": self.groups, "resources": self.resources});
        if !self.names.is_empty()
            && let Some(members) = rule.as_object_mut()
        {
            members.insert("resourceNames".to_owned(), json!(self.names));
        }
        rule
    }
}

fn paths(paths: &[&'static str]) -> Rule {
    Rule { verbs: vec!["get"], paths: paths.to_vec(), ..Rule::default() }
}

fn everything() -> Vec<Rule> {
    let resources = Rule { verbs: vec![ANY], groups: vec![ANY], resources: vec![ANY.to_owned()], ..Rule::default() };
    vec![resources, Rule { verbs: vec![ANY], paths: vec![ANY], ..Rule::default() }]
}

fn create(group: &'static str, resources: &[&str]) -> Rule {
    Rule {
        verbs: vec!["create"],
        groups: vec![group],
        resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        ..Rule::default()
    }
}

/// May ask who others are and what they may.
fn auth_delegator() -> Vec<Rule> {
    vec![create("authentication.k8s.io", &["tokenreviews"]), create("authorization.k8s.io", &["subjectaccessreviews"])]
}

/// Whoever is somebody may ask who he is and what he may.
fn basic_user() -> Vec<Rule> {
    vec![
        create("authentication.k8s.io", &["selfsubjectreviews"]),
        create("authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
    ]
}

/// Reads everything but Secrets, and the numbers.
fn view() -> Vec<Rule> {
    let mut rules = per_group(&READ, |kind| if kind == Kind::Secret { Vec::new() } else { with_subresources(kind) });
    rules.push(paths(&["/metrics"]));
    rules
}

/// Reads what view reads and Secrets; writes what lies in namespaces, but no
/// permissions: those would make an editor an administrator. Of the subresources
/// only a Pod's status, which is how a Pod is given its address (the addresses in a
/// Service's status draw other people's traffic), and the tokens of accounts, as
/// far as these may no more than the editor ([`include`]).
fn edit() -> Vec<Rule> {
    let mut rules = view();
    rules.extend(per_group(&READ, |kind| if kind == Kind::Secret { with_subresources(kind) } else { Vec::new() }));
    rules.extend(per_group(&WRITE, |kind| {
        let row = kind.resource();
        match kind {
            _ if !row.namespaced || row.group == PERMISSIONS_GROUP => Vec::new(),
            Kind::Pod => vec![row.plural.to_owned(), format!("{}/status", row.plural)],
            _ => vec![row.plural.to_owned()],
        }
    }));
    rules.push(create("", &["serviceaccounts/token"]));
    rules
}

fn with_subresources(kind: Kind) -> Vec<String> {
    let row = kind.resource();
    let subresources = row.subresources.iter().map(|sub| format!("{}/{sub}", row.plural));
    std::iter::once(row.plural.to_owned()).chain(subresources).collect()
}

/// One rule for each API group that has resources to name.
fn per_group(verbs: &[&'static str], resources: impl Fn(Kind) -> Vec<String>) -> Vec<Rule> {
    let mut groups: Vec<&'static str> = Kind::ALL.into_iter().map(|kind| kind.resource().group).collect();
    groups.sort_unstable();
    groups.dedup();
    let rule = |group| Rule {
        verbs: verbs.to_vec(),
        groups: vec![group],
        resources: Kind::ALL.into_iter().filter(|kind| kind.resource().group == group).flat_map(&resources).collect(),
        ..Rule::default()
    };
    groups.into_iter().map(rule).filter(|rule| !rule.resources.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_cut_short_or_made_up_holds_nothing() {
        for group in ["edgesvc:edit:", "edgesvc:", "edgesvc:admin", "edgesvc:editor", "edit", "system:master", ""] {
            assert_eq!(grants_of(group), [], "{group}");
        }
        assert_eq!(group_of("admin", Some("n")), None);
        assert_eq!(group_of("root", None), None);
    }

    #[test]
    fn the_bindings_shown_are_the_grants_held() {
        for (role, groups) in BINDINGS {
            for group in groups {
                assert!(grants_of(group).contains(&Grant { role, namespace: None }), "{group} {role}");
            }
        }
        let shown = BINDINGS.iter().flat_map(|(role, groups)| groups.iter().map(move |group| (*group, *role)));
        let shown: Vec<(&str, &str)> = shown.collect();
        let all = [MASTERS, AUTHENTICATED, UNAUTHENTICATED, "edgesvc:edit", "edgesvc:view"];
        for group in all.into_iter().chain([service_account::EVERY, DELEGATING]) {
            assert!(grants_of(group).iter().all(|grant| shown.contains(&(group, grant.role))), "{group}");
        }
        assert!(BINDINGS.iter().all(|(name, _)| ROLES.iter().any(|role| role.name == *name)));
    }

    #[test]
    fn nobody_gives_what_he_does_not_hold() {
        let groups = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (held, wanted, expected) in [
            ("", "", true),
            ("", "edgesvc:view:a", false),
            ("edgesvc:edit:a", "system:serviceaccounts:a edgesvc:other", true),
            ("edgesvc:edit:a", "edgesvc:edit:a edgesvc:view:a", true),
            ("edgesvc:edit:a", "edgesvc:view:b", false),
            ("edgesvc:edit:a", "edgesvc:view", false),
            ("edgesvc:edit", "edgesvc:view edgesvc:edit:b", true),
            ("edgesvc:edit", "system:masters", false),
            ("edgesvc:edit", "edgesvc:auth-delegator", false),
            ("edgesvc:view", "edgesvc:edit:a", false),
            ("system:masters", "system:masters edgesvc:auth-delegator edgesvc:edit:b", true),
        ] {
            assert_eq!(include(&groups(held), &groups(wanted)), expected, "{held} {wanted}");
        }
    }

    #[test]
    fn an_editor_may_whatever_a_viewer_may() {
        let held = edit();
        assert!(view().iter().all(|rule| held.contains(rule)));
    }
}
