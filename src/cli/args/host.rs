//! `edgesvc dns`: the box's own name resolution.

use clap::{Args, Subcommand};

use super::{Json, Settings};

/// `edgesvc dns …`
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one value lives as long as the command")]
pub enum DnsVerb {
    /// Let programs of this box find Services: curl http://my-service.my-ns
    Setup(Setup),
    /// Give the box's name resolution back as it was
    Undo(Undo),
    /// Show who answers which names, and what is wrong
    Status(State),
}

/// `edgesvc dns setup`.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Setup {
    /// Print what would be written and called; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// systemd-resolved, networkmanager, resolvconf or file [default: whoever keeps /etc/resolv.conf]
    #[arg(long = "with", value_name = "WAY", value_parser = ["systemd-resolved", "networkmanager", "resolvconf", "file"], hide_possible_values = true)]
    pub way: Option<String>,
    /// The namespace of Services called by one word [default: default]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Name edgesvc alone in resolv.conf, and no former server for when it does not run
    #[arg(long)]
    pub alone: bool,
    /// Even where others' changes are lost, or the box would have no names
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub settings: Settings,
}

/// `edgesvc dns undo`.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Undo {
    /// Print what would be written and called; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Even where others' changes are lost
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub settings: Settings,
}

/// `edgesvc dns status`.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct State {
    #[command(flatten)]
    pub json: Json,
    #[command(flatten)]
    pub settings: Settings,
}
