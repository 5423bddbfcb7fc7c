//! `edgesvc patch`: the three kinds of patch, from a word or a file.

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::apply::DryRun;
use super::client::{Ask, AskError, Client, MERGE_PATCH};
use super::exit::{Code, Failure};
use super::format::Format;
use super::output::{self, Report};
use super::pick::{self, Pick};
use super::resource;
use crate::manifest::yaml;

/// Bytes of a patch file; the server takes no more either.
const PATCH_BYTES_MAX: u64 = 3 * 1024 * 1024;

/// What `patch` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) pick: Pick,
    pub(super) body: Value,
    pub(super) media_type: &'static str,
    pub(super) subresource: Option<String>,
    pub(super) dry_run: DryRun,
    pub(super) field_manager: String,
    pub(super) format: Format,
}

/// The media type of a `--type`.
pub(super) fn media_type(word: &str) -> Result<&'static str, Failure> {
    match word.to_ascii_lowercase().as_str() {
        "strategic" => Ok("application/strategic-merge-patch+json"),
        "merge" => Ok(MERGE_PATCH),
        "json" => Ok("application/json-patch+json"),
        _ => {
            let message = format!("error: --type must be one of [json merge strategic], not {word:?}");
            Err(Failure::new(Code::Usage, message))
        }
    }
}

/// The patch of `-p` or `--patch-file`, YAML or JSON.
pub(super) fn body(patch: Option<&str>, file: Option<&str>) -> Result<Value, Failure> {
    let text = match (patch, file) {
        (Some(_), Some(_)) => {
            return Err(Failure::new(Code::Usage, "error: cannot specify --patch and --patch-file together"));
        }
        (Some(text), None) => text.to_owned(),
        (None, Some(file)) => file_text(file)?,
        (None, None) => {
            let message = "error: must specify --patch or --patch-file containing the contents of the patch";
            return Err(Failure::new(Code::Usage, message));
        }
    };
    match yaml::from_slice(text.as_bytes()) {
        Ok(parsed) if parsed.value.is_object() || parsed.value.is_array() => Ok(parsed.value),
        Ok(_) => {
            Err(Failure::new(Code::Manifest, format!("error: unable to parse {text:?}: it is no object and no list")))
        }
        Err(error) => {
            let place = error.place;
            let message = format!("error: unable to parse {text:?}: line {}: {}", place.line, error.message);
            Err(Failure::new(Code::Manifest, message))
        }
    }
}

fn file_text(name: &str) -> Result<String, Failure> {
    use std::io::Read as _;
    let fault = |error: std::io::Error| Failure::from_error(Code::Io, name, &error);
    let mut text = String::new();
    if name == "-" {
        std::io::stdin().lock().take(PATCH_BYTES_MAX).read_to_string(&mut text).map_err(fault)?;
    } else {
        std::fs::File::open(name).map_err(fault)?.take(PATCH_BYTES_MAX).read_to_string(&mut text).map_err(fault)?;
    }
    Ok(text)
}

/// Patches everything picked; goes on after a refusal and reports all.
pub(super) async fn patch(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let mut refusals = Vec::new();
    let mut report = Report::new(options.format.clone());
    let body = Bytes::from(options.body.to_string());
    for (target, before) in options.pick.objects(client, &mut refusals).await? {
        let sub = options.subresource.as_ref().map(|name| format!("/{}", resource::escaped(name))).unwrap_or_default();
        let manager = resource::escaped(&options.field_manager);
        let path = format!("{}{sub}?fieldManager={manager}{}", target.path(), options.dry_run.query());
        match client.ask(Ask::with(Method::PATCH, &path, options.media_type, body.clone())).await {
            Ok(answer) => {
                output::warn(&answer.warnings);
                // kubectl has no word for a dry run here.
                let same = meant(&before) == meant(&answer.value);
                report.tell(target.kind, &answer.value, if same { "patched (no change)" } else { "patched" })?;
            }
            Err(AskError::Refused(refusal)) => refusals.push(refusal.to_string()),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
    pick::verdict(&refusals)
}

/// An object without what the server counts: a dry run gives it no version.
fn meant(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|member, _| !matches!(member.as_str(), "managedFields" | "resourceVersion" | "generation"));
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_is_yaml_or_json_and_given_once() {
        assert_eq!(body(Some("spec: {type: ClusterIP}"), None).unwrap(), json!({"spec": {"type": "ClusterIP"}}));
        assert_eq!(body(Some(r#"[{"op":"remove","path":"/a"}]"#), None).unwrap()[0]["op"], "remove");
        for (patch, file, words) in [
            (Some("{bad"), None, "unable to parse"),
            (Some("word"), None, "no object and no list"),
            (None, None, "must specify --patch or --patch-file"),
            (Some("{}"), Some("f"), "together"),
        ] {
            assert!(body(patch, file).unwrap_err().message.contains(words));
        }
        assert!(media_type("foo").unwrap_err().message.contains("not \"foo\""));
    }
}
