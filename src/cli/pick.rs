//! Which objects a command is about: by name, by selector, all of a type, or
//! those that manifests name.

use serde_json::Value;

use super::client::{Ask, AskError, Client};
use super::exit::{Code, Failure};
use super::get;
use super::output;
use super::resource::{self, Named};
use crate::model::Kind;

/// What the user said of them.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    pub(super) things: Vec<Named>,
    pub(super) namespace: Option<String>,
    pub(super) all_namespaces: bool,
    pub(super) selector: Option<String>,
    pub(super) field_selector: Option<String>,
    pub(super) all: bool,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Target {
    /// Its path.
    pub(super) fn path(&self) -> String {
        resource::object(self.kind, &self.namespace, &self.name)
    }

    /// `services/web`, as kubectl names what it waits for.
    pub(super) fn plural(&self) -> String {
        let row = self.kind.resource();
        let group = if row.group.is_empty() { String::new() } else { format!(".{}", row.group) };
        format!("{}{group}/{}", row.plural, self.name)
    }

    fn of(kind: Kind, object: &Value) -> Target {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Target { kind, namespace: text("/metadata/namespace"), name: text("/metadata/name") }
    }
}

impl Pick {
    /// The objects by name; types are listed.
    pub(super) async fn targets(&self, client: &mut Client) -> Result<Vec<Target>, Failure> {
        self.check()?;
        let default = self.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
        let mut targets = Vec::new();
        for thing in &self.things {
            let namespace = thing.namespace.as_ref().unwrap_or(&default).clone();
            match &thing.name {
                Some(name) => targets.push(Target { kind: thing.kind, namespace, name: name.clone() }),
                None => targets.extend(self.list(client, thing.kind, &namespace).await?),
            }
        }
        Ok(targets)
    }

    /// The objects themselves. What the server refuses is told at the end, so that
    /// one missing name does not keep the others waiting.
    pub(super) async fn objects(
        &self,
        client: &mut Client,
        refusals: &mut Vec<String>,
    ) -> Result<Vec<(Target, Value)>, Failure> {
        let mut objects = Vec::new();
        for target in self.targets(client).await? {
            match client.ask(Ask::get(&target.path())).await {
                Ok(answer) => objects.push((target, answer.value)),
                Err(AskError::Refused(refusal)) => refusals.push(refusal.to_string()),
                Err(AskError::Failed(failure)) => return Err(failure),
            }
        }
        Ok(objects)
    }

    fn check(&self) -> Result<(), Failure> {
        let usage = |message: &str| Err(Failure::new(Code::Usage, message));
        let named = self.things.iter().any(|thing| thing.name.is_some());
        let selected = self.selector.is_some() || self.field_selector.is_some();
        if named && self.all_namespaces {
            return usage("error: a resource cannot be retrieved by name across all namespaces");
        }
        if named && selected {
            return usage("error: name cannot be provided when a selector is specified");
        }
        if !named && self.all && self.selector.as_ref().is_some_and(|text| !text.is_empty()) {
            return usage("error: setting 'all' parameter but found a non empty selector.");
        }
        if named && self.all {
            return usage("error: name cannot be provided when --all is specified");
        }
        if !named && !selected && !self.all {
            return usage("error: resource(s) were provided, but no name was specified: name one, or say --all or -l");
        }
        Ok(())
    }

    async fn list(&self, client: &mut Client, kind: Kind, namespace: &str) -> Result<Vec<Target>, Failure> {
        let pair = |name: &str, value: &Option<String>| {
            value.as_ref().map(|text| format!("{name}={}", resource::escaped(text)))
        };
        let query: Vec<String> = [pair("labelSelector", &self.selector), pair("fieldSelector", &self.field_selector)]
            .into_iter()
            .flatten()
            .collect();
        let scope = (!self.all_namespaces).then_some(namespace);
        let list = client.ask(Ask::get(&get::with_query(resource::collection(kind, scope), &query))).await?;
        output::warn(&list.warnings);
        let items = list.value.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(items.iter().map(|item| Target::of(kind, item)).collect())
    }
}

/// Nothing, or everything that was refused.
pub(super) fn verdict(refusals: &[String]) -> Result<(), Failure> {
    if refusals.is_empty() { Ok(()) } else { Err(Failure::new(Code::Refused, refusals.join("\n"))) }
}
