//! `edgesvc edit`: an object in the user's editor, sent back as a merge patch of
//! what was changed. A slip opens the editor again with the reason at the top.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value};

use super::apply::version;
use super::client::{Ask, AskError, Client, MERGE_PATCH};
use super::exit::{Code, Failure};
use super::format::Format;
use super::output::{self, Report};
use super::pick::{self, Pick, Target};
use super::resource;
use super::scratch::Scratch;
use crate::manifest::{self, emit};

/// Bytes of an edited file; the server takes no more either.
const EDITED_BYTES_MAX: u64 = 4 * 1024 * 1024;

const GUIDE: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

/// What `edit` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) pick: Pick,
    pub(super) subresource: Option<String>,
    pub(super) field_manager: String,
    /// How the object is shown: YAML unless JSON is asked for.
    pub(super) json: bool,
    pub(super) format: Format,
}

/// Edits one object after another.
pub(super) async fn edit(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let mut refusals = Vec::new();
    let objects = options.pick.objects(client, &mut refusals).await?;
    let mut report = Report::new(options.format.clone());
    for (target, object) in objects {
        match one(client, &target, &object, options).await {
            Ok(Some(changed)) => report.tell(target.kind, &changed, "edited")?,
            Ok(None) => {}
            Err(failure) if failure.code == Code::Refused => refusals.push(failure.message),
            Err(failure) => return Err(failure),
        }
    }
    pick::verdict(&refusals)
}

/// Edits until the server takes it, or the user gives up.
async fn one(
    client: &mut Client,
    target: &Target,
    object: &Value,
    options: &Options,
) -> Result<Option<Value>, Failure> {
    let mut scratch = Scratch::new("edgesvc-edit")?;
    let original = shown(object);
    let mut body = text_of(&original, options.json)?;
    let mut fault: Option<String> = None;
    loop {
        let before = body.clone();
        let name = if options.json { "object.json" } else { "object.yaml" };
        let path = scratch.write(name, &format!("{}{body}", head(fault.as_deref())))?;
        open_editor(&path)?;
        body = without_comments(&read(&path)?);
        let edited = match understood(&body) {
            Ok(edited) => edited,
            Err(_) if body.trim().is_empty() => {
                output::note("Edit cancelled, saved file was empty.");
                return Ok(None);
            }
            Err(reason) if body == before => return Err(given_up(&mut scratch, &path, &reason)),
            Err(reason) => {
                fault = Some(reason);
                continue;
            }
        };
        if body == before {
            // Nothing new to try after a refusal; nothing changed at all otherwise.
            let Some(reason) = fault else {
                output::note("Edit cancelled, no changes made.");
                return Ok(None);
            };
            return Err(given_up(&mut scratch, &path, &reason));
        }
        let Some(patch) = difference(&original, &edited) else {
            output::note("Edit cancelled, no changes made.");
            return Ok(None);
        };
        match send(client, target, &patch, options).await {
            Ok(changed) if version(&changed) == version(object) => {
                output::note("Edit cancelled, no changes made.");
                return Ok(None);
            }
            Ok(changed) => return Ok(Some(changed)),
            Err(AskError::Refused(refusal)) => fault = Some(refusal.to_string()),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
}

async fn send(client: &mut Client, target: &Target, patch: &Value, options: &Options) -> Result<Value, AskError> {
    let sub = options.subresource.as_ref().map(|name| format!("/{}", resource::escaped(name))).unwrap_or_default();
    let manager = resource::escaped(&options.field_manager);
    let path = format!("{}{sub}?fieldManager={manager}&fieldValidation=Strict", target.path());
    let answer = client.ask(Ask::with(Method::PATCH, &path, MERGE_PATCH, Bytes::from(patch.to_string()))).await?;
    output::warn(&answer.warnings);
    Ok(answer.value)
}

fn given_up(scratch: &mut Scratch, path: &Path, reason: &str) -> Failure {
    scratch.keep();
    let path = path.display();
    let message = format!(
        "{reason}\nA copy of your changes has been stored to {path}\nerror: Edit cancelled, no valid changes were saved."
    );
    Failure::new(Code::Refused, message)
}

/// The object without what only the server writes about it.
fn shown(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

fn text_of(value: &Value, json: bool) -> Result<String, Failure> {
    if json { output::whole_document(value, &Format::Json) } else { Ok(emit::to_string(value)) }
}

fn head(fault: Option<&str>) -> String {
    let mut head = GUIDE.to_owned();
    if let Some(fault) = fault {
        fault.lines().for_each(|line| head.push_str(&format!("# {line}\n")));
        head.push_str("#\n");
    }
    head
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

fn understood(text: &str) -> Result<Value, String> {
    let documents = manifest::read("the edited file", text.as_bytes());
    let mut documents =
        documents.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    match documents.len() {
        1 => Ok(documents.remove(0).value),
        count => Err(format!("the edited file has {count} objects instead of one")),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let fault = |error: std::io::Error| Failure::from_error(Code::Io, &path.display().to_string(), &error);
    let mut text = String::new();
    std::fs::File::open(path).map_err(fault)?.take(EDITED_BYTES_MAX).read_to_string(&mut text).map_err(fault)?;
    Ok(text)
}

fn open_editor(path: &Path) -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let editor = variable("KUBE_EDITOR").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // Through the shell, because an editor is often a command with flags.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$0\"")).arg(path).status()?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(Code::Io, format!("error: there was a problem with the editor {editor:?}: {status}")))
}

/// The merge patch (RFC 7386) from one value to another; none when they are equal.
pub(super) fn difference(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        let change = match before.get(key) {
            Some(known) => difference(known, value),
            None => Some(value.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_holds_only_what_was_changed() {
        let before = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]});
        assert_eq!(difference(&before, &before), None);
        let after = json!({"a": 1, "b": {"c": 4}, "e": [1], "f": {}});
        assert_eq!(difference(&before, &after).unwrap(), json!({"b": {"c": 4, "d": null}, "e": [1], "f": {}}));
    }

    #[test]
    fn comments_are_ignored_and_a_reason_is_one() {
        assert_eq!(without_comments(&format!("{}a: 1\n", head(Some("no\ngood")))), "a: 1\n");
        assert!(head(Some("no\ngood")).ends_with("# no\n# good\n#\n"));
        assert!(understood("a: [").is_err() && understood("a: 1\n---\nb: 1\n").is_err());
    }
}
