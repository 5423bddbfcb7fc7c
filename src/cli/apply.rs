//! `edgesvc apply`: manifests to server-side apply requests, one line per object.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::args::{Files, Server};
use super::client::{Answer, Ask, AskError, Client};
use super::dataplane;
use super::exit::{Code, Failure};
use super::fleet::{self, Plan};
use super::format::Format;
use super::manifests::{self, Manifest};
use super::output;
use super::pick;
use super::progress::Progress;
use super::prune::{self, Prune};
use super::resource;
use crate::model::selector::LabelSelector;

/// Who owns the fields that `edgesvc apply` writes.
pub(super) const FIELD_MANAGER: &str = "edgesvc";
/// The media type of server-side apply.
pub(super) const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Where kubectl's client-side apply keeps what was applied.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What `apply` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) files: Files,
    pub(super) namespace: Option<String>,
    pub(super) dry_run: DryRun,
    pub(super) format: Format,
    /// Said by name: kubectl's words for it, and conflicts are refused.
    pub(super) server_side: bool,
    pub(super) force_conflicts: bool,
    pub(super) field_manager: String,
    pub(super) validation: &'static str,
    /// Print the change of the kernel that a dry run would be.
    pub(super) show_dataplane: bool,
    /// Manifests with other labels are left alone.
    pub(super) selector: Option<LabelSelector>,
    pub(super) prune: Option<Prune>,
}

/// `--dry-run`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DryRun {
    /// Store it.
    #[default]
    None,
    /// Print what would be asked.
    Client,
    /// Ask, and store nothing.
    Server,
}

impl DryRun {
    /// What stands behind the word for a change.
    pub(super) fn words(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }

    /// The parameter of the request. The server says best what would come of it,
    /// so that `client` asks it too wherever there is something to be asked.
    pub(super) fn query(self) -> &'static str {
        if self == DryRun::None { "" } else { "&dryRun=All" }
    }
}

/// Applies everything; goes on after a refusal, as kubectl does, and reports all.
pub(super) async fn apply(server: &Server, options: Options) -> Result<(), Failure> {
    let mut manifests = manifests::read(&options.files, options.namespace.as_deref())?;
    if let Some(selector) = &options.selector {
        manifests.retain(|manifest| manifest.is_selected(selector));
        if manifests.is_empty() {
            return Err(Failure::new(Code::Manifest, "error: no objects passed to apply"));
        }
    }
    let mut clients = fleet::launch(server, manifests.len()).await?;
    let mut progress = Progress::new(manifests.len());
    let plan = Arc::new(Plan { manifests, options });
    let mut refusals = Vec::new();
    let mut applied = Vec::new();
    for range in fleet::waves(&plan.manifests) {
        let told = fleet::wave(&mut clients, &plan, range, |index, outcome| {
            let Some(manifest) = plan.manifests.get(index) else { return Ok(()) };
            match outcome {
                Ok((word, answer)) => {
                    output::warn(&answer.warnings);
                    report(&mut progress, manifest, word, &answer.value, &plan.options)?;
                    applied.push(answer.value);
                }
                Err(AskError::Refused(refusal)) => refusals.push(manifests::positions(&manifest.document, &refusal)),
                Err(AskError::Failed(failure)) => return Err(failure),
            }
            progress.at(index + 1);
            Ok(())
        });
        told.await?;
    }
    drop(progress);
    let format = &plan.options.format;
    if !matches!(format, Format::Table | Format::Wide | Format::Name) {
        let value = if let [one] = applied.as_slice() { one.clone() } else { output::list(applied.clone()) };
        output::print(&output::rendered(&value, &applied, format, true)?)?;
    }
    if plan.options.show_dataplane && !applied.is_empty() {
        let mut client = super::connect(server).await?;
        dataplane::preview(&mut client, applied.clone()).await?;
    }
    pick::verdict(&refusals)?;
    match (&plan.options.prune, clients.first_mut()) {
        (Some(prune), Some(client)) => prune::prune(client, prune, &applied, &plan.options).await,
        _ => Ok(()),
    }
}

fn report(
    progress: &mut Progress,
    manifest: &Manifest,
    word: &str,
    value: &Value,
    options: &Options,
) -> Result<(), Failure> {
    let name = output::name_of(manifest.kind, value);
    match &options.format {
        Format::Name => progress.line(&name),
        Format::Table | Format::Wide => progress.line(&format!("{name} {word}{}", options.dry_run.words())),
        _ => Ok(()),
    }
}

