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
mod env;
pub mod exit;
mod get;
mod kubeconfig;
mod output;
mod resource;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Apply, Cli, Delete, Describe, Get, Server, Verb};
pub use args::{DataplaneVerb, Settings};
use client::{Client, Endpoint};
use exit::{Code, Failure};

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
    let cli = match Cli::try_parse() {
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
        Verb::Env(args) => block_on(env::env(args)),
        Verb::Exec(args) => env::exec(&args),
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
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

async fn connect(server: &Server) -> Result<Client, Failure> {
    let endpoint = match (&server.socket, &server.kubeconfig) {
        (_, Some(path)) => Endpoint::Kubeconfig(path.clone()),
        (Some(path), None) => Endpoint::Socket(path.clone()),
        (None, None) => Endpoint::Socket(default_socket()),
    };
    Client::connect(&endpoint).await
}

fn default_socket() -> PathBuf {
    let run_dir = std::env::var_os("EDGESVC_RUN_DIR").filter(|text| !text.is_empty());
    run_dir.map_or_else(|| PathBuf::from(defaults::RUN_DIR), PathBuf::from).join(defaults::SOCKET_NAME)
}

async fn apply(args: Apply) -> Result<(), Failure> {
    let options = apply::Options {
        files: args.files.files,
        recursive: args.files.recursive,
        namespace: args.scope.namespace,
        dry_run: args.dry_run == "server",
        format: args.output.unwrap_or_default(),
    };
    apply::apply(&args.server, &options).await
}

async fn get(args: Get) -> Result<(), Failure> {
    let options = get::Options {
        things: resource::named(&args.things)?,
        namespace: args.scope.namespace,
        all_namespaces: args.all_namespaces,
        selector: args.selector,
        field_selector: args.field_selector,
        format: args.output.unwrap_or_default(),
        watch: args.watch,
        no_headers: args.no_headers,
        ignore_not_found: args.ignore_not_found,
    };
    get::get(&mut connect(&args.server).await?, &options).await
}

async fn describe(args: Describe) -> Result<(), Failure> {
    let things = resource::named(&args.things)?;
    let namespace = args.scope.namespace.unwrap_or_else(|| "default".to_owned());
    describe::describe(&mut connect(&args.server).await?, &things, &namespace).await
}

async fn delete(args: Delete) -> Result<(), Failure> {
    let things = if args.files.files.is_empty() { resource::named(&args.things)? } else { Vec::new() };
    let options = delete::Options {
        things,
        files: args.files.files,
        recursive: args.files.recursive,
        namespace: args.scope.namespace,
        selector: args.selector,
        all: args.all,
        ignore_not_found: args.ignore_not_found,
        wait: args.wait,
        timeout: args.timeout,
        grace_seconds: if args.now { Some(1) } else { args.grace_period },
        format: args.output.unwrap_or_default(),
    };
    delete::delete(&mut connect(&args.server).await?, &options).await
}
