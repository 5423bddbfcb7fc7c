//! `apply --prune`: deletes what an earlier apply made and the manifests no longer
//! name. Looked at are the kinds that may go, in the namespaces of the manifests.
//!
//! An object goes only when somebody applied it (kubectl leaves an annotation,
//! the server an Apply entry of the field manager), when this very apply did not
//! touch it, and when everything was applied without a refusal: a slip in a
//! manifest must not delete the object that it meant.

use std::collections::BTreeSet;

use serde_json::Value;

use super::apply::{self, DryRun, LAST_APPLIED};
use super::client::{Ask, AskError, Client};
use super::delete::{self, Manner};
use super::exit::{Code, Failure};
use super::get;
use super::output::Report;
use super::pick::Target;
use super::resource;
use crate::model::Kind;

/// kubectl's allow list as far as these kinds are served, in its order.
const KINDS: [Kind; 7] =
    [Kind::ConfigMap, Kind::Endpoints, Kind::Namespace, Kind::Pod, Kind::Secret, Kind::Service, Kind::Ingress];

/// What `--prune` may delete.
#[derive(Clone, Debug)]
pub(super) struct Prune {
    kinds: Vec<Kind>,
    selector: Option<String>,
    manner: Manner,
}

impl Prune {
    /// Understands the flags; whoever names neither a selector nor `--all` is asked which.
    pub(super) fn of(all: bool, selector: Option<&str>, allowed: &[String], manner: Manner) -> Result<Prune, Failure> {
        let kinds = if allowed.is_empty() {
            KINDS.to_vec()
        } else {
            allowed.iter().map(|text| kind(text)).collect::<Result<_, _>>()?
        };
        if !all && selector.is_none() {
            return Err(Failure::new(
                Code::Usage,
                "error: all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector",
            ));
        }
        Ok(Prune { kinds, selector: selector.map(str::to_owned), manner })
    }

    /// Where to look, in order: every kind of a namespace before the next, and what
    /// stands in no namespace last, so that a Namespace goes after its objects.
    fn collections(&self, applied: &[Value]) -> Vec<(Kind, String)> {
        let namespaces: BTreeSet<&str> =
            applied.iter().filter_map(|object| object.pointer("/metadata/namespace")?.as_str()).collect();
        let (inside, outside): (Vec<Kind>, Vec<Kind>) = self.kinds.iter().partition(|kind| kind.resource().namespaced);
        let inside = namespaces.into_iter().flat_map(|namespace| inside.iter().map(move |kind| (*kind, namespace)));
        inside.chain(outside.iter().map(|kind| (*kind, ""))).map(|(kind, space)| (kind, space.to_owned())).collect()
    }
}

/// `GROUP/VERSION/KIND`; the core group is `core` or empty.
fn kind(text: &str) -> Result<Kind, Failure> {
    let usage = |message: String| Failure::new(Code::Usage, message);
    let words: Vec<&str> = text.split('/').collect();
    let [group, version, kind] = words.as_slice() else {
        return Err(usage(format!(
            "error: invalid GroupVersionKind format: {text}, please follow <group/version/kind>"
        )));
    };
    let group = if *group == "core" { "" } else { group };
    let api_version = if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
    Kind::from_type_meta(&api_version, kind)
        .ok_or_else(|| usage(format!("error: no matches for kind \"{kind}\" in version \"{api_version}\"")))
}

/// Deletes what may go, and tells of each.
pub(super) async fn prune(
    client: &mut Client,
    prune: &Prune,
    applied: &[Value],
    options: &apply::Options,
) -> Result<(), Failure> {
    let touched: BTreeSet<&str> = applied.iter().filter_map(uid).collect();
    let mut report = Report::following(options.format.clone(), applied.len());
    let word = format!("pruned{}", options.dry_run.words());
    for (kind, namespace) in prune.collections(applied) {
        let objects = listed(client, kind, &namespace, prune.selector.as_deref()).await;
        for object in objects.map_err(|error| fault(kind, error))? {
            if uid(&object).is_some_and(|uid| touched.contains(uid)) || !was_applied(&object, &options.field_manager) {
                continue;
            }
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let target = Target { kind, namespace: namespace.clone(), name };
            if options.dry_run != DryRun::Client {
                let deleted = delete::one(client, &target, &prune.manner, options.dry_run).await;
                deleted.map_err(|error| fault(kind, error))?;
            }
            report.tell(kind, &object, &word)?;
        }
    }
    Ok(())
}

