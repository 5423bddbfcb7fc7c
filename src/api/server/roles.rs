//! Whether somebody may do something, by the table of roles. Pure.

use super::action::Action;
use crate::model::Kind;
use crate::model::role::{ANY, Grant, ROLES, Rule, grants_of};

/// Whether somebody of these groups may do it.
pub(super) fn allows(groups: &[String], action: &Action<'_>) -> bool {
    groups.iter().flat_map(|group| grants_of(group)).any(|grant| {
        let role = ROLES.iter().find(|role| role.name == grant.role);
        covers(grant, action) && role.is_some_and(|role| role.rules.iter().any(|rule| matches(rule, action)))
    })
}

/// The rules of every role held in a namespace.
pub(super) fn rules_in(groups: &[String], namespace: &str) -> Vec<&'static Rule> {
    let grants = groups.iter().flat_map(|group| grants_of(group));
    let here = grants.filter(|grant| grant.namespace.is_none_or(|held| held == namespace));
    here.flat_map(|grant| ROLES.iter().filter(move |role| role.name == grant.role))
        .flat_map(|role| &role.rules)
        .collect()
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

fn matches(rule: &Rule, action: &Action<'_>) -> bool {
    match action {
        Action::Path { verb, path } => has(&rule.verbs, verb) && rule.paths.iter().any(|known| path_is(known, path)),
        Action::Resource { verb, group, resource, name, .. } => {
            has(&rule.verbs, verb)
                && has(&rule.groups, group)
                && rule.resources.iter().any(|known| known == ANY || known == resource)
                && (rule.names.is_empty() || name.as_ref().is_some_and(|name| rule.names.iter().any(|n| n == name)))
        }
    }
}

fn has(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| *known == ANY || *known == word)
}

fn path_is(rule: &str, path: &str) -> bool {
    rule == path || rule.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::role::{AUTHENTICATED, MASTERS, UNAUTHENTICATED};

    const READ: [&str; 3] = ["get", "list", "watch"];
    const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

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
            for plural in ["nodes", "namespaces", "services/status"] {
                assert!(!may("edgesvc:edit", &resource(verb, plural, "n")), "{verb} {plural}");
            }
            assert_eq!(may("edgesvc:edit:n", &resource(verb, "serviceaccounts/token", "n")), verb == "create");
            let grants = Action::Path { verb: "post".into(), path: "/edgesvc/v1/grants".into() };
            assert!(!may("edgesvc:edit", &grants) && !may(AUTHENTICATED, &grants) && may(MASTERS, &grants));
            let bindings = Action::Resource {
                verb: verb.into(),
                group: "rbac.authorization.k8s.io".into(),
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
    fn the_nameless_see_health_and_version_and_the_named_what_is_served() {
        let get = |path: &'static str| Action::Path { verb: "get".into(), path: path.into() };
        for path in ["/healthz", "/livez", "/readyz", "/version", "/version/"] {
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
        assert!(!matches(&rule, &asked));
        if let Action::Resource { name, .. } = &mut asked {
            *name = Some("web".into());
        }
        assert!(matches(&rule, &asked));
    }
}
