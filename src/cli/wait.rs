//! `edgesvc wait`: until objects are gone, there, or as a condition or a path says.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::args::Server;
use super::client::{Ask, AskError, Client, JSON};
use super::exit::{Code, Failure};
use super::format::Format;
use super::get::with_query;
use super::jsonpath::{Template, go_text};
use super::output::Report;
use super::pick::{self, Pick, Target};
use super::resource;
use super::watch::Events;

/// What `wait` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) pick: Pick,
    pub(super) until: Until,
    pub(super) timeout: Duration,
    pub(super) format: Format,
}

/// `--for`, understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Until {
    Gone,
    There,
    /// A condition of the status has this value.
    Condition {
        name: String,
        value: String,
    },
    /// A path finds this value, or anything.
    Path {
        template: Template,
        value: Option<String>,
    },
}

impl Until {
    /// Understands `--for`.
    pub(super) fn parse(text: &str) -> Result<Until, Failure> {
        let usage = |message: String| Failure::new(Code::Usage, message);
        let lower = text.to_ascii_lowercase();
        if lower == "delete" {
            return Ok(Until::Gone);
        }
        if lower == "create" {
            return Ok(Until::There);
        }
        if let Some(rest) = text.strip_prefix("condition=") {
            let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
            return Ok(Until::Condition { name: name.to_owned(), value: value.to_owned() });
        }
        if let Some(rest) = text.strip_prefix("jsonpath=") {
            let (path, value) = path_and_value(rest);
            if value.as_deref() == Some("") {
                return Err(usage(format!("error: jsonpath wait value cannot be empty: {text}")));
            }
            let template = Template::relaxed(path).map_err(|error| usage(format!("error: {error}")))?;
            return Ok(Until::Path { template, value });
        }
        Err(usage(format!(
            "error: unrecognized condition: {text:?}: say delete, create, condition=NAME[=VALUE] or jsonpath=PATH[=VALUE]"
        )))
    }

    /// Whether an object, or its absence, is what was waited for.
    fn holds(&self, object: Option<&Value>) -> Result<bool, Failure> {
        let (until, object) = match (self, object) {
            (Until::Gone, object) => return Ok(object.is_none()),
            (_, None) => return Ok(false),
            (until, Some(object)) => (until, object),
        };
        match until {
            Until::Gone => Ok(false),
            Until::There => Ok(true),
            Until::Condition { name, value } => Ok(condition(object, name, value)),
            Until::Path { template, value } => {
                let found =
                    template.values(object).map_err(|error| Failure::new(Code::Refused, format!("error: {error}")))?;
                match (found.as_slice(), value) {
                    ([], _) => Ok(false),
                    (_, None) => Ok(true),
                    ([one], Some(_)) if one.is_object() || one.is_array() => {
                        let message = "error: jsonpath leads to a nested object or list which is not supported";
                        Err(Failure::new(Code::Refused, message))
                    }
                    ([one], Some(value)) => Ok(go_text(one) == *value),
                    _ => {
                        let message = "error: given jsonpath expression matches more than one value";
                        Err(Failure::new(Code::Refused, message))
                    }
                }
            }
        }
    }
}

/// `{.a[?(@.b=="c")]}=value`, `.a=value`
fn path_and_value(text: &str) -> (&str, Option<String>) {
    let end = if text.starts_with('{') { text.rfind('}').map(|at| at + 1) } else { text.find('=') };
    let (path, rest) = text.split_at(end.unwrap_or(text.len()));
    let value = rest.strip_prefix('=').map(|value| value.trim_matches(['\'', '"']).to_owned());
    (path, value)
}

/// A condition counts once its controller has seen the object as it is.
fn condition(object: &Value, name: &str, value: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let text = |condition: &Value, member: &str| {
        condition.get(member).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
    };
    let number = |value: Option<&Value>| value.and_then(Value::as_i64);
    let generation = number(object.pointer("/metadata/generation"));
    conditions.into_iter().flatten().any(|condition| {
        let seen = number(condition.get("observedGeneration"))
            .or_else(|| number(object.pointer("/status/observedGeneration")));
        text(condition, "type") == name.to_ascii_lowercase()
            && text(condition, "status") == value.to_ascii_lowercase()
            && seen.zip(generation).is_none_or(|(seen, now)| seen >= now)
    })
}

