//! What the user types. Client commands talk to the API like any client: over
//! the daemon's socket, or over TLS as a kubeconfig says.
//!
//! In: the command line. Out: what kubectl would print, on standard output;
//! faults with file, line and field on standard error; an exit code
//! ([`exit::Code`]). Nothing here reads the store or the kernel, except
//! `dataplane`, which works when no daemon runs.

mod api_resources;
mod apply;
pub mod args;
mod client;
mod completions;
mod create;
mod dataplane;
mod delete;
mod delivered;
mod describe;
mod diff;
mod doctor;
mod edit;
mod effective;
mod env;
pub mod exit;
mod explain;
mod fleet;
mod format;
mod get;
mod grant;
mod host_dns;
mod jsonpath;
mod kubeconfig;
mod manifests;
mod modify;
mod output;
mod patch;
mod pick;
mod progress;
mod prune;
mod repair;
mod resource;
mod scratch;
mod sort;
mod status;
mod table;
mod tabs;
mod token;
mod token_request;
mod top;
mod trace;
mod verbs;
mod wait;
mod watch;

use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

use args::{Cli, DataplaneCommand, Server, Verb};
pub use args::{DataplaneVerb, Settings};
use clap::error::{ContextKind, ContextValue};
use client::{Client, Endpoint};
pub use doctor::{DaemonAnswer, Examination};
use exit::{Code, Failure};
pub use host_dns::{HostDns, HostDnsVerb};
pub use trace::Question;

use crate::config::{self, ConfigError, defaults};

/// What the daemon's side of the house does for the command line. `main` hands
/// it in, because this room may not import the rooms that act.
pub struct Daemon {
    /// `edgesvc run`: returns when the process was told to stop.
    pub run: fn(config::Config) -> Result<(), Failure>,
    /// `edgesvc dataplane …`: answers with the text to print.
    pub dataplane: fn(DataplaneVerb) -> Result<String, Failure>,
    /// `edgesvc doctor`.
    pub doctor: fn(Examination) -> Result<Told, Failure>,
    /// `edgesvc trace`.
    pub trace: fn(Question) -> Result<Told, Failure>,
    /// `edgesvc dns …`.
    pub host_dns: fn(HostDns) -> Result<Told, Failure>,
}

/// What a diagnostic command has to say, and whether all is well.
pub struct Told {
    /// The text to print.
    pub text: String,
    /// Otherwise the exit code is 1.
    pub good: bool,
}

/// Parses the command line, does what it says and answers the exit code.
pub fn main(daemon: &Daemon) -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(words) = unsupported(&error) {
                output::note(&words);
                return ExitCode::from(Code::Usage as u8);
            }
            let code = if error.use_stderr() { Code::Usage as u8 } else { 0 };
            // A closed terminal cannot be told anything.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    match dispatch(cli.command, daemon) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                output::note(&failure.message);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// kubectl's verbs that have nothing to act on here.
const WORKLOAD_VERBS: [&str; 12] = [
    "attach",
    "autoscale",
    "cordon",
    "cp",
    "debug",
    "drain",
    "logs",
    "port-forward",
    "rollout",
    "scale",
    "taint",
    "uncordon",
];
/// kubectl's verbs that real kubectl can do with this server.
const OTHER_VERBS: [&str; 9] =
    ["api-versions", "auth", "certificate", "cluster-info", "config", "events", "expose", "proxy", "set"];

/// Words for a verb of kubectl that is not there, with the reason.
fn unsupported(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    if WORKLOAD_VERBS.contains(&verb.as_str()) {
        return Some(format!(
            "error: no `{verb}` here: edgesvc serves Services for workloads that something else runs"
        ));
    }
    OTHER_VERBS.contains(&verb.as_str()).then(|| {
        format!("error: no `{verb}` here: use `kubectl {verb}` with the admin.kubeconfig of the data directory")
    })
}

fn dispatch(verb: Verb, daemon: &Daemon) -> Result<(), Failure> {
    match verb {
        Verb::Run(settings) => (daemon.run)(configuration(&settings)?),
        Verb::Check(settings) => output::print(&configuration(&settings)?.to_string()),
        Verb::Dataplane(DataplaneCommand::Diff(server)) => block_on(async move { dataplane::diff(&server).await }),
        Verb::Dataplane(DataplaneCommand::Here(verb)) => output::print(&(daemon.dataplane)(verb)?),
        Verb::Dns(verb) => host_dns::dns(verb, daemon),
        Verb::Doctor(args) => doctor::doctor(args, daemon),
        Verb::Top(args) => block_on(top::top(args)),
        Verb::Trace(args) => trace::trace(args, daemon),
        Verb::Apply(args) => block_on(verbs::apply(args)),
        Verb::Create(args) => block_on(verbs::create(args)),
        Verb::Replace(args) => block_on(verbs::replace(args)),
        Verb::Get(args) => block_on(verbs::get(args)),
        Verb::Describe(args) => block_on(verbs::describe(args)),
        Verb::Label(args) => block_on(verbs::modify(args, modify::Pairs::Labels)),
        Verb::Annotate(args) => block_on(verbs::modify(args, modify::Pairs::Annotations)),
        Verb::Patch(args) => block_on(verbs::patch(args)),
        Verb::Edit(args) => block_on(verbs::edit(args)),
        Verb::Delete(args) => block_on(verbs::delete(args)),
        Verb::Diff(args) => block_on(verbs::diff(args)),
        Verb::Wait(args) => block_on(verbs::wait(args)),
        Verb::ApiResources(args) => block_on(verbs::api_resources(args)),
        Verb::Explain(args) => block_on(verbs::explain(args)),
        Verb::Completions { shell } => output::print(completions::script(shell)),
        Verb::Complete { words } => block_on(async move { completions::complete(&words).await }),
        Verb::Version(args) => block_on(status::versions(args)),
        Verb::Repair { dry_run, server } => {
            block_on(async move { repair::repair(&mut connect(&server).await?, dry_run).await })
        }
        Verb::Kubeconfig(verb) => block_on(token::run(verb)),
        Verb::Grant(verb) => block_on(grant::run(verb)),
        Verb::Env(args) => block_on(env::env(args)),
        Verb::Exec(args) => env::exec(&args),
        Verb::Status(args) if args.things.is_empty() => block_on(status::status(args)),
        Verb::Status(args) => block_on(delivered::delivered(args)),
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

/// Client commands are one conversation: one thread is enough. The runtime's loop
/// is made once for all of them: with each command's own future it would be some
/// kilobytes a command.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut done = None;
    let work: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(async { done = Some(work.await) });
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    done.unwrap_or_else(|| Err(Failure::new(Code::Bug, "error: the command did not end")))
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
