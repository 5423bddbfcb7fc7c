//! `edgesvc delete`: objects by name, by selector or by manifest, and waiting
//! until they are gone.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::client::{Ask, AskError, Client, JSON};
use super::exit::{Code, Failure};
use super::format::Format;
use super::output;
use super::resource::{self, Named};
use crate::model::Kind;

/// Pause between looks at an object that is on its way out.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// What `delete` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) things: Vec<Named>,
    pub(super) namespace: Option<String>,
    pub(super) selector: Option<String>,
    pub(super) all: bool,
    pub(super) ignore_not_found: bool,
    pub(super) wait: bool,
    pub(super) timeout: Duration,
    pub(super) grace_seconds: Option<u32>,
    pub(super) format: Format,
}

/// One object to delete.
struct Target {
    kind: Kind,
    namespace: String,
    name: String,
}

/// Deletes everything named; goes on after a refusal and reports all.
pub(super) async fn delete(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let targets = targets(client, options).await?;
    if targets.is_empty() {
        return output::line("No resources found");
    }
    let mut refusals = Vec::new();
    let mut leaving = Vec::new();
    for target in targets {
        let path = resource::object(target.kind, &target.namespace, &target.name);
        let mut body = serde_json::json!({"propagationPolicy": "Background"});
        if let (Some(seconds), Some(members)) = (options.grace_seconds, body.as_object_mut()) {
            members.insert("gracePeriodSeconds".to_owned(), seconds.into());
        }
        let body = Bytes::from(body.to_string());
        match client.ask(Ask { method: Method::DELETE, path: &path, accept: JSON, content_type: JSON, body }).await {
            Ok(answer) => {
                let words = match options.format {
                    Format::Name => resource::display(target.kind, &target.name),
                    _ => format!("{} \"{}\" deleted", resource::qualified_singular(target.kind), target.name),
                };
                output::line(&words)?;
                leaving.push((target, uid(&answer.value)));
            }
            Err(AskError::Refused(refusal)) if refusal.is_not_found() && options.ignore_not_found => {}
            Err(AskError::Refused(refusal)) => refusals.push(refusal.to_string()),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
    if options.wait {
        let deadline = Instant::now() + options.timeout;
        for (target, uid) in leaving {
            gone(client, &target, uid.as_deref(), deadline).await?;
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(Failure::new(Code::Refused, refusals.join("\n"))) }
}

async fn targets(client: &mut Client, options: &Options) -> Result<Vec<Target>, Failure> {
    let default = options.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
    let mut targets = Vec::new();
    for thing in &options.things {
        let namespace = thing.namespace.as_ref().unwrap_or(&default);
        if let Some(name) = &thing.name {
            targets.push(Target { kind: thing.kind, namespace: namespace.clone(), name: name.clone() });
            continue;
        }
        if !options.all && options.selector.is_none() {
            let message = "error: resource(s) were provided, but no name was specified: name one, or say --all or -l";
            return Err(Failure::new(Code::Usage, message));
        }
        let mut path = resource::collection(thing.kind, Some(namespace));
        if let Some(selector) = &options.selector {
            path = format!("{path}?labelSelector={}", resource::escaped(selector));
        }
        let list = client.ask(Ask::get(&path)).await?.value;
        for item in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            let text = |path: &str| item.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
            targets.push(Target { kind: thing.kind, namespace, name });
        }
    }
    Ok(targets)
}

fn uid(answer: &Value) -> Option<String> {
    let found = answer.pointer("/metadata/uid").or_else(|| answer.pointer("/details/uid"));
    found.and_then(Value::as_str).map(str::to_owned)
}

/// Waits until the object is gone, or another one stands in its place.
async fn gone(
    client: &mut Client,
    target: &Target,
    uid_before: Option<&str>,
    deadline: Instant,
) -> Result<(), Failure> {
    let path = resource::object(target.kind, &target.namespace, &target.name);
    loop {
        match client.ask(Ask::get(&path)).await {
            Ok(answer) if uid(&answer.value).as_deref() != uid_before => return Ok(()),
            Ok(_) => {}
            Err(AskError::Refused(refusal)) if refusal.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            let name = resource::display(target.kind, &target.name);
            let message = format!("error: timed out waiting for {name} to go away: does it have finalizers?");
            return Err(Failure::new(Code::Refused, message));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
