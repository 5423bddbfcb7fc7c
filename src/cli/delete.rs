//! `edgesvc delete`: objects by name, by selector or by manifest, and waiting
//! until they are gone.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::apply::DryRun;
use super::client::{Ask, AskError, Client, JSON};
use super::exit::{Code, Failure};
use super::format::Format;
use super::output;
use super::pick::{self, Pick, Target};
use super::resource;

/// Pause between looks at an object that is on its way out.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How long `replace --force` waits for what it deleted.
pub(super) const FORCED_WAIT_MAX: Duration = Duration::from_secs(60);

const FORCED_WARNING: &str = "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.";

/// What `delete` was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) pick: Pick,
    pub(super) ignore_not_found: bool,
    pub(super) wait: bool,
    pub(super) timeout: Duration,
    pub(super) manner: Manner,
    /// At once, whatever still runs.
    pub(super) forced: bool,
    pub(super) dry_run: DryRun,
    pub(super) format: Format,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    /// Seconds a Pod has to end.
    pub(super) grace_seconds: Option<u32>,
    /// What becomes of objects it owns; in the background unless said.
    pub(super) cascade: Cascade,
}

/// `--cascade`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cascade {
    #[default]
    Background,
    Foreground,
    Orphan,
}

impl Cascade {
    fn word(self) -> &'static str {
        match self {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        }
    }
}

/// Deletes everything named; goes on after a refusal and reports all.
pub(super) async fn delete(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let targets = options.pick.targets(client).await?;
    if targets.is_empty() {
        return output::line("No resources found");
    }
    if options.forced {
        output::note(FORCED_WARNING);
    }
    let mut refusals = Vec::new();
    let mut leaving = Vec::new();
    for target in targets {
        let done = match options.dry_run {
            // Nothing is asked but whether it is there.
            DryRun::Client => client.ask(Ask::get(&target.path())).await.map(|_| None),
            DryRun::Server | DryRun::None => one(client, &target, &options.manner, options.dry_run).await,
        };
        match done {
            Ok(uid) => {
                let words = match options.format {
                    Format::Name => resource::display(target.kind, &target.name),
                    _ => {
                        let singular = resource::qualified_singular(target.kind);
                        let word = if options.forced { "force deleted" } else { "deleted" };
                        format!("{singular} \"{}\" {word}{}", target.name, options.dry_run.words())
                    }
                };
                output::line(&words)?;
                leaving.push((target, uid));
            }
            Err(AskError::Refused(refusal)) if refusal.is_not_found() && options.ignore_not_found => {}
            Err(AskError::Refused(refusal)) => refusals.push(refusal.to_string()),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
    if options.wait && options.dry_run == DryRun::None {
        let deadline = Instant::now() + options.timeout;
        for (target, uid) in leaving {
            gone(client, &target, uid.as_deref(), deadline).await?;
        }
    }
    pick::verdict(&refusals)
}

/// Deletes an object; answers the uid of what was there.
pub(super) async fn one(
    client: &mut Client,
    target: &Target,
    manner: &Manner,
    dry_run: DryRun,
) -> Result<Option<String>, AskError> {
    let mut body = Map::from_iter([("propagationPolicy".to_owned(), manner.cascade.word().into())]);
    if let Some(seconds) = manner.grace_seconds {
        body.insert("gracePeriodSeconds".to_owned(), seconds.into());
    }
    // In the body, because with one the server passes over the query.
    if dry_run != DryRun::None {
        body.insert("dryRun".to_owned(), vec!["All"].into());
    }
    let body = Bytes::from(Value::Object(body).to_string());
    let answer = client.ask(Ask::with(Method::DELETE, &target.path(), JSON, body)).await?;
    output::warn(&answer.warnings);
    Ok(uid(&answer.value))
}

fn uid(answer: &Value) -> Option<String> {
    let found = answer.pointer("/metadata/uid").or_else(|| answer.pointer("/details/uid"));
    found.and_then(Value::as_str).map(str::to_owned)
}

/// Waits until the object is gone, or another one stands in its place.
pub(super) async fn gone(
    client: &mut Client,
    target: &Target,
    uid_before: Option<&str>,
    deadline: Instant,
) -> Result<(), Failure> {
    loop {
        match client.ask(Ask::get(&target.path())).await {
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
