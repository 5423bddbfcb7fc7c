//! `edgesvc dns`: the configuration, and a call of the room that acts.

use super::args::DnsVerb;
use super::effective::effective;
use super::exit::{Code, Failure};
use super::{Daemon, configuration, output};
use crate::config::Config;

/// What is asked of the box's name resolution.
pub struct HostDns {
    /// The configuration.
    pub config: Config,
    /// What to do.
    pub verb: HostDnsVerb,
}

/// What to do.
pub enum HostDnsVerb {
    /// Set up.
    Setup {
        /// Only say it.
        dry_run: bool,
        /// This way.
        way: Option<String>,
        /// The namespace of names of one word.
        namespace: Option<String>,
        /// No former server behind edgesvc.
        alone: bool,
        /// Over others' changes.
        force: bool,
    },
    /// Take back.
    Undo {
        /// Only say it.
        dry_run: bool,
        /// Over others' changes.
        force: bool,
    },
    /// Look.
    Status {
        /// Print JSON.
        json: bool,
    },
}

/// Asks and prints; fails when what is set up is not in effect.
pub(super) fn dns(verb: DnsVerb, daemon: &Daemon) -> Result<(), Failure> {
    let (settings, verb) = match verb {
        DnsVerb::Setup(args) => {
            if let Some(fault) = args.namespace.as_deref().and_then(namespace_fault) {
                return Err(Failure::new(Code::Usage, format!("error: --namespace: {fault}")));
            }
            let (dry_run, alone, force) = (args.dry_run, args.alone, args.force);
            let verb = HostDnsVerb::Setup { dry_run, way: args.way, namespace: args.namespace, alone, force };
            (args.settings, verb)
        }
        DnsVerb::Undo(args) => (args.settings, HostDnsVerb::Undo { dry_run: args.dry_run, force: args.force }),
        DnsVerb::Status(args) => (args.settings, HostDnsVerb::Status { json: args.json.json() }),
    };
    let told = (daemon.host_dns)(HostDns { config: effective(configuration(&settings)?)?, verb })?;
    output::print(&told.text)?;
    if told.good { Ok(()) } else { Err(Failure::different()) }
}

fn namespace_fault(name: &str) -> Option<String> {
    crate::model::name::dns1123_label(name).into_iter().next()
}
