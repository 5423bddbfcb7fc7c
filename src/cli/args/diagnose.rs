//! The commands that find out why something does not work.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::super::top::What;
use super::{Scope, Server, Settings, duration};
use crate::model::Protocol;

/// `-o json`.
#[derive(Clone, Debug, Args)]
pub struct Json {
    /// json, for programs
    #[arg(short, long, value_name = "FORMAT", value_parser = ["json"], hide_possible_values = true)]
    pub output: Option<String>,
}

impl Json {
    /// Whether JSON is asked for.
    pub(in crate::cli) fn json(&self) -> bool {
        self.output.is_some()
    }
}

/// `edgesvc doctor`.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Doctor {
    #[command(flatten)]
    pub json: Json,
    #[command(flatten)]
    pub settings: Settings,
}

/// `edgesvc status`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Status {
    /// Of Services: how each is delivered, and whether endpoints see the client's address [services, services NAME..., service/NAME...]
    #[arg(value_name = "services[/NAME]")]
    pub things: Vec<String>,
    #[command(flatten)]
    pub scope: Scope,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// wide: a line for each endpoint; json, yaml
    #[arg(short, long, value_name = "wide|json|yaml", value_parser = ["wide", "json", "yaml"], hide_possible_values = true)]
    pub output: Option<String>,
    /// No titles over the columns
    #[arg(long)]
    pub no_headers: bool,
    #[command(flatten)]
    pub server: Server,
}

/// `edgesvc trace`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Trace {
    /// tcp, udp or sctp
    #[arg(value_parser = protocol)]
    pub protocol: Protocol,
    /// Where the client connects to: 10.43.0.7:80, [fd43::7]:80, or the box's address and a node port
    #[arg(value_name = "ADDR:PORT")]
    pub to: SocketAddr,
    /// Where the client is: its address, or a link it is behind [default: the box itself]
    #[arg(long, value_name = "ADDR|LINK")]
    pub from: Option<String>,
    #[command(flatten)]
    pub json: Json,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    let known = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)];
    let found = known.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, protocol)| protocol).ok_or_else(|| "tcp, udp or sctp".to_owned())
}

/// `edgesvc top`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct Top {
    /// services or endpoints
    #[arg(
        value_name = "services|endpoints",
        default_value = "services",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub what: What,
    /// Only this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Look again after this time, and show what happened in between
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub interval: Duration,
    /// Stop after the first
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub json: Json,
    #[command(flatten)]
    pub server: Server,
}
