//! `edgesvc apply`: manifests to server-side apply requests, one line per object.
//!
//! Every file is read and every document understood before the first request, so
//! that a slip in the last file leaves nothing half done. What the server refuses
//! is shown at the line of the field.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::args::{Files, Server};
use super::client::{Answer, Ask, AskError, Client, JSON, Refusal};
use super::exit::{Code, Failure};
use super::format::Format;
use super::output;
use super::resource::{self, Named};
use crate::manifest::{self, Document};
use crate::model::Kind;

/// Who owns the fields that `edgesvc apply` writes.
const FIELD_MANAGER: &str = "edgesvc";
/// Files of one command: a directory given by mistake ends here.
const FILES_MAX: usize = 10_000;

/// What `apply` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) files: Files,
    pub(super) namespace: Option<String>,
    pub(super) dry_run: bool,
    pub(super) format: Format,
}

/// A document that is known to name an object we serve.
pub(super) struct Manifest {
    pub(super) document: Document,
    pub(super) kind: Kind,
    /// As the manifest or the command line says; otherwise the client's.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// Applies everything; goes on after a refusal, as kubectl does, and reports all.
pub(super) async fn apply(server: &Server, options: &Options) -> Result<(), Failure> {
    let manifests = read(&options.files, options.namespace.as_deref())?;
    let mut client = super::connect(server).await?;
    let mut refusals = Vec::new();
    let mut applied = Vec::new();
    for manifest in &manifests {
        match one(&mut client, manifest, options.dry_run).await {
            Ok((word, answer)) => {
                answer.warnings.iter().for_each(|text| output::note(&format!("Warning: {text}")));
                report(manifest, word, &answer.value, options)?;
                applied.push(answer.value);
            }
            Err(AskError::Refused(refusal)) => refusals.push(positions(&manifest.document, &refusal)),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
    if !matches!(options.format, Format::Table | Format::Wide | Format::Name) {
        let value = if let [one] = applied.as_slice() { one.clone() } else { output::list(applied.clone()) };
        output::print(&output::rendered(&value, &applied, &options.format, true)?)?;
    }
    if refusals.is_empty() { Ok(()) } else { Err(Failure::new(Code::Refused, refusals.join("\n"))) }
}

fn report(manifest: &Manifest, word: &str, value: &Value, options: &Options) -> Result<(), Failure> {
    let name = output::name_of(manifest.kind, value);
    match &options.format {
        Format::Name => output::line(&name),
        Format::Table | Format::Wide if options.dry_run => output::line(&format!("{name} {word} (server dry run)")),
        Format::Table | Format::Wide => output::line(&format!("{name} {word}")),
        _ => Ok(()),
    }
}

async fn one(client: &mut Client, manifest: &Manifest, dry_run: bool) -> Result<(&'static str, Answer), AskError> {
    let namespace = manifest.namespace.as_deref().unwrap_or_else(|| client.namespace());
    let path = resource::object(manifest.kind, namespace, &manifest.name);
    let before = match client.ask(Ask::get(&path)).await {
        Ok(answer) => Some(answer.value),
        Err(AskError::Refused(refusal)) if refusal.is_not_found() => None,
        Err(error) => return Err(error),
    };
    // The manifest is the user's word: fields that others set otherwise are taken
    // over, as `kubectl apply` does, and fields it no longer names are removed.
    let query = format!("fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict");
    let query = if dry_run { format!("{query}&dryRun=All") } else { query };
    let path = format!("{path}?{query}");
    let body = Bytes::from(manifest.document.value.to_string());
    let content_type = "application/apply-patch+yaml";
    let ask = Ask { method: Method::PATCH, path: &path, accept: JSON, content_type, body };
    let answer = client.ask(ask).await?;
    let word = match before {
        None => "created",
        Some(_) if answer.created => "created",
        Some(before) if version(&before) == version(&answer.value) => "unchanged",
        Some(_) => "configured",
    };
    Ok((word, answer))
}

fn version(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
}

/// A refusal with each cause at its line: `service.yaml:9: spec.ports[0].port: Invalid value: …`.
pub(super) fn positions(document: &Document, refusal: &Refusal) -> String {
    let found = if refusal.causes.iter().any(|(field, _)| !field.is_empty()) {
        refusal.causes.iter().map(|(field, message)| (field.clone(), message.clone())).collect()
    } else {
        strict_faults(&refusal.message)
    };
    if found.is_empty() {
        return format!("{}: {refusal}", document.position(""));
    }
    let lines: Vec<String> = found
        .iter()
        .map(|(field, message)| {
            // Server-side apply names fields with a leading dot.
            let path = field.strip_prefix('.').unwrap_or(field);
            format!("{}: {path}: {message}", document.position(path))
        })
        .collect();
    lines.join("\n")
}

/// The fields of `strict decoding error: unknown field "spec.foo", duplicate field "a"`.
fn strict_faults(message: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for kind in ["unknown field", "duplicate field"] {
        for part in message.split(&format!("{kind} \"")).skip(1) {
            if let Some((path, _)) = part.split_once('"') {
                found.push((path.to_owned(), kind.to_owned()));
            }
        }
    }
    found
}

/// Reads every file and checks that each document names an object we serve.
pub(super) fn read(files: &Files, namespace: Option<&str>) -> Result<Vec<Manifest>, Failure> {
    refuse_unsupported(files)?;
    let mut faults = Vec::new();
    let mut manifests = Vec::new();
    for (name, bytes) in load(&files.files, files.recursive)? {
        match manifest::read(&name, &bytes) {
            Ok(documents) => {
                for document in documents {
                    match Manifest::of(document, namespace) {
                        Ok(manifest) => manifests.push(manifest),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
            Err(found) => faults.extend(found.iter().map(ToString::to_string)),
        }
    }
    if !faults.is_empty() {
        return Err(Failure::new(Code::Manifest, faults.join("\n")));
    }
    if manifests.is_empty() {
        return Err(Failure::new(Code::Manifest, "error: no objects passed to apply"));
    }
    Ok(manifests)
}

/// Ways to name manifests that kubectl has and edgesvc has not.
fn refuse_unsupported(files: &Files) -> Result<(), Failure> {
    let usage = |message: String| Err(Failure::new(Code::Usage, message));
    if let Some(folder) = &files.kustomize {
        return usage(format!(
            "error: -k {folder}: kustomize is not supported here: apply what `kustomize build {folder}` prints with -f -"
        ));
    }
    match files.files.iter().find(|file| file.starts_with("http://") || file.starts_with("https://")) {
        Some(url) => {
            usage(format!("error: -f {url}: manifests are not fetched from the network: download it and name the file"))
        }
        None => Ok(()),
    }
}

impl Manifest {
    /// The object it names.
    pub(super) fn named(self) -> Named {
        Named { kind: self.kind, name: Some(self.name), namespace: self.namespace }
    }

    fn of(document: Document, namespace: Option<&str>) -> Result<Manifest, String> {
        let text = |path: &str| document.value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let fault = |path: &str, message: &str| document.fault(path, message).to_string();
        let api_version = text("/apiVersion").ok_or_else(|| fault("", "apiVersion is missing"))?;
        let kind = text("/kind").ok_or_else(|| fault("", "kind is missing"))?;
        let kind = resource::kind_of_manifest(api_version, kind).map_err(|message| fault("kind", &message))?;
        if text("/metadata/generateName").is_some() && text("/metadata/name").is_none() {
            return Err(fault("metadata.generateName", "metadata.generateName cannot be applied: give metadata.name"));
        }
        let name = text("/metadata/name").ok_or_else(|| fault("metadata", "metadata.name is missing"))?.to_owned();
        let own = text("/metadata/namespace");
        if let (Some(own), Some(asked), true) = (own, namespace, kind.resource().namespaced)
            && own != asked
        {
            let message = format!(
                "metadata.namespace {own:?} does not match the namespace {asked:?}: pass --namespace={own}, or remove one of them"
            );
            return Err(fault("metadata.namespace", &message));
        }
        let namespace = own.or(namespace).map(str::to_owned);
        Ok(Manifest { kind, namespace, name, document })
    }
}

/// The bytes of every file, in the order named; `-` is standard input.
fn load(files: &[String], recursive: bool) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    if files.is_empty() {
        return Err(Failure::new(Code::Usage, "error: must specify one of -f"));
    }
    let mut loaded = Vec::new();
    for file in files {
        if file == "-" {
            loaded.push(("-".to_owned(), bounded(std::io::stdin().lock(), "-")?));
            continue;
        }
        let mut paths = Vec::new();
        collect(Path::new(file), recursive, true, &mut paths)?;
        for path in paths {
            let name = path.display().to_string();
            let open = std::fs::File::open(&path).map_err(|error| Failure::from_error(Code::Io, &name, &error))?;
            loaded.push((name.clone(), bounded(open, &name)?));
        }
    }
    Ok(loaded)
}

/// A file itself, or the manifests of a directory in the order of their names.
fn collect(path: &Path, recursive: bool, named: bool, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::from_error(Code::Io, &path.display().to_string(), &error);
    if !std::fs::metadata(path).map_err(fault)?.is_dir() {
        let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default();
        if named || matches!(extension, "yaml" | "yml" | "json") {
            found.push(path.to_path_buf());
        }
        if found.len() > FILES_MAX {
            return Err(Failure::new(Code::Usage, format!("{}: more than {FILES_MAX} files", path.display())));
        }
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(fault)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    entries.sort();
    for entry in entries {
        // Links to directories could lead round in circles.
        let kind = std::fs::symlink_metadata(&entry).map_err(fault)?.file_type();
        if !kind.is_dir() && !entry.is_dir() || kind.is_dir() && recursive {
            collect(&entry, recursive, false, found)?;
        }
    }
    Ok(())
}

fn bounded(from: impl std::io::Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than allowed lets the reader of manifests say so with the file's name.
    from.take(manifest::FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::from_error(Code::Io, name, &error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        manifest::read("f.yaml", text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn a_refusal_is_shown_at_the_line_of_each_field() {
        let document = document("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: 0\n");
        let refusal = Refusal {
            code: 422,
            reason: "Invalid".to_owned(),
            message: String::new(),
            causes: vec![("spec.ports[0].port".to_owned(), "Invalid value: 0".to_owned())],
        };
        assert_eq!(positions(&document, &refusal), "f.yaml:7: spec.ports[0].port: Invalid value: 0");
    }

    #[test]
    fn strict_faults_are_found_in_the_servers_sentence() {
        let faults = strict_faults(r#"strict decoding error: unknown field "spec.a", duplicate field "spec.b""#);
        assert_eq!(faults[0].0, "spec.a");
        assert_eq!(faults[1], ("spec.b".to_owned(), "duplicate field".to_owned()));
    }

    #[test]
    fn a_manifest_must_name_an_object_we_serve() {
        let of = |text: &str, ns| Manifest::of(document(text), ns);
        let fault = of("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n", None).err().unwrap();
        assert!(fault.starts_with("f.yaml:2:1: no Deployment here"), "{fault}");
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\n";
        assert_eq!(of(text, None).ok().unwrap().namespace.unwrap(), "b");
        assert!(of(text, Some("c")).err().unwrap().contains("--namespace=b"));
        assert!(of("kind: Service\n", None).err().unwrap().contains("apiVersion is missing"));
    }
}
