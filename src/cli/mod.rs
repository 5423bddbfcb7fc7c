//! What the user types. Client commands talk to the API like any client: over
//! the daemon's socket, or over TLS as a kubeconfig says.
//!
//! In: the command line. Out: what kubectl would print, on standard output;
//! faults with file, line and field on standard error; an exit code
//! ([`exit::Code`]). Nothing here reads the store or the kernel, except
//! `dataplane`, which works when no daemon runs.

mod apply;
pub mod args;
mod client;
mod delete;
mod describe;
pub mod exit;
mod format;
mod get;
mod jsonpath;
mod kubeconfig;
mod output;
mod resource;
mod sort;
mod status;
mod table;
mod tabs;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use args::{Apply, Cli, Delete, Describe, Files, Get, Scope, Server, Verb};
pub use args::{DataplaneVerb, Settings};
use client::{Client, Endpoint};
use exit::{Code, Failure};
use format::Format;
use resource::Named;

use crate::config::{self, ConfigError, defaults};

/// What the daemon's side of the house does for the command line. `main` hands
/// it in, because this room may not import the rooms that act.
pub struct Daemon {
    /// `edgesvc run`: returns when the process was told to stop.
    pub run: fn(config::Config) -> Result<(), Failure>,
    /// `edgesvc dataplane …`: answers with the text to print.
    pub dataplane: fn(DataplaneVerb) -> Result<String, Failure>,
}

/// Parses the command line, does what it says and answers the exit code.
pub fn main(daemon: &Daemon) -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Code::Usage as u8 } else { 0 };
            // A closed terminal cannot be told anything.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    match dispatch(cli.command, daemon) {
        Ok(()) => ExitCode::SUCCESS,
        // An empty message: the reader of our output closed the pipe.
        Err(failure) if failure.message.is_empty() => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&failure.message);
            ExitCode::from(failure.code as u8)
        }
    }
}

fn dispatch(verb: Verb, daemon: &Daemon) -> Result<(), Failure> {
    match verb {
        Verb::Run(settings) => (daemon.run)(configuration(&settings)?),
        Verb::Check(settings) => output::print(&configuration(&settings)?.to_string()),
        Verb::Dataplane(verb) => output::print(&(daemon.dataplane)(verb)?),
        Verb::Apply(args) => block_on(apply(args)),
        Verb::Get(args) => block_on(get(args)),
        Verb::Describe(args) => block_on(describe(args)),
        Verb::Delete(args) => block_on(delete(args)),
        Verb::Status(server) => block_on(async move { status::status(&mut connect(&server).await?).await }),
    }
}

fn configuration(settings: &Settings) -> Result<config::Config, Failure> {
    config::load(&settings.0).map_err(|error| {
        let code = match &error {
            ConfigError::Unreadable { .. } => Code::Io,
            ConfigError::Invalid(_) => Code::Config,
        };
        Failure::from_error(code, "", &error)
    })
}

/// Client commands are one conversation: one thread is enough.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

async fn connect(server: &Server) -> Result<Client, Failure> {
    Client::connect(&endpoint(server)).await
}

/// Flags before variables, the daemon of this box before the server of KUBECONFIG
/// unless there is none.
fn endpoint(server: &Server) -> Endpoint {
    let context = server.context.clone();
    if let Some(path) = &server.kubeconfig {
        return Endpoint::Kubeconfig { files: vec![path.clone()], context, from_environment: false };
    }
    if let Some(path) = &server.socket {
        return Endpoint::Socket(path.clone());
    }
    let socket = default_socket();
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    // kubectl passes over files of the list that do not exist.
    let files: Vec<PathBuf> = std::env::split_paths(&named).filter(|path| path.is_file()).collect();
    if files.is_empty() || socket.exists() && context.is_none() {
        return Endpoint::Socket(socket);
    }
    Endpoint::Kubeconfig { files, context, from_environment: true }
}

fn default_socket() -> PathBuf {
    let run_dir = std::env::var_os("EDGESVC_RUN_DIR").filter(|text| !text.is_empty());
    run_dir.map_or_else(|| PathBuf::from(defaults::RUN_DIR), PathBuf::from).join(defaults::SOCKET_NAME)
}

fn format(output: Option<&str>) -> Result<Format, Failure> {
    Format::parse(output, None)
}

async fn apply(args: Apply) -> Result<(), Failure> {
    let options = apply::Options {
        format: format(args.output.as_deref())?,
        files: args.files,
        namespace: args.scope.namespace,
        dry_run: args.dry_run == "server",
    };
    apply::apply(&args.server, &options).await
}

/// What the words behind a verb name, or what its files do.
fn things(words: &[String], files: &Files, scope: &Scope) -> Result<Vec<Named>, Failure> {
    if files.files.is_empty() && files.kustomize.is_none() {
        return resource::named(words);
    }
    let manifests = apply::read(files, scope.namespace.as_deref())?;
    Ok(manifests.into_iter().map(apply::Manifest::named).collect())
}

async fn get(args: Get) -> Result<(), Failure> {
    if let Some(path) = &args.raw {
        return get::raw(&mut connect(&args.server).await?, path).await;
    }
    let things = things(&args.things, &args.files, &args.scope)?;
    let format = Format::parse(args.output.output.as_deref(), args.output.template.as_deref())?;
    let sort_by = args.sort_by.map(|path| match jsonpath::Template::relaxed(&path) {
        Ok(template) => Ok((template, path)),
        Err(error) => Err(Failure::new(Code::Usage, format!("error: {error}"))),
    });
    let sort_by = sort_by.transpose()?;
    let mut client = connect(&args.server).await?;
    let options = get::Options {
        things,
        namespace: args.scope.namespace.unwrap_or_else(|| client.namespace().to_owned()),
        all_namespaces: args.selection.all_namespaces,
        selector: args.selection.selector,
        field_selector: args.selection.field_selector,
        format,
        watch: match (args.watch, args.watch_only) {
            (_, true) => get::Watch::Only,
            (true, false) => get::Watch::AndList,
            (false, false) => get::Watch::No,
        },
        watch_events: args.output_watch_events,
        no_headers: args.no_headers,
        ignore_not_found: args.ignore_not_found,
        show_kind: args.show_kind,
        show_labels: args.show_labels,
        label_columns: args.label_columns,
        sort_by,
        subresource: args.subresource,
        managed_fields: args.output.show_managed_fields,
    };
    get::get(&mut client, &options).await
}

async fn describe(args: Describe) -> Result<(), Failure> {
    let things = things(&args.things, &args.files, &args.scope)?;
    let mut client = connect(&args.server).await?;
    let options = describe::Options {
        things,
        namespace: args.scope.namespace.unwrap_or_else(|| client.namespace().to_owned()),
        all_namespaces: args.selection.all_namespaces,
        selector: args.selection.selector,
        field_selector: args.selection.field_selector,
        events: args.show_events,
    };
    describe::describe(&mut client, &options).await
}

async fn delete(args: Delete) -> Result<(), Failure> {
    let options = delete::Options {
        things: things(&args.things, &args.files, &args.scope)?,
        format: format(args.output.as_deref())?,
        namespace: args.scope.namespace,
        selector: args.selector,
        all: args.all,
        ignore_not_found: args.ignore_not_found,
        wait: args.wait,
        timeout: args.timeout,
        grace_seconds: if args.now { Some(1) } else { args.grace_period },
    };
    delete::delete(&mut connect(&args.server).await?, &options).await
}
