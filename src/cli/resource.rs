//! What the user calls things: `svc`, `services`, `svc/web`, `endpointslices.discovery.k8s.io`.

use super::exit::{Code, Failure};
use crate::model::Kind;
use crate::model::kind::Resource;

/// One thing the user named: a kind, and perhaps an object of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
}

/// The kind of a word: plural, singular, short name or kind, with or without its
/// group, in any case.
pub(super) fn kind(word: &str) -> Result<Kind, Failure> {
    let lower = word.to_ascii_lowercase();
    let (bare, group) = lower.split_once('.').map_or((lower.as_str(), None), |(bare, rest)| (bare, Some(rest)));
    let known = Kind::ALL.into_iter().find(|kind| {
        let row = kind.resource();
        let named = [row.plural, row.singular].contains(&bare)
            || row.kind.eq_ignore_ascii_case(bare)
            || row.short_names.contains(&bare);
        // `services.v1.` and `endpointslices.v1.discovery.k8s.io` are kubectl's longest forms.
        named && group.is_none_or(|group| in_group(row, group))
    });
    known.ok_or_else(|| {
        Failure::new(Code::Refused, format!("error: the server doesn't have a resource type \"{word}\""))
    })
}

/// Whether what follows the first dot of a word means the kind's group: `apps`,
/// `v1.apps`, or for the core group `v1.`.
fn in_group(row: &Resource, suffix: &str) -> bool {
    let group = suffix.strip_prefix(row.version).and_then(|rest| rest.strip_prefix('.')).unwrap_or(suffix);
    group == row.group || (row.group.is_empty() && suffix == row.version)
}

/// The kind of a manifest, by its `apiVersion` and `kind`.
pub(super) fn kind_of_manifest(api_version: &str, kind: &str) -> Result<Kind, String> {
    if let Some(known) = Kind::from_type_meta(api_version, kind) {
        return Ok(known);
    }
    if let Some(known) = Kind::ALL.into_iter().find(|k| k.resource().kind == kind) {
        return Err(format!("apiVersion {api_version:?} is not served for {kind}: use {:?}", known.api_version()));
    }
    if WORKLOADS.contains(&kind) {
        return Err(format!("no {kind} here: edgesvc serves Services for workloads that something else runs"));
    }
    Err(format!("no kind {kind:?} in apiVersion {api_version:?}: edgesvc serves {}", served()))
}

/// Kinds that run things, which edgesvc leaves to others.
const WORKLOADS: [&str; 7] =
    ["Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob", "ReplicationController"];

fn served() -> String {
    Kind::ALL.map(|kind| kind.resource().kind).join(", ")
}

/// The words behind a verb: `svc`, `svc a b`, `svc,ep`, `svc/a ep/b`.
pub(super) fn named(words: &[String]) -> Result<Vec<Named>, Failure> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Failure::new(Code::Usage, "error: say which type of resource, for instance `svc`"));
    };
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| slashed(word)).collect();
    }
    let kinds = kinds(first)?;
    if rest.is_empty() {
        return Ok(kinds.into_iter().map(|kind| Named { kind, name: None }).collect());
    }
    let pairs =
        kinds.into_iter().flat_map(|kind| rest.iter().map(move |name| Named { kind, name: Some(name.clone()) }));
    Ok(pairs.collect())
}

fn kinds(words: &str) -> Result<Vec<Kind>, Failure> {
    if words == "all" {
        return Ok(Kind::ALL.into_iter().filter(|kind| kind.resource().categories.contains(&"all")).collect());
    }
    words.split(',').map(kind).collect()
}

fn slashed(word: &str) -> Result<Named, Failure> {
    match word.split_once('/') {
        Some((kind_word, name)) if !name.is_empty() && !name.contains('/') => {
            Ok(Named { kind: kind(kind_word)?, name: Some(name.to_owned()) })
        }
        _ => Err(Failure::new(Code::Usage, format!("error: {word:?}: write TYPE/NAME, and nothing else beside it"))),
    }
}

/// The path of a collection; of all namespaces without one.
pub(super) fn collection(kind: Kind, namespace: Option<&str>) -> String {
    let row = kind.resource();
    let root = if row.group.is_empty() {
        format!("/api/{}", row.version)
    } else {
        format!("/apis/{}/{}", row.group, row.version)
    };
    match namespace.filter(|_| row.namespaced) {
        Some(namespace) => format!("{root}/namespaces/{}/{}", escaped(namespace), row.plural),
        None => format!("{root}/{}", row.plural),
    }
}

/// The path of one object.
pub(super) fn object(kind: Kind, namespace: &str, name: &str) -> String {
    format!("{}/{}", collection(kind, Some(namespace)), escaped(name))
}

/// Percent-encodes what may not stand in a path segment or a query value.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `service/web`, `endpointslice.discovery.k8s.io/web-x`.
pub(super) fn display(kind: Kind, name: &str) -> String {
    format!("{}/{name}", qualified_singular(kind))
}

/// `service`, `endpointslice.discovery.k8s.io`.
pub(super) fn qualified_singular(kind: Kind) -> String {
    let row = kind.resource();
    if row.group.is_empty() { row.singular.to_owned() } else { format!("{}.{}", row.singular, row.group) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_kind_is_understood() {
        for word in ["svc", "service", "services", "Service", "services.v1"] {
            assert_eq!(kind(word).unwrap(), Kind::Service, "{word}");
        }
        assert_eq!(kind("endpointslices.discovery.k8s.io").unwrap(), Kind::EndpointSlice);
        assert_eq!(kind("ev").unwrap(), Kind::Event);
        assert_eq!(kind("events.events.k8s.io").unwrap(), Kind::EventsEvent);
        assert_eq!(kind("deployments").unwrap_err().code, Code::Refused);
    }

    #[test]
    fn words_behind_a_verb() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(named(&words("svc,ep")).unwrap().len(), 2);
        assert_eq!(named(&words("svc a b")).unwrap().len(), 2);
        assert_eq!(named(&words("svc/a po/b")).unwrap()[1].kind, Kind::Pod);
        assert!(named(&words("svc/a b")).is_err());
        assert!(named(&[]).is_err());
    }

    #[test]
    fn a_workload_is_refused_with_its_reason() {
        let refusal = kind_of_manifest("apps/v1", "Deployment").unwrap_err();
        assert!(refusal.starts_with("no Deployment here"), "{refusal}");
        assert!(kind_of_manifest("v1beta1", "Service").unwrap_err().contains("use \"v1\""));
    }

    #[test]
    fn paths_cannot_be_broken_out_of() {
        assert_eq!(object(Kind::Service, "n", "../x"), "/api/v1/namespaces/n/services/..%2Fx");
        assert_eq!(collection(Kind::Node, Some("n")), "/api/v1/nodes");
    }
}
