//! The commands that change objects.

use std::time::Duration;

use clap::Args;

use super::{Files, Scope, Server, duration};

/// `edgesvc apply`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Apply {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    /// server: check everything and store nothing
    #[arg(long, value_name = "none|server", default_value = "none", value_parser = ["none", "server"])]
    pub dry_run: String,
    /// wide, yaml, json or name
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc delete`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Delete {
    /// TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]", required_unless_present_any = ["files", "kustomize"], conflicts_with = "files")]
    pub things: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Every object of the type in the namespace
    #[arg(long, conflicts_with = "selector")]
    pub all: bool,
    /// A missing object is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Return only when the objects are gone
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_name = "true|false")]
    pub wait: bool,
    /// How long to wait, for instance 30s or 2m; 0s waits a week
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
    /// Seconds a Pod has to end
    #[arg(long, value_name = "SECONDS")]
    pub grace_period: Option<u32>,
    /// The same as --grace-period 1
    #[arg(long, conflicts_with = "grace_period")]
    pub now: bool,
    /// name prints TYPE/NAME
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    #[command(flatten)]
    pub server: Server,
}