/// Applies one manifest.
pub(super) async fn one(
    client: &mut Client,
    manifest: &Manifest,
    options: &Options,
) -> Result<(&'static str, Answer), AskError> {
    let namespace = manifest.namespace.as_deref().unwrap_or_else(|| client.namespace());
    let path = resource::object(manifest.kind, namespace, &manifest.name);
    let body = body(manifest, namespace, options.server_side);
    let before = match client.ask(Ask::get(&path)).await {
        Ok(answer) => Some(answer.value),
        Err(AskError::Refused(refusal)) if refusal.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let path = format!("{path}?{}", query(options));
    let answer = client.ask(Ask::with(Method::PATCH, &path, APPLY_PATCH, body)).await?;
    let word = match before {
        _ if options.server_side => "serverside-applied",
        None => "created",
        Some(_) if answer.created => "created",
        Some(before) if is_same(&before, &answer.value) => "unchanged",
        Some(_) => "configured",
    };
    Ok((word, answer))
}

/// What is sent. Who applies nothing but a name owns no field, and the server keeps
/// no trace of him: such an object gets kubectl's annotation, so that a later apply
/// finds it unchanged and `--prune` finds that it was applied.
pub(super) fn body(manifest: &Manifest, namespace: &str, server_side: bool) -> Bytes {
    let mut object = manifest.document.value.clone();
    if !server_side && is_bare(&object) {
        let mut applied = object.clone();
        if let Some(metadata) = applied.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("annotations".to_owned(), json!({}));
            if manifest.kind.resource().namespaced {
                metadata.insert("namespace".to_owned(), namespace.into());
            }
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("annotations".to_owned(), json!({LAST_APPLIED: format!("{applied}\n")}));
        }
    }
    Bytes::from(object.to_string())
}

/// Whether an object says no more than which it is.
fn is_bare(object: &Value) -> bool {
    let only = |value: Option<&Value>, known: [&str; 3]| {
        value.and_then(Value::as_object).is_some_and(|map| map.keys().all(|key| known.contains(&key.as_str())))
    };
    only(Some(object), ["apiVersion", "kind", "metadata"]) && only(object.get("metadata"), ["name", "namespace", ""])
}

/// The manifest is the user's word: fields that others set otherwise are taken
/// over, as `kubectl apply` does, and fields it no longer names are removed. Who
/// says --server-side is told of conflicts, as kubectl's users are.
fn query(options: &Options) -> String {
    let force = !options.server_side || options.force_conflicts;
    let manager = resource::escaped(&options.field_manager);
    let dry_run = options.dry_run.query();
    format!("fieldManager={manager}&force={force}&fieldValidation={}{dry_run}", options.validation)
}

/// Whether nothing has changed for a user. The server notes at the second apply of a
/// Namespace who set its label, and gives it a new version for that.
fn is_same(before: &Value, after: &Value) -> bool {
    content(before).eq(content(after))
}

fn content(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let members = object.as_object().into_iter().flatten().filter(|(member, _)| *member != "metadata");
    let metadata = object.get("metadata").and_then(Value::as_object).into_iter().flatten();
    members.chain(metadata.filter(|(member, _)| *member != "managedFields" && *member != "resourceVersion"))
}

pub(super) fn version(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;
    use crate::model::Kind;

    #[test]
    fn an_object_of_a_name_alone_says_that_it_was_applied() {
        let sent = |text: &str, server_side| {
            let document = manifest::read("f", text.as_bytes()).unwrap().remove(0);
            let manifest = Manifest { document, kind: Kind::ConfigMap, namespace: None, name: "a".to_owned() };
            serde_json::from_slice::<Value>(&body(&manifest, "shop", server_side)).unwrap()
        };
        let bare = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
        let object = sent(bare, false);
        let applied =
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{},"name":"a","namespace":"shop"}}"#;
        assert_eq!(object["metadata"]["annotations"][LAST_APPLIED], format!("{applied}\n"));
        assert!(sent(bare, true)["metadata"].get("annotations").is_none());
        for more in ["data: {a: b}\n", "immutable: true\n"] {
            assert!(sent(&format!("{bare}{more}"), false)["metadata"].get("annotations").is_none());
        }
    }
}