async fn listed(
    client: &mut Client,
    kind: Kind,
    namespace: &str,
    selector: Option<&str>,
) -> Result<Vec<Value>, AskError> {
    let query: Vec<String> =
        selector.map(|text| format!("labelSelector={}", resource::escaped(text))).into_iter().collect();
    let path = get::with_query(resource::collection(kind, Some(namespace)), &query);
    let mut list = client.ask(Ask::get(&path)).await?;
    let items = list.value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
    Ok(items.unwrap_or_default().into_iter().map(|item| get::typed(kind, item)).collect())
}

fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

/// Whether an apply of kubectl's, or of this field manager, made the object.
fn was_applied(object: &Value, manager: &str) -> bool {
    let metadata = object.get("metadata");
    let annotated = metadata.and_then(|metadata| metadata.get("annotations")?.get(LAST_APPLIED)).is_some();
    let managed = metadata.and_then(|metadata| metadata.get("managedFields")?.as_array());
    let ours = |entry: &Value| {
        entry.get("manager").and_then(Value::as_str) == Some(manager)
            && entry.get("operation").and_then(Value::as_str) == Some("Apply")
    };
    annotated || managed.is_some_and(|entries| entries.iter().any(ours))
}

/// A refusal in kubectl's words.
fn fault(kind: Kind, error: AskError) -> Failure {
    let AskError::Refused(refusal) = error else { return error.into() };
    let row = kind.resource();
    let scope = if row.namespaced { "namespaced" } else { "nonNamespaced" };
    let about = format!("{}/{}, Kind={}", row.group, row.version, row.kind);
    Failure::new(Code::Refused, format!("error: error pruning {scope} object {about}: {}", refusal.message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_applied_objects_go() {
        let object = |metadata: Value| json!({"metadata": metadata});
        let entry =
            |manager: &str, operation: &str| json!({"managedFields": [{"manager": manager, "operation": operation}]});
        assert!(was_applied(&object(json!({"annotations": {LAST_APPLIED: "{}"}})), "edgesvc"));
        assert!(was_applied(&object(entry("edgesvc", "Apply")), "edgesvc"));
        assert!(!was_applied(&object(entry("edgesvc", "Update")), "edgesvc"));
        assert!(!was_applied(&object(entry("other", "Apply")), "edgesvc"));
        assert!(!was_applied(&object(json!({"annotations": {"a": "b"}})), "edgesvc"));
        assert!(!was_applied(&json!({}), "edgesvc"));
    }

    #[test]
    fn kinds_are_read_as_kubectl_reads_them() {
        assert_eq!(kind("core/v1/Service").unwrap(), Kind::Service);
        assert_eq!(kind("/v1/Service").unwrap(), Kind::Service);
        assert_eq!(kind("discovery.k8s.io/v1/EndpointSlice").unwrap(), Kind::EndpointSlice);
        assert!(kind("Service").unwrap_err().message.contains("invalid GroupVersionKind format: Service, please"));
        assert_eq!(kind("a/b/c").unwrap_err().message, "error: no matches for kind \"c\" in version \"a/b\"");
    }

    #[test]
    fn a_namespace_goes_after_everything_else() {
        let prune = Prune::of(true, None, &[], Manner::default()).unwrap();
        let applied =
            [json!({"metadata": {"namespace": "b"}}), json!({"metadata": {"namespace": "a"}}), json!({"metadata": {}})];
        let found = prune.collections(&applied);
        assert_eq!(found.first(), Some(&(Kind::ConfigMap, "a".to_owned())));
        assert_eq!(found.get(6), Some(&(Kind::ConfigMap, "b".to_owned())));
        assert_eq!(found.last(), Some(&(Kind::Namespace, String::new())));
        assert_eq!(found.len(), 13);
        assert!(Prune::of(false, None, &[], Manner::default()).is_err());
    }
}
