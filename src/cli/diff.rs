//! `edgesvc diff`: what is stored beside what `apply` would store, through diff(1).

use std::process::Command;

use hyper::Method;
use serde_json::Value;

use super::apply::{self, APPLY_PATCH, FIELD_MANAGER};
use super::args::{Files, Server};
use super::client::{Ask, AskError, Client};
use super::exit::{Code, Failure};
use super::manifests::{self, Manifest};
use super::resource;
use super::scratch::Scratch;
use crate::manifest::emit;
use crate::model::Kind;
use crate::model::selector::LabelSelector;

/// What `diff` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) files: Files,
    pub(super) namespace: Option<String>,
    pub(super) field_manager: String,
    pub(super) managed_fields: bool,
    pub(super) server_side: bool,
    pub(super) force_conflicts: bool,
    pub(super) selector: Option<LabelSelector>,
}

/// Shows the differences; fails with 1 when there are any, with more when they
/// cannot be known.
pub(super) async fn diff(server: &Server, options: &Options) -> Result<(), Failure> {
    let manifests = manifests::read(&options.files, options.namespace.as_deref())?;
    let mut client = super::connect(server).await?;
    let (live, merged) = (Scratch::new("LIVE")?, Scratch::new("MERGED")?);
    let selected = |manifest: &&Manifest| options.selector.as_ref().is_none_or(|only| manifest.is_selected(only));
    for manifest in manifests.iter().filter(selected) {
        let namespace = manifest.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
        let (before, after) = match both(&mut client, manifest, &namespace, options).await {
            Ok(both) => both,
            Err(AskError::Refused(refusal)) => {
                let message = manifests::positions(&manifest.document, &refusal);
                return Err(Failure::new(Code::NotCompared, message));
            }
            Err(AskError::Failed(failure)) => return Err(failure),
        };
        let name = file_name(manifest.kind, &namespace, &manifest.name);
        let (before, after) = masked(manifest.kind, before, Some(after));
        if let Some(before) = before {
            live.write(&name, &text(before, options.managed_fields))?;
        }
        if let Some(after) = after {
            merged.write(&name, &text(after, options.managed_fields))?;
        }
    }
    compare(&live, &merged)
}

/// What is stored, and what would be.
async fn both(
    client: &mut Client,
    manifest: &Manifest,
    namespace: &str,
    options: &Options,
) -> Result<(Option<Value>, Value), AskError> {
    let path = resource::object(manifest.kind, namespace, &manifest.name);
    let before = match client.ask(Ask::get(&path)).await {
        Ok(answer) => Some(answer.value),
        Err(AskError::Refused(refusal)) if refusal.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let force = !options.server_side || options.force_conflicts;
    let manager = if options.field_manager.is_empty() { FIELD_MANAGER } else { &options.field_manager };
    let manager = resource::escaped(manager);
    let path = format!("{path}?fieldManager={manager}&force={force}&fieldValidation=Strict&dryRun=All");
    let body = apply::body(manifest, namespace, options.server_side);
    let answer = client.ask(Ask::with(Method::PATCH, &path, APPLY_PATCH, body)).await?;
    Ok((before, answer.value))
}

fn text(mut object: Value, managed_fields: bool) -> String {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !managed_fields) {
        metadata.remove("managedFields");
    }
    emit::to_string(&object)
}

/// `v1.Service.default.web`, as kubectl names the files.
fn file_name(kind: Kind, namespace: &str, name: &str) -> String {
    let row = kind.resource();
    let group = if row.group.is_empty() { String::new() } else { format!("{}.", row.group) };
    let namespace = if row.namespaced { namespace } else { "" };
    format!("{group}{}.{}.{namespace}.{name}", row.version, row.kind).replace('/', "_")
}

/// A Secret's values stay secret: equal ones, and which side of a difference one is.
fn masked(kind: Kind, mut before: Option<Value>, mut after: Option<Value>) -> (Option<Value>, Option<Value>) {
    if kind != Kind::Secret {
        return (before, after);
    }
    let data = |object: &Option<Value>| object.as_ref().and_then(|object| object.get("data")).cloned();
    let (old, new) = (data(&before), data(&after));
    let mask = |object: &mut Option<Value>, other: &Option<Value>, side: &str| {
        let members = object.as_mut().and_then(|object| object.get_mut("data")).and_then(Value::as_object_mut);
        for (key, value) in members.into_iter().flatten() {
            let same = match other {
                Some(other) => other.get(key).is_none_or(|known| known == value),
                None => true,
            };
            *value = if same { "***".into() } else { format!("*** ({side})").into() };
        }
    };
    mask(&mut before, &new, "before");
    mask(&mut after, &old, "after");
    (before, after)
}

fn compare(live: &Scratch, merged: &Scratch) -> Result<(), Failure> {
    let external = std::env::var("KUBECTL_EXTERNAL_DIFF").ok().filter(|text| !text.trim().is_empty());
    let mut words = external.as_deref().unwrap_or("diff -u -N").split_whitespace();
    let program = words.next().unwrap_or("diff");
    let status = Command::new(program).args(words).arg(live.path()).arg(merged.path()).status();
    let status = status.map_err(|error| Failure::from_error(Code::NotCompared, program, &error))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::different()),
        _ => Err(Failure::new(Code::NotCompared, format!("error: {program}: {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secrets_values_are_never_shown() {
        let before = json!({"data": {"same": "YQ==", "other": "YQ==", "gone": "YQ=="}});
        let after = json!({"data": {"same": "YQ==", "other": "Yg==", "new": "YQ=="}});
        let (before, after) = masked(Kind::Secret, Some(before), Some(after));
        assert_eq!(before.unwrap()["data"], json!({"same": "***", "other": "*** (before)", "gone": "***"}));
        assert_eq!(after.unwrap()["data"], json!({"same": "***", "other": "*** (after)", "new": "***"}));
    }

    #[test]
    fn files_are_named_as_kubectl_names_them() {
        assert_eq!(file_name(Kind::Service, "default", "web"), "v1.Service.default.web");
        assert_eq!(file_name(Kind::EndpointSlice, "n", "a"), "discovery.k8s.io.v1.EndpointSlice.n.a");
        assert_eq!(file_name(Kind::Node, "default", "a"), "v1.Node..a");
    }
}
