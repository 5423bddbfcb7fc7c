//! `edgesvc create` and `edgesvc replace`: manifests to POST and PUT requests.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::apply::DryRun;
use super::args::{Files, Server};
use super::client::{Answer, Ask, AskError, Client, JSON};
use super::delete;
use super::exit::{Code, Failure};
use super::format::Format;
use super::manifests::{self, Manifest};
use super::output::{self, Report};
use super::pick::{self, Target};
use super::resource;
use super::token_request::{self, TokenFlags};
use crate::model::Kind;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) files: Files,
    pub(super) namespace: Option<String>,
    pub(super) dry_run: DryRun,
    pub(super) field_manager: String,
    pub(super) validation: &'static str,
    pub(super) format: Format,
}

impl Options {
    fn query(&self) -> String {
        let manager = resource::escaped(&self.field_manager);
        format!("fieldManager={manager}&fieldValidation={}{}", self.validation, self.dry_run.query())
    }
}

/// Flags that say something of a token only.
pub(super) fn refuse_token_flags(flags: &TokenFlags) -> Result<(), Failure> {
    if *flags == TokenFlags::default() {
        return Ok(());
    }
    let which = "--duration, --audience and --bound-object-*";
    Err(Failure::new(Code::Usage, format!("error: {which} can only be used with `create token NAME`")))
}

/// `create namespace NAME` and `create token NAME`; other objects are made from files.
pub(super) async fn by_words(
    server: &Server,
    words: &[String],
    flags: &TokenFlags,
    options: &Options,
) -> Result<(), Failure> {
    let usage = |message: String| Err(Failure::new(Code::Usage, message));
    if let [word, names @ ..] = words
        && word == "token"
    {
        let [name] = names else {
            return usage(format!("error: exactly one NAME is required, got {}", names.len()));
        };
        if options.dry_run != DryRun::None {
            return usage("error: --dry-run can not be used with `create token NAME`: nothing is stored".to_owned());
        }
        return token_request::create(&mut super::connect(server).await?, name, flags, options).await;
    }
    refuse_token_flags(flags)?;
    let name = match words {
        [word, name] if resource::kind(word).is_ok_and(|kind| kind == Kind::Namespace) => name,
        [word, names @ ..] if resource::kind(word).is_ok_and(|kind| kind == Kind::Namespace) => {
            return usage(format!("error: exactly one NAME is required, got {}", names.len()));
        }
        [word, ..] => {
            // A kind we do not serve says why first.
            let kind = resource::kind(word)?.resource().kind;
            return usage(format!(
                "error: `create {word}` is not supported here: write the {kind} into a file and use `create -f FILE`, or `create namespace NAME`"
            ));
        }
        [] => return usage("error: must specify -f FILE, `namespace NAME` or `token ACCOUNT`".to_owned()),
    };
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let mut report = Report::new(options.format.clone());
    let word = format!("created{}", options.dry_run.words());
    if options.dry_run == DryRun::Client {
        return report.tell(Kind::Namespace, &object, &word);
    }
    let mut client = super::connect(server).await?;
    let answer = post(&mut client, Kind::Namespace, "", &object, options).await?;
    report.tell(Kind::Namespace, &answer.value, &word)
}

/// Creates everything; goes on after a refusal and reports all.
pub(super) async fn create(server: &Server, options: &Options) -> Result<(), Failure> {
    let manifests = manifests::read_new(&options.files, options.namespace.as_deref())?;
    let mut report = Report::new(options.format.clone());
    let word = format!("created{}", options.dry_run.words());
    let mut client = super::connect(server).await?;
    let mut refusals = Vec::new();
    for manifest in &manifests {
        if options.dry_run == DryRun::Client {
            report.tell(manifest.kind, &manifest.document.value, &word)?;
            continue;
        }
        let namespace = namespace_of(manifest, &client);
        match post(&mut client, manifest.kind, &namespace, &manifest.document.value, options).await {
            Ok(answer) => report.tell(manifest.kind, &answer.value, &word)?,
            Err(AskError::Refused(refusal)) => refusals.push(manifests::positions(&manifest.document, &refusal)),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
    pick::verdict(&refusals)
}

fn namespace_of(manifest: &Manifest, client: &Client) -> String {
    manifest.namespace.clone().unwrap_or_else(|| client.namespace().to_owned())
}

async fn post(
    client: &mut Client,
    kind: Kind,
    namespace: &str,
    object: &Value,
    options: &Options,
) -> Result<Answer, AskError> {
    let path = format!("{}?{}", resource::collection(kind, Some(namespace)), options.query());
    let answer = client.ask(Ask::with(Method::POST, &path, JSON, Bytes::from(object.to_string()))).await?;
    output::warn(&answer.warnings);
    Ok(answer)
}

/// Replaces everything by what the manifests say. With `force` an object is
/// deleted and made anew, which also changes what may not be updated.
pub(super) async fn replace(server: &Server, options: &Options, force: bool) -> Result<(), Failure> {
    let manifests = manifests::read(&options.files, options.namespace.as_deref())?;
    if force && options.dry_run != DryRun::None {
        return Err(Failure::new(Code::Usage, "error: --dry-run can not be used when --force is set"));
    }
    let mut report = Report::new(options.format.clone());
    let word = format!("replaced{}", options.dry_run.words());
    let mut client = super::connect(server).await?;
    let mut refusals = Vec::new();
    for manifest in &manifests {
        let target =
            Target { kind: manifest.kind, namespace: namespace_of(manifest, &client), name: manifest.name.clone() };
        let done = if force {
            anew(&mut client, &target, manifest, options).await
        } else {
            put(&mut client, &target, manifest, options).await
        };
        match done {
            Ok(answer) => {
                output::warn(&answer.warnings);
                report.tell(manifest.kind, &answer.value, &word)?;
            }
            Err(AskError::Refused(refusal)) => refusals.push(manifests::positions(&manifest.document, &refusal)),
            Err(AskError::Failed(failure)) => return Err(failure),
        }
    }
    pick::verdict(&refusals)
}

async fn put(client: &mut Client, target: &Target, manifest: &Manifest, options: &Options) -> Result<Answer, AskError> {
    // Some kinds are made by PUT; `replace` is for what is there.
    client.ask(Ask::get(&target.path())).await?;
    let path = format!("{}?{}", target.path(), options.query());
    let body = Bytes::from(manifest.document.value.to_string());
    client.ask(Ask::with(Method::PUT, &path, JSON, body)).await
}

async fn anew(
    client: &mut Client,
    target: &Target,
    manifest: &Manifest,
    options: &Options,
) -> Result<Answer, AskError> {
    match delete::one(client, target, &delete::Manner::default(), DryRun::None).await {
        Ok(uid) => {
            let singular = resource::qualified_singular(target.kind);
            output::line(&format!("{singular} \"{}\" deleted", target.name))?;
            delete::gone(client, target, uid.as_deref(), Instant::now() + delete::FORCED_WAIT_MAX).await?;
        }
        Err(AskError::Refused(refusal)) if refusal.is_not_found() => {}
        Err(error) => return Err(error),
    }
    post(client, target.kind, &target.namespace, &manifest.document.value, options).await
}
