//! The command line, as clap understands it. The flags of `run` and `check` come
//! from the table of settings, so that flag, variable and file key never differ.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use super::env::{Env, Exec};
use super::output::Format;
use crate::config::{Inputs, SETTINGS};

/// Kubernetes Services for one box.
#[derive(Debug, Parser)]
#[command(name = "edgesvc", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Verb,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one value lives as long as the command")]
pub enum Verb {
    /// Run the daemon: API, controllers, dataplane and DNS
    Run(Settings),
    /// Check the configuration and print what is in effect
    Check(Settings),
    /// Create or change objects from manifests
    Apply(Apply),
    /// List objects
    Get(Get),
    /// Show objects with their endpoints and events
    Describe(Describe),
    /// Delete objects
    Delete(Delete),
    /// Print the variables programs find Services by, or keep a file of them
    Env(Env),
    /// Run a command with the variables programs find Services by
    Exec(Exec),
    /// Show whether the daemon is well and what it holds
    Status(Server),
    /// Look at, export or remove what edgesvc put into the kernel
    #[command(subcommand)]
    Dataplane(DataplaneVerb),
}

/// `edgesvc dataplane …`: works without a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum DataplaneVerb {
    /// Print the Services the kernel holds, with their endpoints
    Show,
    /// Print the tables as libnftables JSON (for audit, or `nft -j -f`)
    Export,
    /// Remove every table, link, address and route that edgesvc made
    Cleanup,
}

/// The flags of `run`, not yet understood.
#[derive(Debug)]
pub struct Settings(pub Inputs);

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("The configuration file [default: /etc/edgesvc/config.yaml if present]");
        SETTINGS.iter().fold(command.arg(config), |command, setting| {
            let default = if setting.default.is_empty() { setting.default_words } else { setting.default };
            command.arg(Arg::new(setting.name).long(setting.name).value_name(setting.value_name).help(format!(
                "{} [default: {default}] [env: {}]",
                setting.help,
                setting.variable()
            )))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = SETTINGS
            .iter()
            .filter_map(|setting| Some((setting.name.to_owned(), matches.get_one::<String>(setting.name)?.clone())));
        let flags: BTreeMap<String, String> = flags.collect();
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("EDGESVC_"))
            .collect();
        Ok(Settings(Inputs { flags, variables, file: matches.get_one::<PathBuf>("config").cloned() }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Which server to talk to.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// The daemon's Unix socket
    #[arg(long, value_name = "PATH", env = "EDGESVC_SOCKET", conflicts_with = "kubeconfig")]
    pub socket: Option<PathBuf>,
    /// Talk TLS to the server of this kubeconfig's current context instead
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// `-n`.
#[derive(Clone, Debug, Args)]
pub struct Scope {
    /// The namespace [default: default]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// Where manifests come from.
#[derive(Clone, Debug, Args)]
pub struct Files {
    /// A file, a directory, or - for standard input; may be given more than once
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub files: Vec<String>,
    /// Go into the directories of a directory
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

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
    pub output: Option<Format>,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc get`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Get {
    /// TYPE, TYPE NAME..., TYPE/NAME... or TYPE,TYPE
    #[arg(value_name = "TYPE[/NAME]", required = true)]
    pub things: Vec<String>,
    #[command(flatten)]
    pub scope: Scope,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// wide, yaml, json or name
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Only objects with these labels: a=b,c!=d,e in (f,g)
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only objects with these fields: metadata.name=a
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// Go on and print every change
    #[arg(short, long)]
    pub watch: bool,
    /// No titles over the columns
    #[arg(long)]
    pub no_headers: bool,
    /// A missing name is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc describe`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Describe {
    /// TYPE, TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]", required = true)]
    pub things: Vec<String>,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc delete`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Delete {
    /// TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]", required_unless_present = "files", conflicts_with = "files")]
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
    pub output: Option<Format>,
    #[command(flatten)]
    pub server: Server,
}

/// What "no limit" means to a wait: a week, as kubectl's.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no time: write 30s, 2m or 1h"))?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("{text:?} is no time: write 30s, 2m or 1h")),
    };
    let seconds = number.checked_mul(factor).ok_or_else(|| format!("{text:?} is too long"))?;
    Ok(if seconds == 0 { WEEK } else { Duration::from_secs(seconds).min(WEEK) })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_of_run() {
        let cli = Cli::try_parse_from(["edgesvc", "run", "--listen", "none", "--config", "/x"]).unwrap();
        let Verb::Run(Settings(inputs)) = cli.command else { panic!("not run") };
        assert_eq!(inputs.flags["listen"], "none");
        assert_eq!(inputs.file.unwrap(), PathBuf::from("/x"));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("0s").unwrap(), WEEK);
        assert!(duration("5").is_err() && duration("x").is_err());
    }
}
