//! The manifests of a command. Every file is read and every document understood
//! before the first request, so that a slip in the last file leaves nothing half
//! done. What the server refuses is shown at the line of the field.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::args::Files;
use super::client::Refusal;
use super::exit::{Code, Failure};
use super::resource::{self, Named};
use crate::manifest::{self, Document};
use crate::model::Kind;
use crate::model::selector::LabelSelector;

/// Files of one command: a directory given by mistake ends here.
const FILES_MAX: usize = 10_000;

/// A document that is known to name an object we serve.
pub(super) struct Manifest {
    pub(super) document: Document,
    pub(super) kind: Kind,
    /// As the manifest or the command line says; otherwise the client's.
    pub(super) namespace: Option<String>,
    /// Empty where the server chooses it.
    pub(super) name: String,
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
    understood(files, namespace, Naming::Given)
}

/// As [`read`]; an object may leave its name to the server.
pub(super) fn read_new(files: &Files, namespace: Option<&str>) -> Result<Vec<Manifest>, Failure> {
    understood(files, namespace, Naming::MayBeGenerated)
}

/// Whether the server may choose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Given,
    MayBeGenerated,
}

fn understood(files: &Files, namespace: Option<&str>, naming: Naming) -> Result<Vec<Manifest>, Failure> {
    refuse_unsupported(files)?;
    let mut faults = Vec::new();
    let mut manifests = Vec::new();
    for (name, bytes) in load(&files.files, files.recursive)? {
        match manifest::read(&name, &bytes) {
            Ok(documents) => {
                for document in documents {
                    match Manifest::of(document, namespace, naming) {
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
        return Err(Failure::new(Code::Manifest, "error: no objects are named: the files are empty"));
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
    /// Whether its labels are as `-l` wants them.
    pub(super) fn is_selected(&self, selector: &LabelSelector) -> bool {
        let labels = self.document.value.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
        selector.matches(&labels.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect())
    }

    /// The object it names.
    pub(super) fn named(self) -> Named {
        Named { kind: self.kind, name: Some(self.name), namespace: self.namespace }
    }

    fn of(document: Document, namespace: Option<&str>, naming: Naming) -> Result<Manifest, String> {
        let text = |path: &str| document.value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let fault = |path: &str, message: &str| document.fault(path, message).to_string();
        let api_version = text("/apiVersion").ok_or_else(|| fault("", "apiVersion is missing"))?;
        let kind = text("/kind").ok_or_else(|| fault("", "kind is missing"))?;
        let kind = resource::kind_of_manifest(api_version, kind).map_err(|message| fault("kind", &message))?;
        let generated = text("/metadata/generateName").is_some() && text("/metadata/name").is_none();
        if generated && naming == Naming::Given {
            let message = "metadata.generateName names no object: give metadata.name, or use `create`";
            return Err(fault("metadata.generateName", message));
        }
        let name = match text("/metadata/name") {
            Some(name) => name.to_owned(),
            None if generated => String::new(),
            None => return Err(fault("metadata", "metadata.name is missing")),
        };
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
        return Err(Failure::new(Code::Usage, "error: must specify -f FILE"));
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
    if named && !path.exists() {
        return Err(Failure::new(Code::Io, format!("error: the path {:?} does not exist", path.display().to_string())));
    }
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
            about: None,
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
        let of = |text: &str, ns| Manifest::of(document(text), ns, Naming::Given);
        let fault = of("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n", None).err().unwrap();
        assert!(fault.starts_with("f.yaml:2:1: no Deployment here"), "{fault}");
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\n";
        assert_eq!(of(text, None).ok().unwrap().namespace.unwrap(), "b");
        assert!(of(text, Some("c")).err().unwrap().contains("--namespace=b"));
        let generated = "apiVersion: v1\nkind: Service\nmetadata: {generateName: a-}\n";
        assert!(of(generated, None).err().unwrap().contains("generateName"));
        assert!(Manifest::of(document(generated), None, Naming::MayBeGenerated).is_ok());
        assert!(of("kind: Service\n", None).err().unwrap().contains("apiVersion is missing"));
    }
}
