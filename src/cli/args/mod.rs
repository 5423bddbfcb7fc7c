//! The command line, as clap understands it. The flags of `run` and `check` come
//! from the table of settings, so that flag, variable and file key never differ.

mod diagnose;
mod host;
mod read;
mod write;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory as _, FromArgMatches, Parser, Subcommand};

use super::completions::Shell;
use super::env::{Env, Exec};
use super::grant::GrantVerb;
use super::token::KubeconfigVerb;
use crate::config::{Inputs, SETTINGS};

pub use diagnose::{Doctor, Json, Status, Top, Trace};
pub use host::{DnsVerb, Setup, State, Undo};
pub use read::{ApiResources, Describe, Diff, Explain, Get, Version, Wait};
pub use write::{Apply, Change, Create, Delete, Edit, Manner, Modify, Patch, Replace, Targets};

/// Kubernetes Services for one box.
#[derive(Debug, Parser)]
#[command(name = "edgesvc", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Verb,
}

impl Cli {
    /// Understands the command line.
    ///
    /// # Errors
    /// Help, the version, and what is wrong, as clap prints them.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let matches = Cli::definition().try_get_matches_from(verb_first(words.into_iter().collect()))?;
        Cli::from_arg_matches(&matches)
    }

    /// The definition of the command line: kubectl's switches take `=true` and
    /// `=false` too.
    pub fn definition() -> Command {
        switches(Cli::command())
    }
}

fn switches(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        if !matches!(arg.get_action(), ArgAction::SetTrue) {
            return arg;
        }
        arg.action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_name("true|false")
            .hide_default_value(true)
            .hide_possible_values(true)
            .value_parser(clap::value_parser!(bool))
    });
    command.mut_subcommands(switches)
}

/// Flags that kubectl takes before the verb as well as behind it.
pub(super) const LEADING: [&str; 5] = ["--namespace", "--kubeconfig", "--socket", "--context", "-n"];

/// Puts flags that stand before the verb behind it.
fn verb_first(words: Vec<OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut ordered: Vec<OsString> = words.next().into_iter().collect();
    let mut leading = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        if LEADING.contains(&text.as_str()) {
            leading.push(word);
            leading.extend(words.next());
        } else if LEADING.iter().any(|flag| text.starts_with(&format!("{flag}="))) || is_short(&text) {
            leading.push(word);
        } else {
            ordered.push(word);
            break;
        }
    }
    let rest: Vec<OsString> = words.collect();
    // What stands behind `--` is no flag any more.
    let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
    let (before, after) = rest.split_at(end);
    ordered.extend(before.iter().cloned());
    ordered.extend(leading);
    ordered.extend(after.iter().cloned());
    ordered
}

