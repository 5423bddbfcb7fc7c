//! Who may do what: built-in roles as rules, and the groups that hold them. Pure.
//!
//! A role belongs to a user through a group, wherever the group was said: in a
//! certificate (O), in the token's entry, or by the Unix socket. So there is one
//! table, and `kubectl auth whoami` shows the reason of every permission:
//! `edgesvc:edit` is the role edit everywhere, `edgesvc:edit:shop` in namespace shop.

use std::sync::LazyLock;

use super::action::Action;
use crate::model::Kind;

/// The group that may do everything.
pub(super) const MASTERS: &str = "system:masters";
/// Everybody whose credentials were good.
pub(super) const AUTHENTICATED: &str = "system:authenticated";
/// Everybody without credentials.
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// What our own groups begin with.
const OWN: &str = "edgesvc:";
/// Matches whatever stands there.
const ANY: &str = "*";
/// Who may change these may give himself anything.
const PERMISSIONS_GROUP: &str = "rbac.authorization.k8s.io";

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// One permission, as a PolicyRule of `rbac.authorization.k8s.io` has it: all
/// combinations of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) verbs: Vec<&'static str>,
    pub(super) groups: Vec<&'static str>,
    /// Plurals, with their subresource where they have one.
    pub(super) resources: Vec<String>,
    /// Only these objects; empty is all.
    pub(super) names: Vec<String>,
    /// Paths that name no resource; a final `*` is any rest.
    pub(super) paths: Vec<&'static str>,
}

/// A named set of rules.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) rules: Vec<Rule>,
}

/// A role held, everywhere or in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant<'a> {
    pub(super) role: &'static str,
    pub(super) namespace: Option<&'a str>,
}

/// Every role there is.
pub(super) static ROLES: LazyLock<[Role; 6]> = LazyLock::new(|| {
    [
        Role { name: "cluster-admin", rules: everything() },
        Role { name: "edit", rules: edit() },
        Role { name: "view", rules: view() },
        Role { name: "system:basic-user", rules: basic_user() },
        Role { name: "system:discovery", rules: vec![paths(&DISCOVERY_PATHS)] },
        Role { name: "system:public-info-viewer", rules: vec![paths(&PUBLIC_PATHS)] },
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

/// The group that holds a role given by a person, `admin`, `edit` or `view`.
pub(super) fn group_of(role: &str, namespace: Option<&str>) -> Option<String> {
    match (role, namespace) {
        ("admin", None) => Some(MASTERS.to_owned()),
        ("edit" | "view", None) => Some(format!("{OWN}{role}")),
        ("edit" | "view", Some(namespace)) => Some(format!("{OWN}{role}:{namespace}")),
        _ => None,
    }
}

/// The roles a group holds.
pub(super) fn grants_of(group: &str) -> Vec<Grant<'_>> {
    let everywhere = |role| Grant { role, namespace: None };
    match group {
        MASTERS => return vec![everywhere("cluster-admin")],
        AUTHENTICATED => {
            return ["system:basic-user", "system:discovery", "system:public-info-viewer"].map(everywhere).to_vec();
        }
        UNAUTHENTICATED => return vec![everywhere("system:public-info-viewer")],
        _ => {}
    }
    let Some(own) = group.strip_prefix(OWN) else { return Vec::new() };
    let (role, namespace) = own.split_once(':').map_or((own, None), |(role, namespace)| (role, Some(namespace)));
    // An empty namespace would be all of them: a group cut short must not hold more.
    match (["edit", "view"].into_iter().find(|known| *known == role), namespace) {
        (Some(_), Some("")) | (None, _) => Vec::new(),
        (Some(role), namespace) => vec![Grant { role, namespace }],
    }
}

/// Whether somebody of these groups may do it.
pub(super) fn allows(groups: &[String], action: &Action<'_>) -> bool {
    groups.iter().flat_map(|group| grants_of(group)).any(|grant| {
        let role = ROLES.iter().find(|role| role.name == grant.role);
        covers(grant, action) && role.is_some_and(|role| role.rules.iter().any(|rule| rule.allows(action)))
    })
}

/// A role held in a namespace says nothing about the world outside it.
fn covers(grant: Grant<'_>, action: &Action<'_>) -> bool {
    match (grant.namespace, action) {
        (None, _) => true,
        (Some(held), Action::Resource { namespace: Some(asked), group, resource, .. }) => {
            held == asked && lies_in_namespaces(group, resource)
        }
        (Some(_), _) => false,
    }
}

/// Whether there can be one in a namespace: a review may ask about a Node in one. A
/// namespace lies in itself.
fn lies_in_namespaces(group: &str, resource: &str) -> bool {
    let plural = resource.split('/').next().unwrap_or_default();
    let mut rows = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Namespace).map(Kind::resource);
    !rows.any(|row| row.group == group && row.plural == plural && !row.namespaced)
}

impl Rule {
    fn allows(&self, action: &Action<'_>) -> bool {
        match action {
            Action::Path { verb, path } => has(&self.verbs, verb) && self.paths.iter().any(|rule| path_is(rule, path)),
            Action::Resource { verb, group, resource, name, .. } => {
                has(&self.verbs, verb)
                    && has(&self.groups, group)
                    && self.resources.iter().any(|rule| rule == ANY || rule == resource)
                    && (self.names.is_empty() || name.as_ref().is_some_and(|name| self.names.iter().any(|n| n == name)))
            }
        }
    }
}

fn has(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| *known == ANY || *known == word)
}

