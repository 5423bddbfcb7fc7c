//! The commands that change objects.

use std::time::Duration;

use clap::Args;

use super::super::apply::DryRun;
use super::super::token_request::TokenFlags;
use super::{Files, Scope, Selection, Server, duration};

/// How a change is made and told.
#[derive(Clone, Debug, Args)]
pub struct Change {
    /// client or server: check everything and store nothing
    #[arg(long, value_name = "none|client|server", default_value = "none", hide_default_value = true)]
    pub dry_run: DryRun,
    /// Who owns the fields that are changed
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,
    /// yaml, json, name, jsonpath=TEMPLATE or custom-columns=HEADER:PATH,...
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
}

/// What the server makes of unknown and double fields.
#[derive(Clone, Debug, Args)]
pub struct Validate {
    /// strict (or true), warn, ignore (or false): what becomes of unknown and double fields
    #[arg(long, value_name = "strict|warn|ignore", default_value = "strict", value_parser = ["strict", "warn", "ignore", "true", "false"], hide_possible_values = true, num_args = 0..=1, default_missing_value = "strict", require_equals = true)]
    pub validate: String,
}

impl Validate {
    /// The server's word.
    pub(in crate::cli) fn word(&self) -> &'static str {
        match self.validate.as_str() {
            "warn" => "Warn",
            "ignore" | "false" => "Ignore",
            _ => "Strict",
        }
    }
}

/// `edgesvc apply`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Apply {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub validate: Validate,
    /// Every apply is; said by name, fields of others are refused unless --force-conflicts
    #[arg(long)]
    pub server_side: bool,
    /// With --server-side: take over fields that others own
    #[arg(long)]
    pub force_conflicts: bool,
    /// With --dry-run=server: print the change of the kernel as nft text
    #[arg(long)]
    pub show_dataplane: bool,
    /// Only manifests with these labels; with --prune only such objects go
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Delete what an earlier apply made in these namespaces and no manifest names; wants -l or --all
    #[arg(long)]
    pub prune: bool,
    /// With --prune: whatever its labels
    #[arg(long)]
    pub all: bool,
    /// With --prune: a kind that may go, for instance core/v1/Service; may be given more than once
    #[arg(long, value_name = "GROUP/VERSION/KIND")]
    pub prune_allowlist: Vec<String>,
    #[command(flatten)]
    pub manner: Manner,
    /// Not supported: kubectl's alpha of another way to prune
    #[arg(long, value_name = "NAME", hide = true)]
    pub applyset: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

/// How objects are deleted.
#[derive(Clone, Debug, Args)]
pub struct Manner {
    /// Seconds a Pod has to end; -1 leaves it to the Pod
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: Option<i32>,
    /// What becomes of objects that a deleted one owns: background, foreground or orphan
    #[arg(long, value_name = "HOW", default_value = "background", value_parser = ["background", "foreground", "orphan"], hide_possible_values = true)]
    pub cascade: String,
}

/// `edgesvc create`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Create {
    /// namespace NAME, or token ACCOUNT; everything else is made from files
    #[arg(value_name = "namespace|token NAME", conflicts_with = "files")]
    pub words: Vec<String>,
    #[command(flatten)]
    pub token: TokenFlags,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub validate: Validate,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc replace`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Replace {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub validate: Validate,
    /// Delete the object and make it anew
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub server: Server,
}

/// Which objects a change is about.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Targets {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub selection: Selection,
    /// Every object of the type
    #[arg(long)]
    pub all: bool,
}

/// `edgesvc label` and `edgesvc annotate`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Modify {
    /// TYPE NAME... or TYPE/NAME..., then KEY=VALUE to set and KEY- to remove
    #[arg(value_name = "TYPE NAME KEY=VALUE", required_unless_present_any = ["files", "kustomize"])]
    pub words: Vec<String>,
    #[command(flatten)]
    pub targets: Targets,
    #[command(flatten)]
    pub change: Change,
    /// Change values that are there
    #[arg(long)]
    pub overwrite: bool,
    /// Print what is there
    #[arg(long)]
    pub list: bool,
    /// Only if the object is still of this version
    #[arg(long, value_name = "VERSION")]
    pub resource_version: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc patch`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Patch {
    /// TYPE NAME or TYPE/NAME
    #[arg(value_name = "TYPE NAME", required_unless_present_any = ["files", "kustomize"], conflicts_with = "files")]
    pub things: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub change: Change,
    /// The patch, as JSON or YAML
    #[arg(short, long, value_name = "PATCH")]
    pub patch: Option<String>,
    /// A file with the patch
    #[arg(long, value_name = "FILE")]
    pub patch_file: Option<String>,
    /// strategic, merge or json
    #[arg(long = "type", value_name = "TYPE", default_value = "strategic")]
    pub kind: String,
    /// status: change the object's subresource
    #[arg(long, value_name = "NAME")]
    pub subresource: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc edit`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Edit {
    /// TYPE NAME or TYPE/NAME
    #[arg(value_name = "TYPE NAME", required_unless_present_any = ["files", "kustomize"], conflicts_with = "files")]
    pub things: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    /// yaml or json: how the object is shown
    #[arg(short, long, value_name = "yaml|json", default_value = "yaml", value_parser = ["yaml", "json"])]
    pub output: String,
    /// Who owns the fields that are changed
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,
    /// status: change the object's subresource
    #[arg(long, value_name = "NAME")]
    pub subresource: Option<String>,
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
    pub targets: Targets,
    /// A missing object is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Return only when the objects are gone
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_name = "true|false")]
    pub wait: bool,
    /// How long to wait, for instance 30s or 2m; 0s waits a week
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
    #[command(flatten)]
    pub manner: Manner,
    /// The same as --grace-period 1
    #[arg(long, conflicts_with = "grace_period")]
    pub now: bool,
    /// At once, and without waiting: the same as --grace-period 0 --wait=false
    #[arg(long)]
    pub force: bool,
    /// client or server: delete nothing
    #[arg(long, value_name = "none|client|server", default_value = "none", hide_default_value = true)]
    pub dry_run: DryRun,
    /// name prints TYPE/NAME
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    #[command(flatten)]
    pub server: Server,
}
