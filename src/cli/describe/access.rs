//! The pages of accounts, roles and their bindings.

use std::collections::BTreeSet;

use serde_json::Value;

use super::page::{Page, list_at, text_at};

/// `secrets` are those of the account's namespace, where they may be read.
pub(super) fn service_account(page: &mut Page, object: &Value, secrets: Option<&[Value]>) {
    page.head(object);
    let name_of = |value: &Value, path: &str| text_at(value, path).to_owned();
    let names = |path: &str| list_at(object, path).iter().map(|secret| name_of(secret, "/name")).collect();
    let there: Option<BTreeSet<String>> =
        secrets.map(|secrets| secrets.iter().map(|secret| name_of(secret, "/metadata/name")).collect());
    let account = (text_at(object, "/metadata/name"), text_at(object, "/metadata/uid"));
    let is_token = |secret: &&Value| {
        let about = |what: &str| {
            let annotations = secret.pointer("/metadata/annotations");
            annotations.and_then(|map| map.get(format!("kubernetes.io/service-account.{what}"))?.as_str())
        };
        text_at(secret, "/type") == "kubernetes.io/service-account-token"
            && (about("name").unwrap_or_default(), about("uid").unwrap_or_default()) == account
    };
    let tokens: Vec<String> =
        secrets.unwrap_or_default().iter().filter(is_token).map(|secret| name_of(secret, "/metadata/name")).collect();
    let groups: [(&str, Vec<String>); 3] = [
        ("Image pull secrets:", names("/imagePullSecrets")),
        ("Mountable secrets:", names("/secrets")),
        ("Tokens:", tokens),
    ];
    for (title, names) in groups {
        if names.is_empty() {
            page.line(0, &format!("{title:19}\t<none>"));
        }
        for (at, name) in names.iter().enumerate() {
            let missing = there.as_ref().is_some_and(|there| !there.contains(name));
            let title = if at == 0 { title } else { "" };
            page.line(0, &format!("{title:19}\t{name}{}", if missing { " (not found)" } else { "" }));
        }
    }
}

/// One line of a role: kubectl takes rules apart and puts the verbs of one resource together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rule {
    verbs: Vec<String>,
    group: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    url: Option<String>,
}

impl Rule {
    /// The text kubectl sorts by.
    fn order(&self) -> String {
        let Rule { verbs, group, resource, name, url } = self;
        let part = |word: &Option<String>| word.clone().unwrap_or_default();
        format!(
            "Verbs:[{}],APIGroups:[{}],Resources:[{}],ResourceNames:[{}],NonResourceURLs:[{}]",
            verbs.join(" "),
            part(group),
            part(resource),
            part(name),
            part(url)
        )
    }

    /// `ingresses.networking.k8s.io/status`
    fn shown_resource(&self) -> String {
        let resource = self.resource.as_deref().unwrap_or_default();
        let (bare, part) = resource.split_once('/').map_or((resource, None), |(bare, part)| (bare, Some(part)));
        let group = self.group.as_deref().filter(|group| !group.is_empty());
        let group = group.map(|group| format!(".{group}")).unwrap_or_default();
        format!("{bare}{group}{}", part.map(|part| format!("/{part}")).unwrap_or_default())
    }
}

fn rules(object: &Value) -> Vec<Rule> {
    let mut found: Vec<Rule> = Vec::new();
    for rule in list_at(object, "/rules") {
        let words = |member: &str| -> Vec<String> {
            list_at(rule, member).iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let verbs = words("/verbs");
        let names: Vec<Option<String>> = match words("/resourceNames") {
            names if names.is_empty() => vec![None],
            names => names.into_iter().map(Some).collect(),
        };
        for group in words("/apiGroups") {
            for resource in words("/resources") {
                for name in &names {
                    let (group, resource) = (Some(group.clone()), Some(resource.clone()));
                    let same =
                        |known: &&mut Rule| (&known.group, &known.resource, &known.name) == (&group, &resource, name);
                    match found.iter_mut().find(same) {
                        Some(known) => known.verbs.extend(verbs.iter().cloned()),
                        None => {
                            found.push(Rule { verbs: verbs.clone(), group, resource, name: name.clone(), url: None })
                        }
                    }
                }
            }
        }
        for url in words("/nonResourceURLs") {
            let one = |verb: &String| Rule { verbs: vec![verb.clone()], url: Some(url.clone()), ..Rule::default() };
            found.extend(verbs.iter().map(one));
        }
    }
    found.sort_by_cached_key(Rule::order);
    found
}

pub(super) fn role(page: &mut Page, object: &Value) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.labels_and_annotations(object);
    page.line(0, "PolicyRule:");
    page.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    page.line(1, "---------\t-----------------\t--------------\t-----");
    for rule in rules(object) {
        let (url, name) = (rule.url.as_deref().unwrap_or_default(), rule.name.as_deref().unwrap_or_default());
        page.line(1, &format!("{}\t[{url}]\t[{name}]\t[{}]", rule.shown_resource(), rule.verbs.join(" ")));
    }
}

pub(super) fn binding(page: &mut Page, object: &Value) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.labels_and_annotations(object);
    page.line(0, "Role:");
    page.row(1, "Kind", text_at(object, "/roleRef/kind"));
    page.row(1, "Name", text_at(object, "/roleRef/name"));
    page.line(0, "Subjects:");
    page.line(1, "Kind\tName\tNamespace");
    page.line(1, "----\t----\t---------");
    for subject in list_at(object, "/subjects") {
        let text = |path: &str| text_at(subject, path);
        page.line(1, &format!("{}\t{}\t{}", text("/kind"), text("/name"), text("/namespace")));
    }
}