fn path_is(rule: &str, path: &str) -> bool {
    rule == path || rule.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

fn paths(paths: &[&'static str]) -> Rule {
    Rule { verbs: vec!["get"], paths: paths.to_vec(), ..Rule::default() }
}

fn everything() -> Vec<Rule> {
    let resources = Rule { verbs: vec![ANY], groups: vec![ANY], resources: vec![ANY.to_owned()], ..Rule::default() };
    vec![resources, Rule { verbs: vec![ANY], paths: vec![ANY], ..Rule::default() }]
}

/// Whoever is somebody may ask who he is and what he may.
fn basic_user() -> Vec<Rule> {
    let create = |group, resources: &[&str]| Rule {
        verbs: vec!["create"],
        groups: vec![group],
        resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        ..Rule::default()
    };
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

/// Reads what view reads and Secrets; writes what lies in namespaces, but neither
/// permissions nor tokens: those would make an editor an administrator. Of the
/// subresources only a Pod's status, which is how a Pod is given its address: the
/// addresses in a Service's status draw other people's traffic.
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

    fn resource<'a>(verb: &'a str, resource: &'a str, namespace: &'a str) -> Action<'a> {
        let group = if resource == "endpointslices" { "discovery.k8s.io" } else { "" };
        Action::Resource {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: (!namespace.is_empty()).then(|| namespace.into()),
            name: None,
        }
    }

    fn may(group: &str, action: &Action<'_>) -> bool {
        allows(&[group.to_owned()], action)
    }

    #[test]
    fn view_reads_everything_but_secrets_and_writes_nothing() {
        for kind in Kind::ALL {
            let row = kind.resource();
            for verb in READ {
                let action = Action::Resource {
                    verb: verb.into(),
                    group: row.group.into(),
                    resource: row.plural.into(),
                    namespace: None,
                    name: None,
                };
                assert_eq!(may("edgesvc:view", &action), kind != Kind::Secret, "{verb} {kind}");
            }
            for verb in WRITE {
                assert!(!may("edgesvc:view", &resource(verb, row.plural, "n")), "{verb} {kind}");
            }
        }
    }

    #[test]
    fn edit_writes_in_namespaces_and_gives_nobody_more() {
        for verb in WRITE {
            for plural in ["services", "endpoints", "endpointslices", "pods", "configmaps", "secrets", "pods/status"] {
                assert!(may("edgesvc:edit", &resource(verb, plural, "n")), "{verb} {plural}");
                assert!(may("edgesvc:edit:n", &resource(verb, plural, "n")), "{verb} {plural}");
                assert!(!may("edgesvc:edit:n", &resource(verb, plural, "other")), "{verb} {plural}");
                assert!(!may("edgesvc:edit:n", &resource(verb, plural, "")), "{verb} {plural}");
                assert!(!may("edgesvc:edit:n", &resource("get", "nodes", "n")));
            }
            for plural in ["nodes", "namespaces", "services/status", "serviceaccounts/token"] {
                assert!(!may("edgesvc:edit", &resource(verb, plural, "n")), "{verb} {plural}");
            }
            let bindings = Action::Resource {
                verb: verb.into(),
                group: PERMISSIONS_GROUP.into(),
                resource: "rolebindings".into(),
                namespace: Some("n".into()),
                name: None,
            };
            assert!(!may("edgesvc:edit", &bindings) && may(MASTERS, &bindings));
            let tokens = Action::Path { verb: "post".into(), path: "/edgesvc/v1/tokens".into() };
            assert!(!may("edgesvc:edit", &tokens) && !may(AUTHENTICATED, &tokens) && may(MASTERS, &tokens));
        }
        assert!(may("edgesvc:edit:n", &resource("get", "secrets", "n")));
    }

    #[test]
    fn a_group_cut_short_or_made_up_holds_nothing() {
        for group in ["edgesvc:edit:", "edgesvc:", "edgesvc:admin", "edgesvc:editor", "edit", "system:master", ""] {
            assert_eq!(grants_of(group), [], "{group}");
        }
        assert_eq!(group_of("admin", Some("n")), None);
        assert_eq!(group_of("root", None), None);
    }

    #[test]
    fn the_nameless_see_health_and_version_and_the_named_what_is_served() {
        let get = |path: &'static str| Action::Path { verb: "get".into(), path: path.into() };
        for path in PUBLIC_PATHS {
            assert!(may(UNAUTHENTICATED, &get(path)) && may(AUTHENTICATED, &get(path)), "{path}");
        }
        for path in ["/api", "/apis/discovery.k8s.io/v1", "/openapi/v3/api/v1"] {
            assert!(!may(UNAUTHENTICATED, &get(path)) && may(AUTHENTICATED, &get(path)), "{path}");
        }
        for path in ["/", "/metrics", "/livez/ping", "/edgesvc/v1/tokens"] {
            assert!(!may(UNAUTHENTICATED, &get(path)) && !may(AUTHENTICATED, &get(path)), "{path}");
        }
    }

    #[test]
    fn a_rule_may_name_objects() {
        let rule = Rule {
            verbs: vec!["get"],
            groups: vec![""],
            resources: vec!["services".to_owned()],
            names: vec!["web".to_owned()],
            ..Rule::default()
        };
        let mut asked = resource("get", "services", "n");
        assert!(!rule.allows(&asked));
        if let Action::Resource { name, .. } = &mut asked {
            *name = Some("web".into());
        }
        assert!(rule.allows(&asked));
    }
}
