//! The flags of `env` and `exec`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::super::args::{Scope, Server};
use crate::env::Format;

/// `edgesvc env`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "A program started in Kubernetes sees these variables of its namespace's Services, and of \
    default/kubernetes. Headless Services and those of type ExternalName have none.\n\n  \
    eval \"$(edgesvc env)\"                            into this shell\n  \
    edgesvc env --format docker >app.env             for docker run --env-file\n  \
    edgesvc env --format systemd --watch /run/app.env --on-change 'systemctl restart app'")]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Env {
    /// Only these Services
    #[arg(value_name = "SERVICE", conflicts_with = "enable_service_links")]
    pub services: Vec<String>,
    #[command(flatten)]
    pub scope: Scope,
    /// How it is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Write FILE instead, now and whenever the Services change, until told to stop
    #[arg(long, value_name = "FILE")]
    pub watch: Option<PathBuf>,
    /// Run this by `sh -c` each time FILE was written, never two at once
    #[arg(long, value_name = "COMMAND", requires = "watch")]
    pub on_change: Option<String>,
    #[command(flatten)]
    pub links: Links,
    #[command(flatten)]
    pub server: Server,
}

impl Env {
    pub(super) fn namespace(&self) -> String {
        namespace(&self.scope)
    }
}

/// `edgesvc exec`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "edgesvc becomes COMMAND: signals, the terminal and the exit code are its own. A variable that \
    is already set keeps its value, as one declared in a Pod does. Later changes of Services are not seen.\n\n\
    Exit codes, besides COMMAND's own: 64 usage, 69 server not reachable, 126 COMMAND cannot be executed, 127 there is \
    no COMMAND."
)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Exec {
    #[command(flatten)]
    pub scope: Scope,
    /// Set this too, as `env` of a container does: $(OTHER) refers to another variable, $$ is a dollar
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = declared)]
    pub env: Vec<(String, String)>,
    #[command(flatten)]
    pub links: Links,
    #[command(flatten)]
    pub server: Server,
    /// The command and its arguments, behind --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl Exec {
    pub(super) fn namespace(&self) -> String {
        namespace(&self.scope)
    }
}

/// Which Services are seen.
#[derive(Clone, Copy, Debug, Args)]
pub struct Links {
    /// false: only those of default/kubernetes, as in a Pod that says so
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_name = "true|false")]
    pub enable_service_links: bool,
}

fn namespace(scope: &Scope) -> String {
    scope.namespace.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

fn declared(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?}: write NAME=VALUE")),
    }
}
