//! `edgesvc label` and `edgesvc annotate`: pairs set and removed by a merge patch.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::apply::DryRun;
use super::client::{Ask, AskError, Client, MERGE_PATCH};
use super::exit::{Code, Failure};
use super::format::Format;
use super::output::{self, Report};
use super::pick::{self, Pick, Target};

/// Which pairs of an object's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairs {
    Labels,
    Annotations,
}

impl Pairs {
    fn member(self) -> &'static str {
        match self {
            Pairs::Labels => "labels",
            Pairs::Annotations => "annotations",
        }
    }

    fn singular(self) -> &'static str {
        match self {
            Pairs::Labels => "label",
            Pairs::Annotations => "annotation",
        }
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) pairs: Pairs,
    pub(super) pick: Pick,
    pub(super) changes: Changes,
    pub(super) overwrite: bool,
    pub(super) list: bool,
    pub(super) resource_version: Option<String>,
    pub(super) dry_run: DryRun,
    pub(super) field_manager: String,
    pub(super) format: Format,
}

/// `a=b` and `c-` of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    set: BTreeMap<String, String>,
    remove: Vec<String>,
}

impl Changes {
    /// Parts the words behind the verb into what names objects and what changes them.
    pub(super) fn part(words: &[String], pairs: Pairs) -> Result<(Vec<String>, Changes), Failure> {
        let usage = |message: String| Err(Failure::new(Code::Usage, message));
        let is_change = |word: &&String| word.ends_with('-') || word.find('=').is_some_and(|at| at > 0);
        let names: Vec<String> = words.iter().take_while(|word| !is_change(word)).cloned().collect();
        let mut changes = Changes::default();
        for word in words.iter().skip(names.len()) {
            match (word.split_once('='), word.strip_suffix('-')) {
                (Some((key, value)), _) if !key.is_empty() => {
                    changes.set.insert(key.to_owned(), value.to_owned());
                }
                (None, Some(key)) if !key.is_empty() => changes.remove.push(key.to_owned()),
                _ => {
                    let what = pairs.singular();
                    return usage(format!("error: all resources must be specified before {what} changes: {word}"));
                }
            }
        }
        if changes.remove.iter().any(|key| changes.set.contains_key(key)) {
            let what = pairs.singular();
            return usage(format!("error: can not both modify and remove a {what} in the same command"));
        }
        Ok((names, changes))
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// What is to be done to one object.
#[derive(Debug, PartialEq)]
struct Decision {
    /// The members of the merge patch; none when nothing changes.
    patch: BTreeMap<String, Value>,
    /// Keys to be removed that are not there.
    absent: Vec<String>,
    word: &'static str,
}

/// Decides from what an object has.
fn decide(has: Option<&Value>, options: &Options) -> Result<Decision, String> {
    let value = |key: &str| has.and_then(|map| map.get(key)).and_then(Value::as_str);
    let differs = |key: &str, wanted: &str| value(key).filter(|value| *value != wanted).map(str::to_owned);
    let Options { changes, pairs, .. } = options;
    if !options.overwrite {
        let taken = changes.set.iter().filter_map(|(key, wanted)| Some((key, differs(key, wanted)?)));
        let taken: Vec<String> = taken.map(|(key, value)| format!("'{key}' already has a value ({value})")).collect();
        match (taken.is_empty(), pairs) {
            (true, _) => {}
            (false, Pairs::Labels) => return Err(format!("error: {}, and --overwrite is false", taken.join("; "))),
            (false, Pairs::Annotations) => {
                let what = "error: --overwrite is false but found the following declared annotation(s): ";
                return Err(format!("{what}{}", taken.join("; ")));
            }
        }
    }
    let mut patch = BTreeMap::new();
    for (key, wanted) in &changes.set {
        if value(key) != Some(wanted) {
            patch.insert(key.clone(), Value::from(wanted.as_str()));
        }
    }
    let (there, absent): (Vec<&String>, Vec<&String>) = changes.remove.iter().partition(|key| value(key).is_some());
    let set = !patch.is_empty();
    patch.extend(there.into_iter().map(|key| (key.clone(), Value::Null)));
    let word = match (pairs, patch.is_empty()) {
        (Pairs::Annotations, _) => "annotated",
        (Pairs::Labels, true) => "not labeled",
        (Pairs::Labels, false) if !set && !options.overwrite => "unlabeled",
        (Pairs::Labels, false) => "labeled",
    };
    Ok(Decision { patch, absent: absent.into_iter().cloned().collect(), word })
}

/// Changes everything picked; goes on after a refusal and reports all.
pub(super) async fn modify(client: &mut Client, options: &Options) -> Result<(), Failure> {
    if options.changes.is_empty() && !options.list {
        let what = options.pairs.singular();
        return Err(Failure::new(Code::Usage, format!("error: at least one {what} update is required")));
    }
    let mut refusals = Vec::new();
    let objects = options.pick.objects(client, &mut refusals).await?;
    let mut report = Report::new(options.format.clone());
    for (target, object) in &objects {
        let has = object.pointer(&format!("/metadata/{}", options.pairs.member()));
        if options.list && options.changes.is_empty() {
            list(target, has, options.pairs, objects.len() == 1)?;
            continue;
        }
        let decision = match decide(has, options) {
            Ok(decision) => decision,
            Err(refusal) => {
                refusals.push(refusal);
                continue;
            }
        };
        if options.pairs == Pairs::Labels {
            for key in &decision.absent {
                output::line(&format!("label {key:?} not found."))?;
            }
        }
        match change(client, target, object, &decision, options).await {
            Ok(changed) => {
                let word = format!("{}{}", decision.word, options.dry_run.words());
                report.tell(target.kind, &changed, &word)?;
                if options.list {
                    let has = changed.pointer(&format!("/metadata/{}", options.pairs.member()));
                    list(target, has, options.pairs, objects.len() == 1)?;
                }
            }
            Err(AskError::Refused(refusal)) => refusals.push(refusal.to_string()),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
    if objects.is_empty() && refusals.is_empty() {
        output::note("No resources found");
    }
    pick::verdict(&refusals)
}

async fn change(
    client: &mut Client,
    target: &Target,
    object: &Value,
    decision: &Decision,
    options: &Options,
) -> Result<Value, AskError> {
    if decision.patch.is_empty() {
        return Ok(object.clone());
    }
    let member = options.pairs.member();
    let mut metadata = json!({ member: decision.patch });
    if let (Some(version), Some(members)) = (&options.resource_version, metadata.as_object_mut()) {
        members.insert("resourceVersion".to_owned(), version.as_str().into());
    }
    let body = Bytes::from(json!({"metadata": metadata}).to_string());
    let manager = super::resource::escaped(&options.field_manager);
    let path = format!("{}?fieldManager={manager}{}", target.path(), options.dry_run.query());
    let answer = client.ask(Ask::with(Method::PATCH, &path, MERGE_PATCH, body)).await?;
    output::warn(&answer.warnings);
    Ok(answer.value)
}

fn list(target: &Target, has: Option<&Value>, pairs: Pairs, alone: bool) -> Result<(), Failure> {
    if !alone {
        let row = target.kind.resource();
        let kind = if row.group.is_empty() { row.kind.to_owned() } else { format!("{}.{}", row.kind, row.group) };
        output::line(&format!("Listing {} for {kind}/{}:", pairs.member(), target.name))?;
    }
    let indent = if alone { "" } else { " " };
    for (key, value) in has.and_then(Value::as_object).into_iter().flatten() {
        output::line(&format!("{indent}{key}={}", value.as_str().unwrap_or_default()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str], overwrite: bool) -> (Vec<String>, Options) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let (names, changes) = Changes::part(&words, Pairs::Labels).unwrap();
        let pick = Pick {
            things: Vec::new(),
            namespace: None,
            all_namespaces: false,
            selector: None,
            field_selector: None,
            all: true,
        };
        let options = Options {
            pairs: Pairs::Labels,
            pick,
            changes,
            overwrite,
            list: false,
            resource_version: None,
            dry_run: DryRun::None,
            field_manager: String::new(),
            format: Format::Table,
        };
        (names, options)
    }

    #[test]
    fn names_stand_before_changes() {
        let (names, options) = options(&["svc", "web", "a=b", "c=", "d-"], false);
        assert_eq!(names, ["svc", "web"]);
        assert_eq!(options.changes.set, BTreeMap::from([("a".into(), "b".into()), ("c".into(), String::new())]));
        assert_eq!(options.changes.remove, ["d"]);
        for words in [&["svc", "a=b", "web"][..], &["svc", "web", "a=b", "a-"], &["svc", "web", "-", "x"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(Changes::part(&words, Pairs::Labels).is_err(), "{words:?}");
        }
    }

    #[test]
    fn only_what_differs_is_patched_and_nothing_is_overwritten_unasked() {
        let has = json!({"a": "b", "d": "e"});
        let decided = |words: &[&str], overwrite| decide(Some(&has), &options(words, overwrite).1);
        let decision = decided(&["svc", "web", "a=b", "d-", "x-"], false).unwrap();
        assert_eq!(decision.patch, BTreeMap::from([("d".to_owned(), Value::Null)]));
        assert_eq!((decision.absent.as_slice(), decision.word), (&["x".to_owned()][..], "unlabeled"));
        assert_eq!(decided(&["a=b"], false).unwrap().word, "not labeled");
        assert_eq!(decided(&["a=c"], true).unwrap().word, "labeled");
        let refused = decided(&["a=c"], false).unwrap_err();
        assert_eq!(refused, "error: 'a' already has a value (b), and --overwrite is false");
    }
}
