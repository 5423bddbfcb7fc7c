//! The commands that look and change nothing.

use clap::Args;

use super::{Files, Scope, Selection, Server};

/// `-o` with a template beside it.
#[derive(Clone, Debug, Args)]
pub struct Output {
    /// wide, yaml, json, name, jsonpath=TEMPLATE, jsonpath-as-json=, jsonpath-file=, custom-columns=HEADER:PATH,..., custom-columns-file=
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    /// The template of -o jsonpath
    #[arg(long, value_name = "TEMPLATE", hide = true)]
    pub template: Option<String>,
    /// Do not leave managedFields out of YAML and JSON
    #[arg(long)]
    pub show_managed_fields: bool,
}

/// `edgesvc get`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Get {
    /// TYPE, TYPE NAME..., TYPE/NAME..., TYPE,TYPE or all
    #[arg(value_name = "TYPE[/NAME]", required_unless_present_any = ["files", "kustomize", "raw"], conflicts_with = "files")]
    pub things: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub output: Output,
    /// Go on and print every change
    #[arg(short, long)]
    pub watch: bool,
    /// Print changes, and not what is there already
    #[arg(long)]
    pub watch_only: bool,
    /// Say of each change whether something was added, modified or deleted
    #[arg(long)]
    pub output_watch_events: bool,
    /// No titles over the columns
    #[arg(long)]
    pub no_headers: bool,
    /// A missing name is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// A last column with all labels
    #[arg(long)]
    pub show_labels: bool,
    /// Labels to show as columns, for instance app,tier
    #[arg(short = 'L', long, value_name = "LABEL", value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// Put the type before every name
    #[arg(long)]
    pub show_kind: bool,
    /// The field to sort by: .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    pub sort_by: Option<String>,
    /// status: ask for the object's subresource
    #[arg(long, value_name = "NAME")]
    pub subresource: Option<String>,
    /// Print what this path of the API answers
    #[arg(long, value_name = "URI", conflicts_with_all = ["things", "files"])]
    pub raw: Option<String>,
    /// Accepted as kubectl's; a list comes in one answer here
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub chunk_size: Option<u32>,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc describe`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Describe {
    /// TYPE, TYPE NAME..., TYPE/NAME... or the first letters of a name
    #[arg(value_name = "TYPE[/NAME]", required_unless_present_any = ["files", "kustomize"], conflicts_with = "files")]
    pub things: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub selection: Selection,
    /// Whether to show events
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_name = "true|false")]
    pub show_events: bool,
    /// Accepted as kubectl's; a list comes in one answer here
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub chunk_size: Option<u32>,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc diff`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Diff {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub scope: Scope,
    /// Only manifests with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Who owns the fields that would be changed
    #[arg(long, value_name = "NAME", default_value = "")]
    pub field_manager: String,
    /// Every diff is; said by name, fields of others are refused unless --force-conflicts
    #[arg(long)]
    pub server_side: bool,
    /// With --server-side: take over fields that others own
    #[arg(long)]
    pub force_conflicts: bool,
    /// Compare managedFields too
    #[arg(long)]
    pub show_managed_fields: bool,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc wait`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Wait {
    /// TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]", required_unless_present_any = ["files", "kustomize"], conflicts_with = "files")]
    pub things: Vec<String>,
    #[command(flatten)]
    pub targets: super::write::Targets,
    /// delete, create, condition=NAME[=VALUE] or jsonpath=PATH[=VALUE]
    #[arg(long = "for", value_name = "WHAT", default_value = "", hide_default_value = true)]
    pub until: String,
    /// How long to wait for each object, for instance 30s or 2m; 0 looks once, -1s waits a week
    #[arg(long, default_value = "30s", value_parser = super::waiting, value_name = "TIME", allow_hyphen_values = true)]
    pub timeout: std::time::Duration,
    /// name, yaml, json, ...
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc api-resources`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct ApiResources {
    /// wide or name
    #[arg(short, long, value_name = "wide|name")]
    pub output: Option<super::super::api_resources::Shape>,
    /// Only those in a namespace, or with =false only those in none
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "true|false")]
    pub namespaced: Option<bool>,
    /// Only those of a group; "" is the core group
    #[arg(long, value_name = "GROUP")]
    pub api_group: Option<String>,
    /// Only those with all these verbs
    #[arg(long, value_name = "VERB", value_delimiter = ',')]
    pub verbs: Vec<String>,
    /// Only those of all these categories
    #[arg(long, value_name = "CATEGORY", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// No titles over the columns
    #[arg(long)]
    pub no_headers: bool,
    /// name or kind
    #[arg(long, value_name = "name|kind")]
    pub sort_by: Option<super::super::api_resources::Order>,
    /// Accepted as kubectl's; nothing is cached here
    #[arg(long, hide = true)]
    pub cached: bool,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc explain`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Explain {
    /// TYPE or TYPE.FIELD.FIELD
    #[arg(value_name = "TYPE[.FIELD]")]
    pub path: String,
    /// All fields below, without their descriptions
    #[arg(long)]
    pub recursive: bool,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc version`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Version {
    /// Only this program's, without a server
    #[arg(long)]
    pub client: bool,
    /// yaml or json
    #[arg(short, long, value_name = "yaml|json", value_parser = ["yaml", "json"])]
    pub output: Option<String>,
    #[command(flatten)]
    pub server: Server,
}