/// `-nshop`
fn is_short(text: &str) -> bool {
    text.strip_prefix("-n").is_some_and(|rest| !rest.is_empty())
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
    /// Create objects from manifests, or a namespace by its name
    Create(Create),
    /// Replace objects by what manifests say
    Replace(Replace),
    /// List objects
    Get(Get),
    /// Show objects with their endpoints and events
    Describe(Describe),
    /// Set and remove labels
    Label(Modify),
    /// Set and remove annotations
    Annotate(Modify),
    /// Change fields of objects
    Patch(Patch),
    /// Change an object in your editor
    Edit(Edit),
    /// Delete objects
    Delete(Delete),
    /// Show what `apply` would change
    Diff(Diff),
    /// Wait until objects are gone, there, or as a condition says
    Wait(Wait),
    /// List the types the server serves
    ApiResources(ApiResources),
    /// Show what the fields of a type mean
    Explain(Explain),
    /// Print the version of this program and of the server
    Version(Version),
    /// Print completions for a shell, with live names
    Completions {
        /// The shell: source <(edgesvc completions bash)
        shell: Shell,
    },
    /// Print what may stand at the cursor (for the completions)
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words before the cursor, and the one at it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Print the variables programs find Services by, or keep a file of them
    Env(Env),
    /// Run a command with the variables programs find Services by
    Exec(Exec),
    /// Show whether the daemon is well and what it holds; of Services how each is delivered
    Status(Status),
    /// Find what on this box keeps Services from working, and what mends it
    Doctor(Doctor),
    /// Show what Services and endpoints are used for
    Top(Top),
    /// Follow a connection through the kernel's rules, to its endpoint and back
    Trace(Trace),
    /// Compare recorded addresses and ports with the Services that hold them, and mend
    Repair {
        /// Only say what is wrong
        #[arg(long)]
        dry_run: bool,
        /// Where the daemon is
        #[command(flatten)]
        server: Server,
    },
    /// Give others access to this box, and take it away
    #[command(subcommand)]
    Kubeconfig(KubeconfigVerb),
    /// Give roles to ServiceAccounts, and take them away
    #[command(subcommand)]
    Grant(GrantVerb),
    /// Let programs of this box find Services by name, and take it back
    #[command(subcommand)]
    Dns(DnsVerb),
    /// Look at, export or remove what edgesvc put into the kernel
    #[command(subcommand)]
    Dataplane(DataplaneCommand),
}

/// `edgesvc dataplane …`
#[derive(Clone, Debug, Subcommand)]
pub enum DataplaneCommand {
    /// Print how the kernel differs from what is stored: - too much, + missing; exit code 1 if it does
    Diff(Server),
    /// What works without a daemon.
    #[command(flatten)]
    Here(DataplaneVerb),
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
    /// Talk TLS to the server of this kubeconfig instead
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
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
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub files: Vec<String>,
    /// Go into the directories of a directory
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Not supported: build with kustomize and apply its output
    #[arg(short, long, value_name = "DIR", hide = true)]
    pub kustomize: Option<String>,
}

/// Which objects of a type.
#[derive(Clone, Debug, Args)]
pub struct Selection {
    /// Only objects with these labels: a=b,c!=d,e in (f,g)
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only objects with these fields: metadata.name=a
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
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

/// The time of `wait`: 0 looks once, what is negative waits a week.
fn waiting(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Ok(WEEK);
    }
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        Cli::read(line.split(' ').map(OsString::from)).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::definition().debug_assert();
    }

    #[test]
    fn switches_take_true_and_false_as_kubectls_do() {
        for (words, watch) in [
            ("get svc", false),
            ("get svc -w", true),
            ("get --watch=false svc", false),
            ("get svc --watch=true", true),
            ("get -w svc", true),
        ] {
            let Verb::Get(get) = parsed(&format!("edgesvc {words}")).command else { panic!("not get") };
            assert_eq!((get.watch, get.things.as_slice()), (watch, &["svc".to_owned()][..]), "{words}");
        }
    }

    #[test]
    fn a_namespace_may_stand_before_the_verb() {
        for words in [
            "-n shop get svc",
            "-nshop get svc",
            "--namespace=shop get svc",
            "--namespace shop get svc",
            "get svc -n shop",
        ] {
            let Verb::Get(get) = parsed(&format!("edgesvc {words}")).command else { panic!("not get") };
            assert_eq!(get.scope.namespace.as_deref(), Some("shop"), "{words}");
        }
    }

    #[test]
    fn every_setting_is_a_flag_of_run() {
        let cli = parsed("edgesvc run --listen none --config /x");
        let Verb::Run(Settings(inputs)) = cli.command else { panic!("not run") };
        assert_eq!(inputs.flags["listen"], "none");
        assert_eq!(inputs.file.unwrap(), PathBuf::from("/x"));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("0s").unwrap(), WEEK);
        assert!(duration("5").is_err() && duration("x").is_err());
        assert_eq!(waiting("0").unwrap(), Duration::ZERO);
        assert_eq!(waiting("-1s").unwrap(), WEEK);
    }
}