/// Waits for everything picked, one after another.
pub(super) async fn wait(server: &Server, options: &Options) -> Result<(), Failure> {
    let mut client = super::connect(server).await?;
    let targets = options.pick.targets(&mut client).await?;
    if targets.is_empty() && options.until != Until::Gone {
        return Err(Failure::new(Code::Refused, "error: no matching resources found"));
    }
    let mut report = Report::new(options.format.clone());
    let mut refusals = Vec::new();
    for target in &targets {
        match one(server, &mut client, target, options).await {
            Ok(Some(object)) => report.tell(target.kind, &object, "condition met")?,
            Ok(None) => {}
            Err(failure) if failure.code == Code::Refused => refusals.push(failure.message),
            Err(failure) => return Err(failure),
        }
    }
    pick::verdict(&refusals)
}

/// Waits for one object; answers its last state, unless it was gone from the start.
async fn one(
    server: &Server,
    client: &mut Client,
    target: &Target,
    options: &Options,
) -> Result<Option<Value>, Failure> {
    let deadline = Instant::now() + options.timeout;
    let timed_out = || {
        let message = format!("error: timed out waiting for the condition on {}", target.plural());
        Failure::new(Code::Refused, message)
    };
    let mut last = None;
    loop {
        let now = match client.ask(Ask::get(&target.path())).await {
            Ok(answer) => Some(answer.value),
            Err(AskError::Refused(refusal)) if refusal.is_not_found() => {
                if !matches!(options.until, Until::Gone | Until::There) {
                    return Err(AskError::Refused(refusal).into());
                }
                None
            }
            Err(error) => return Err(error.into()),
        };
        if options.until.holds(now.as_ref())? {
            return Ok(now.or(last));
        }
        if Instant::now() >= deadline {
            return Err(timed_out());
        }
        last = now;
        // A watch takes its connection for itself.
        let mut watcher = super::connect(server).await?;
        let seen = timeout_at(deadline, until_change(&mut watcher, target, last.as_ref(), &options.until)).await;
        if let Some(object) = seen.map_err(|_| timed_out())?? {
            return Ok(Some(object));
        }
    }
}

/// Follows an object until it is as wanted; nothing when the watch ended before.
async fn until_change(
    client: &mut Client,
    target: &Target,
    from: Option<&Value>,
    until: &Until,
) -> Result<Option<Value>, Failure> {
    let selector = resource::escaped(&format!("metadata.name={}", target.name));
    let mut query = vec!["watch=true".to_owned(), format!("fieldSelector={selector}")];
    let revision = from.and_then(super::apply::version);
    query.extend(revision.map(|revision| format!("resourceVersion={revision}")));
    let path = with_query(resource::collection(target.kind, Some(&target.namespace)), &query);
    let mut events = Events::open(client, &path, JSON).await?;
    while let Some((what, object)) = events.next().await? {
        let gone = what == "DELETED";
        if until.holds((!gone).then_some(&object))? {
            return Ok(Some(object));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(until: &str, object: Option<&Value>) -> bool {
        Until::parse(until).unwrap().holds(object).unwrap()
    }

    #[test]
    fn every_condition_is_understood() {
        let pod = json!({"spec": {"n": 3}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        for (until, there) in [
            ("delete", false),
            ("create", true),
            ("condition=Ready", true),
            ("condition=ready=TRUE", true),
            ("condition=Ready=False", false),
            ("condition=Other", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath=.status.phase=Running", true),
            ("jsonpath={.spec.n}=3", true),
            ("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", true),
            ("jsonpath={.status.phase}", true),
            ("jsonpath={.status.none}", false),
        ] {
            assert_eq!(holds(until, Some(&pod)), there, "{until}");
            assert_eq!(holds(until, None), until == "delete", "{until}");
        }
        for until in ["", "foo", "jsonpath={.a", "jsonpath={.a}="] {
            assert_eq!(Until::parse(until).unwrap_err().code, Code::Usage, "{until}");
        }
    }

    #[test]
    fn a_condition_of_an_older_generation_does_not_count() {
        let stale = json!({"metadata": {"generation": 2}, "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}});
        assert!(!holds("condition=Ready", Some(&stale)));
    }
}
